//! The lines of a file that notices point to, each with a caret below the place.
//!
//! Owns what may be shown of a file. Invariant: a value that belongs to a name of a secret is never shown, on whatever line it
//! stands, and be it that the text is no YAML.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span};

use super::problem::{Notice, Origin, Severity, credentials_in};
use super::schema;

/// What stands for a secret wherever a value is shown.
pub(crate) const MASK: &str = "********";

/// The files that were read, as far as they may be shown.
#[derive(Clone, Default)]
pub(crate) struct Excerpts(Vec<(Arc<str>, Sheet)>);

/// The names alone: the files hold secrets.
impl fmt::Debug for Excerpts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Excerpts {
    /// Takes a file in.
    pub(crate) fn add(&mut self, file: &str, text: &str) {
        self.0.push((file.into(), Sheet::of(text.trim_start_matches('\u{feff}'))));
    }

    /// Which of the files one is, counted from 0 in the order in which they were read.
    pub(crate) fn position(&self, file: &str) -> usize {
        self.0.iter().position(|(name, _)| &**name == file).unwrap_or(self.0.len())
    }

    /// A notice as people read it: what, where, and the line with a caret.
    pub(crate) fn show(&self, notice: &Notice) -> String {
        let word = word(notice.severity);
        let key = if notice.key.is_empty() { String::new() } else { format!("{}: ", notice.key) };
        let mut shown = format!("{word}: {key}{}\n", notice.text);
        match &notice.origin {
            None => {}
            Some(origin @ Origin::File { file, line, column }) => {
                let sheet = self.0.iter().find(|(name, _)| name == file).map(|(_, sheet)| sheet);
                let marked = sheet.and_then(|sheet| sheet.marked(*line, *column));
                let margin = " ".repeat(line.to_string().len());
                shown.push_str(&format!("{margin}--> {origin}\n"));
                if let Some((text, caret)) = marked {
                    shown.push_str(&format!("{margin} |\n{line} | {text}\n{margin} | {caret}\n"));
                }
            }
            Some(origin @ Origin::Whole(_)) => shown.push_str(&format!(" --> {origin}\n")),
            Some(origin) => shown.push_str(&format!(" --> variable {origin}\n")),
        }
        shown
    }
}

/// The word that a severity is printed as.
pub(crate) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Mistake => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// The text of a file, where its words end, and what of it is secret.
#[derive(Clone)]
struct Sheet {
    /// The letters of each line, and where the first one stands in the whole.
    lines: Vec<(usize, Vec<char>)>,
    /// The end of the word that begins at a place, both counted in letters from the beginning.
    ends: HashMap<usize, usize>,
    hidden: Vec<Range<usize>>,
}

impl Sheet {
    fn of(text: &str) -> Self {
        let mut start = 0;
        let mut lines = Vec::new();
        for line in text.split('\n') {
            lines.push((start, line.trim_end_matches('\r').chars().collect()));
            start += line.chars().count() + 1;
        }
        let letters: Vec<char> = text.chars().collect();
        let mut reader = Reader::default();
        let mut sound = 0;
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else {
                reader.distrust(&letters, sound);
                break;
            };
            if matches!(event, Event::Scalar(..)) {
                sound = span.end.index();
            }
            reader.take(&event, span);
        }
        let trimmed = |hidden: Range<usize>| {
            let end = hidden.end.min(letters.len());
            let blanks = letters[hidden.start.min(end)..end].iter().rev().take_while(|letter| letter.is_whitespace()).count();
            hidden.start..end - blanks
        };
        let hidden = reader.hidden.into_iter().map(trimmed).chain(credentials_in(&letters)).collect();
        Self { lines, ends: reader.ends, hidden }
    }

    /// A line as it may be shown, and the carets for the word at a column.
    fn marked(&self, line: usize, column: usize) -> Option<(String, String)> {
        let (start, letters) = self.lines.get(line.checked_sub(1)?)?;
        let first = start + column.checked_sub(1)?;
        let last = self.ends.get(&first).copied().unwrap_or(first + 1).min(start + letters.len());
        let mut shown = String::new();
        // Where each letter is shown; a secret is shown as one mask, whatever its length.
        let mut places = Vec::new();
        for (index, letter) in (*start..).zip(letters) {
            places.push(shown.chars().count());
            match self.hidden.iter().find(|hidden| hidden.contains(&index)) {
                Some(hidden) if index == hidden.start.max(*start) => shown.push_str(MASK),
                Some(_) => *places.last_mut()? = places[places.len() - 2],
                None if *letter == '\t' => shown.push_str("    "),
                None if letter.is_control() => shown.push('\u{fffd}'),
                None => shown.push(*letter),
            }
        }
        places.push(shown.chars().count());
        let place = |index: usize| places.get(index.saturating_sub(*start)).or_else(|| places.last()).copied().unwrap_or_default();
        let (from, to) = (place(first), place(last));
        Some((shown, " ".repeat(from) + &"^".repeat(to.saturating_sub(from).max(1))))
    }
}

/// Follows the events of a text, to learn which values belong to which names.
#[derive(Default)]
struct Reader {
    open: Vec<Level>,
    ends: HashMap<usize, usize>,
    hidden: Vec<Range<usize>>,
    /// What an anchor stands for: a secret may be written there and named elsewhere.
    anchors: HashMap<usize, Range<usize>>,
}

/// A list or a map that has begun.
struct Level {
    start: usize,
    anchor: usize,
    /// What comes next in a map.
    expected: Option<Expected>,
}

enum Expected {
    Name,
    Value,
    Secret,
}

impl Reader {
    fn take(&mut self, event: &Event<'_>, span: Span) {
        let range = span.start.index()..span.end.index();
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.ends.insert(range.start, range.end);
                match self.open.last_mut() {
                    Some(Level { expected: Some(expected @ Expected::Name), .. }) => *expected = Expected::value_of(text),
                    _ => self.value(range, *anchor),
                }
            }
            Event::Alias(anchor) => {
                if let Some(named) = self.anchors.get(anchor).filter(|_| self.is_at_secret()) {
                    self.hidden.push(named.clone());
                }
                self.step();
            }
            Event::SequenceStart(anchor, _) => self.begin(range.start, *anchor, None),
            Event::MappingStart(anchor, _) => self.begin(range.start, *anchor, Some(Expected::Name)),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(level) = self.open.pop() {
                    // Where a block begins with a word, that is what is pointed at.
                    self.ends.entry(level.start).or_insert(range.end);
                    self.value(level.start..range.end, level.anchor);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, start: usize, anchor: usize, expected: Option<Expected>) {
        self.open.push(Level { start, anchor, expected });
    }

    fn value(&mut self, range: Range<usize>, anchor: usize) {
        if self.is_at_secret() {
            self.hidden.push(range.clone());
        }
        if anchor > 0 {
            self.anchors.insert(anchor, range);
        }
        self.step();
    }

    fn is_at_secret(&self) -> bool {
        matches!(self.open.last(), Some(Level { expected: Some(Expected::Secret), .. }))
    }

    /// After a value comes a name.
    fn step(&mut self) {
        if let Some(Level { expected: Some(expected), .. }) = self.open.last_mut() {
            *expected = Expected::Name;
        }
    }

    /// Hides what follows the name of a secret where the text cannot be followed any more, which is from `sound` on.
    fn distrust(&mut self, letters: &[char], sound: usize) {
        let is_inside = self.open.iter().any(|level| matches!(level.expected, Some(Expected::Secret)));
        let named = (sound..letters.len()).find(|at| letters[*at] == ':' && names_a_secret(&word_before(&letters[..*at])));
        if let Some(start) = if is_inside { Some(sound) } else { named.map(|at| at + 1) } {
            self.hidden.push(start..letters.len());
        }
    }
}

impl Expected {
    fn value_of(name: &str) -> Self {
        if names_a_secret(name) { Self::Secret } else { Self::Value }
    }
}

/// The name that ends where letters end, without its quotes.
fn word_before(letters: &[char]) -> String {
    let text: String = letters.iter().rev().take(LONGEST_NAME).take_while(|letter| !matches!(letter, '\n' | '{' | ',')).collect();
    let text: String = text.chars().rev().collect();
    text.trim().trim_start_matches("- ").trim_matches(['"', '\'', ' ']).to_owned()
}

/// Whether what is written at a name is nobody's to see: a secret of the schema, or what headers carry credentials in.
pub(crate) fn names_a_secret(name: &str) -> bool {
    const ELSEWHERE: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "private_key"];
    const OF_HEADERS: [&str; 6] = ["auth", "token", "secret", "password", "credential", "-key"];
    let name = name.to_ascii_lowercase();
    // No name of ours has a hyphen; headers do. Those that tell browsers what they may send carry nothing of it.
    let is_of_browsers = name.starts_with("access-control-");
    if name.contains('-') && !is_of_browsers && OF_HEADERS.iter().any(|word| name.contains(word)) {
        return true;
    }
    ELSEWHERE.contains(&name.as_str()) || schema::has_secret(&name)
}

const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, line: usize, column: usize) -> String {
        let (line, caret) = Sheet::of(text).marked(line, column).unwrap();
        format!("{line}\n{caret}")
    }

    #[test]
    fn credentials_in_an_address_and_in_headers_are_masked() {
        assert_eq!(marked("a: https://u:p@b/c\n", 1, 1).lines().next(), Some("a: https://********@b/c"));
        assert!(names_a_secret("X-Vault-Token") && names_a_secret("x-auth-request") && !names_a_secret("X-Cluster"));
        assert!(!names_a_secret("Access-Control-Allow-Credentials"));
    }

    #[test]
    fn the_caret_is_as_long_as_the_word_it_stands_under() {
        assert_eq!(marked("log:\n  level: loud # a\n", 2, 10), "  level: loud # a\n         ^^^^");
        assert_eq!(marked("log:\n  level: 'lo ud'\n", 2, 10), "  level: 'lo ud'\n         ^^^^^^^");
        assert_eq!(marked("log:\n  level: loud\n", 2, 3), "  level: loud\n  ^^^^^");
        assert_eq!(marked("a:\n\tb: é\n", 2, 2), "    b: é\n    ^");
        assert_eq!(marked("a: [1\n", 2, 1), "\n^", "what is missing at the end is pointed at");
        assert!(Sheet::of("a: 1").marked(7, 1).is_none());
    }

    #[test]
    fn no_secret_is_shown_wherever_it_stands() {
        for (text, line) in [
            ("http: {secret: hidden, addr: x}", 1),
            ("http: {\"secret\": \"hidden\", addr: x}", 1),
            ("http:\n  secret: |\n    hidden\n  addr: x\n", 3),
            ("http:\n  secret:\n    [hidden,\n    hidden]\n  addr: x\n", 4),
            ("x: &s hidden\nhttp: {secret: *s}\n", 1),
            ("base: &b {password: hidden}\nredis: {<<: *b}\n", 1),
            ("health: {http: [{uri: x, headers: {Authorization: [hidden]}}]}", 1),
            ("http:\n  secret: \"hidden\n  addr: x\n", 2),
            ("http:\n  secret: \"hid\n  hidden\n", 3),
            ("http: {secret: hidden, addr: [}\n", 1),
            ("http:\n  secret: hidden: more\n", 2),
            ("a: 'b\nhttp: {'secret' : hidden, addr: [}\n", 2),
            ("\tsecret: hidden", 1),
        ] {
            let shown = marked(text, line, 1);
            assert!(!shown.contains("hid") && shown.contains(MASK), "{text}: {shown}");
        }
        assert_eq!(
            marked("http: {secret: hidden, addr: xyz}", 1, 30),
            "http: {secret: ********, addr: xyz}\n                               ^^^"
        );
        assert_eq!(marked("http:\n  secret: hidden\n  addr: x\n", 3, 9), "  addr: x\n        ^", "what follows is shown");
        assert_eq!(marked("redis:\n  password:\n  - hidden\nlog: x\n", 4, 1), "log: x\n^^^");
    }
}
