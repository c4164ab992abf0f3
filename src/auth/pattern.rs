//! Patterns of names, as rules and claims have them: `*` stays inside one path component, `**` crosses, `{user}` is the caller's name.
//!
//! Every other character stands for itself; the whole text must match. `team/**` does not match `team`.

use std::borrow::Cow;
use std::fmt;

use crate::oci;

/// A pattern, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// Any bytes but `/`.
    Star,
    /// Any bytes.
    DoubleStar,
    /// The caller's name.
    User,
}

const USER: &[u8] = b"{user}";

impl Pattern {
    /// Takes a text apart; there is none that is no pattern.
    pub fn new(text: &str) -> Self {
        let mut tokens = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let (token, left) = if let Some(left) = rest.strip_prefix(b"**") {
                (Token::DoubleStar, left)
            } else if let Some(left) = rest.strip_prefix(USER) {
                (Token::User, left)
            } else if *first == b'*' {
                (Token::Star, after)
            } else {
                (Token::Byte(*first), after)
            };
            tokens.push(token);
            rest = left;
        }
        Self { text: text.to_owned(), tokens }
    }

    /// Whether a text matches, for a caller of that name. A name that is no path component makes no `{user}` match.
    pub fn matches(&self, text: &str, user: Option<&str>) -> bool {
        self.for_user(user).is_some_and(|tokens| glob(&tokens, text.as_bytes()))
    }

    /// Whether a name at or below a path may match: the text before the first star tells. In doubt it may.
    pub fn leads_below(&self, path: &str, user: Option<&str>) -> bool {
        let Some(tokens) = self.for_user(user) else { return false };
        let mut fixed = tokens.iter().map_while(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None });
        let mut path = path.bytes().chain([b'/']);
        loop {
            match (fixed.next(), path.next()) {
                (Some(one), Some(other)) if one == other => {}
                // The path ends inside what is fixed, or what is fixed ends on the way; the slash at its end is no part of a name.
                (_, None) | (None, _) => return true,
                (Some(_), Some(_)) => return false,
            }
        }
    }

    /// Whether a repository can have a name that matches, for some caller.
    pub fn can_match(&self) -> bool {
        let filled = |filling: &str| {
            let mut name = Vec::new();
            for token in &self.tokens {
                match token {
                    Token::Byte(byte) => name.push(*byte),
                    Token::Star | Token::DoubleStar => name.extend_from_slice(filling.as_bytes()),
                    Token::User => name.push(b'a'),
                }
            }
            String::from_utf8(name).is_ok_and(|name| name.parse::<oci::Name>().is_ok())
        };
        // A letter fits wherever anything does, unless the name is full already.
        filled("a") || filled("")
    }

    /// Whether it depends on who asks.
    pub fn names_the_user(&self) -> bool {
        self.tokens.contains(&Token::User)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn for_user(&self, user: Option<&str>) -> Option<Cow<'_, [Token]>> {
        if !self.names_the_user() {
            return Some(Cow::Borrowed(&self.tokens));
        }
        let user = user.filter(|user| oci::name::is_component(user))?;
        let mut tokens = Vec::with_capacity(self.tokens.len() + user.len());
        for token in &self.tokens {
            match token {
                Token::User => tokens.extend(user.bytes().map(Token::Byte)),
                other => tokens.push(*other),
            }
        }
        Some(Cow::Owned(tokens))
    }
}

/// Matches with one place to go back to for each kind of star: what an earlier star could take, a later one of its kind can as well.
fn glob(tokens: &[Token], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    loop {
        match tokens.get(at) {
            Some(Token::DoubleStar) => {
                (double, star) = (Some((at, read)), None);
                at += 1;
                continue;
            }
            Some(Token::Star) => {
                star = Some((at, read));
                at += 1;
                continue;
            }
            Some(Token::Byte(byte)) if text.get(read) == Some(byte) => {
                (at, read) = (at + 1, read + 1);
                continue;
            }
            None if read == text.len() => return true,
            _ => {}
        }
        match (star, double) {
            (Some((place, taken)), _) if text.get(taken).is_some_and(|byte| *byte != b'/') => {
                star = Some((place, taken + 1));
                (at, read) = (place + 1, taken + 1);
            }
            (_, Some((place, taken))) if taken < text.len() => {
                (double, star) = (Some((place, taken + 1)), None);
                (at, read) = (place + 1, taken + 1);
            }
            _ => return false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).matches(text, Some("alice"))
    }

    #[test]
    fn a_star_stays_inside_a_component_and_two_cross() {
        for (pattern, text) in [
            ("**", "a/b"),
            ("*", "a"),
            ("team/**", "team/a"),
            ("team/**", "team/a/b"),
            ("base/*", "base/a"),
            ("**/app", "a/b/app"),
            ("a*c/d", "abbc/d"),
            ("a/*/c", "a/b/c"),
            ("a**z", "a/b/z"),
            ("{user}/**", "alice/a"),
            ("home/{user}", "home/alice"),
            ("*a*/**b", "xax/y/b"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("team/**", "team"),
            ("team/**", "teams/a"),
            ("base/*", "base/a/b"),
            ("*", "a/b"),
            ("**/app", "app"),
            ("a", "ab"),
            ("b", "ab"),
            ("", "a"),
            ("a/*/c", "a/b/b/c"),
            ("{user}/**", "bob/a"),
            ("{user}", "{user}"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_name_that_is_no_component_makes_no_user_match() {
        let pattern = Pattern::new("{user}/**");
        for user in [None, Some(""), Some("a/b"), Some("**"), Some("Alice"), Some("robot$ci"), Some("..")] {
            for text in ["a/b/c", "/x", "Alice/x", "robot$ci/x", "../x", "**/x"] {
                assert!(!pattern.matches(text, user), "{user:?} {text}");
            }
        }
    }

    #[test]
    fn what_stands_before_a_star_tells_where_names_can_lie() {
        let leads = |pattern: &str, path: &str| Pattern::new(pattern).leads_below(path, Some("alice"));
        for (pattern, path) in [
            ("team/**", "team"),
            ("team/**", "team/a/b"),
            ("**", "x"),
            ("*/app", "x"),
            ("a/b/c", "a"),
            ("a/b/c", "a/b"),
            ("{user}/**", "alice"),
            ("te*", "team"),
            ("a", "a"),
        ] {
            assert!(leads(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("team/**", "tea"), ("team/**", "teams"), ("a/b/c", "a/c"), ("{user}/**", "bob"), ("te*", "a")] {
            assert!(!leads(pattern, path), "{pattern} {path}");
        }
        assert!(!Pattern::new("{user}/**").leads_below("alice", None));
    }

    #[test]
    fn patterns_that_no_repository_can_match_are_known() {
        for pattern in ["**", "*", "a/*-dev", "{user}", "a.*", "a**b", &"a".repeat(255), &format!("{}*", "a".repeat(255))] {
            assert!(Pattern::new(pattern).can_match(), "{pattern}");
        }
        for pattern in ["", "Team/**", "/team/**", "team/", "a//b", "-*", "a b", "ü*", "{group}/**", &"a".repeat(256)] {
            assert!(!Pattern::new(pattern).can_match(), "{pattern}");
        }
    }

    /// What the stars mean, without regard to time.
    fn plainly(tokens: &[Token], text: &[u8]) -> bool {
        match (tokens.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((Token::Byte(byte), after)), Some((first, rest))) => byte == first && plainly(after, rest),
            (Some((Token::Star, after)), rest) => {
                plainly(after, text) || rest.is_some_and(|(first, rest)| *first != b'/' && plainly(tokens, rest))
            }
            (Some((Token::DoubleStar, after)), rest) => plainly(after, text) || rest.is_some_and(|(_, rest)| plainly(tokens, rest)),
            (Some(_), _) => false,
        }
    }

    proptest! {
        #[test]
        fn stars_mean_what_they_say(pattern in "[ab/*]{0,10}", text in "[ab/]{0,10}") {
            let parsed = Pattern::new(&pattern);
            prop_assert_eq!(parsed.matches(&text, None), plainly(&parsed.tokens, text.as_bytes()));
        }

        #[test]
        fn no_match_lies_where_nothing_leads(pattern in "[ab/*]{0,8}", text in "[ab]{1,2}(/[ab]{1,2}){0,3}") {
            let parsed = Pattern::new(&pattern);
            let above = text.match_indices('/').map(|(at, _)| &text[..at]).chain([text.as_str()]);
            for path in above.filter(|_| parsed.matches(&text, None)) {
                prop_assert!(parsed.leads_below(path, None), "{}", path);
            }
        }

        #[test]
        fn any_text_is_a_pattern(pattern in ".{0,40}", text in ".{0,40}") {
            let _ = Pattern::new(&pattern).matches(&text, Some(&text));
        }

        #[test]
        fn a_text_without_stars_matches_itself(text in "[^*{]{0,40}") {
            prop_assert!(Pattern::new(&text).matches(&text, None));
        }
    }
}
