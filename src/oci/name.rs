//! The name of a repository.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name a repository may have, in bytes.
pub const MAX_LENGTH: usize = 255;

/// A repository name by the grammar of the distribution specification ("Pulling manifests").
///
/// Components of lower-case letters and digits, joined inside by `.`, `_`, `__` or any run of `-`, separated by `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// The text is not a repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a repository name")]
pub struct InvalidName;

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the slashes, of which there is at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.len() <= MAX_LENGTH && text.split('/').all(is_component) { Ok(Self(text.into())) } else { Err(InvalidName) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text is one component: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
pub fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| is_word(**byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let separator = rest.iter().take_while(|byte| !is_word(**byte)).count();
        match &rest[..separator] {
            [] => return true,
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_specification_are_accepted() {
        for name in ["a", "ubuntu", "library/ubuntu", "a/b/c", "a.b_c__d---e", "0", &"a".repeat(MAX_LENGTH)] {
            assert!(name.parse::<Name>().is_ok(), "{name}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a_",
            "_a",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            "a b",
            "a\0",
            "é",
            "..",
            "a/../b",
            "_manifests",
            "a/_uploads",
            &"a".repeat(MAX_LENGTH + 1),
        ] {
            assert_eq!(name.parse::<Name>(), Err(InvalidName), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_text_of_the_grammar_is_a_name(name in "[a-z0-9]{1,8}((\\.|_|__|-{1,4})[a-z0-9]{1,8}){0,3}(/[a-z0-9]{1,8}){0,3}") {
            let parsed: Name = name.parse().unwrap();
            prop_assert_eq!(parsed.as_str(), name);
        }

        #[test]
        fn no_name_can_leave_its_directory(text in ".{0,40}") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert!(name.components().all(|part| !part.is_empty() && !part.starts_with(['.', '_'])));
            }
        }
    }
}
