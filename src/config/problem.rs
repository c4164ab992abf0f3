//! What is said about a configuration: the places it names, problems that stop the start, notices that do not.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::excerpt::MASK;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A place in the file; line and column count from one.
    File {
        /// The file, as it was named.
        file: Arc<str>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A variable of the environment.
    Variable(Arc<str>),
    /// A file that holds a secret and nothing else.
    SecretFile {
        /// The variable that names it, or the directory of systemd that it lies in.
        named_by: Arc<str>,
        /// The file.
        path: Arc<str>,
    },
    /// A whole file: something is not written in it.
    Whole(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::SecretFile { named_by, path } => write!(f, "{named_by} ({path})"),
            Self::Variable(name) | Self::Whole(name) => f.write_str(name),
        }
    }
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something that cannot have been meant, or cannot be used; a check of the configuration counts it as an error.
    Mistake,
    /// Something asked for will not happen, or was probably meant otherwise.
    Warning,
    /// Worth knowing; nothing to do.
    Info,
}

/// Something about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// The place, the key and what is to be known, readable alone.
    pub message: String,
    /// The key, as a dotted path; empty where it is about no key.
    pub key: String,
    /// What is to be known, without the place and the key.
    pub text: String,
    pub(crate) origin: Option<Origin>,
}

impl Notice {
    pub(crate) fn new(severity: Severity, origin: Option<&Origin>, key: &str, text: impl fmt::Display) -> Self {
        let text = without_credentials(&text.to_string());
        Self { severity, message: sentence(origin, key, &text), key: key.to_owned(), text, origin: origin.cloned() }
    }
}

/// Everything that keeps a configuration from being used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file was named, and none lies at the usual places.
    #[error(
        "configuration path unspecified: name a file as an argument or in REGISTRY_CONFIGURATION_PATH, or put it at {}",
        super::DEFAULT_PATHS.join(" or ")
    )]
    NoPath,
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The file, as it was named.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file and the environment say what cannot be done.
    #[error("{}", list(.0))]
    Invalid(Vec<Notice>),
}

/// Gathers what is found, so that one run names every problem.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What stops the start.
    pub(crate) problems: Vec<Notice>,
    /// What does not.
    pub(crate) notices: Vec<Notice>,
}

impl Report {
    /// Notes a problem with a key, once; `text` says what is wrong and what to do.
    pub(crate) fn problem(&mut self, origin: Option<&Origin>, key: &str, text: impl fmt::Display) {
        let problem = Notice::new(Severity::Mistake, origin, key, text);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Notes something that does not stop the start, once.
    pub(crate) fn notice(&mut self, severity: Severity, origin: Option<&Origin>, key: &str, text: impl fmt::Display) {
        let notice = Notice::new(severity, origin, key, text);
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// Notes something that cannot have been meant.
    pub(crate) fn mistake(&mut self, origin: Option<&Origin>, key: &str, text: impl fmt::Display) {
        self.notice(Severity::Mistake, origin, key, text);
    }

    /// Notes a warning.
    pub(crate) fn warning(&mut self, origin: Option<&Origin>, key: &str, text: impl fmt::Display) {
        self.notice(Severity::Warning, origin, key, text);
    }
}

fn sentence(origin: Option<&Origin>, key: &str, text: &str) -> String {
    let mut sentence = String::new();
    if let Some(origin) = origin {
        sentence.push_str(&format!("{origin}: "));
    }
    if !key.is_empty() {
        sentence.push_str(&format!("{key}: "));
    }
    sentence + text
}

fn list(problems: &[Notice]) -> String {
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    match messages.as_slice() {
        [one] => format!("the configuration cannot be used: {one}"),
        many => format!("the configuration cannot be used, for {} reasons:\n  {}", many.len(), many.join("\n  ")),
    }
}

/// Where credentials stand in addresses, counted in letters: between `://` and an `@` before the path.
pub(crate) fn credentials_in(letters: &[char]) -> Vec<Range<usize>> {
    let is_end = |letter: &char| letter.is_whitespace() || matches!(letter, '/' | '?' | '#' | '"' | '\'' | '`');
    let begins = |start: &usize| letters[..*start].ends_with(&[':', '/', '/']);
    let found = (3..letters.len()).filter(begins).filter_map(|start| {
        let length = letters[start..].iter().position(is_end).unwrap_or(letters.len() - start);
        let at = letters[start..start + length].iter().rposition(|letter| *letter == '@')?;
        Some(start..start + at)
    });
    found.collect()
}

/// A text with a mask for the credentials in each address.
pub(crate) fn without_credentials(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let (mut shown, mut from) = (String::new(), 0);
    for hidden in credentials_in(&letters) {
        shown.extend(&letters[from..hidden.start]);
        shown.push_str(MASK);
        from = hidden.end;
    }
    shown.extend(&letters[from..]);
    shown
}

#[cfg(test)]
mod masks {
    use super::*;

    #[test]
    fn credentials_in_an_address_are_nobodys_to_see() {
        for (text, expected) in [
            ("`https://u:p@ss@a/b@c` is no address", "`https://********@a/b@c` is no address"),
            ("ftp://t@a and http://b/c@d", "ftp://********@a and http://b/c@d"),
            ("nothing: //@ here", "nothing: //@ here"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }
}
