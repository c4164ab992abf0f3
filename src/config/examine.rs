//! A configuration read to be looked at: also one that cannot be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::check::Settings;
use super::excerpt::{Excerpts, word};
use super::problem::{Notice, Origin, Report, Severity};
use super::{Config, Error, Loaded, Source};

/// What one reading of a configuration gave.
#[derive(Debug)]
pub struct Examined {
    /// The configuration, where there is a tree to make one of. With problems, defaults stand in for what they are about.
    pub config: Option<Config>,
    /// What was said, the problems first.
    pub notices: Vec<Notice>,
    pub(super) source: Source,
    pub(super) settings: Settings,
    pub(super) excerpts: Excerpts,
    pub(super) problems: usize,
}

/// A notice as programs read it.
#[derive(Serialize)]
pub struct Finding<'a> {
    severity: &'static str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    variable: Option<&'a str>,
    key: Option<&'a str>,
    message: &'a str,
}

/// Reads a file with the environment over it, to tell everything there is to say.
///
/// A file that cannot be read is among what is said.
pub fn examine(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Examined {
    let name = path.display().to_string();
    let environment = environment.into_iter().collect();
    match std::fs::read_to_string(path) {
        Ok(text) => super::examined(&name, &text, environment),
        Err(error) => Examined::unreadable(&name, &error, environment),
    }
}

impl Examined {
    fn unreadable(name: &str, error: &std::io::Error, environment: BTreeMap<String, String>) -> Self {
        let mut report = Report::default();
        report.problem(Some(&Origin::Whole(name.into())), "", format_args!("cannot read the configuration file {name}: {error}"));
        let source = Source { path: name.into(), environment, rules: None };
        Self::new(None, report, source, Settings::default(), Excerpts::default())
    }

    pub(super) fn new(config: Option<Config>, report: Report, source: Source, settings: Settings, excerpts: Excerpts) -> Self {
        let problems = report.problems.len();
        let notices = report.problems.into_iter().chain(report.notices).collect();
        Self { config, notices, source, settings, excerpts, problems }
    }

    /// The configuration to start from, unless something stops the start.
    ///
    /// # Errors
    /// Something does.
    pub fn into_loaded(mut self) -> Result<Loaded, Error> {
        let warnings = self.notices.split_off(self.problems);
        match self.config {
            Some(config) if self.notices.is_empty() => Ok(Loaded { config, warnings, source: self.source, settings: self.settings }),
            _ => Err(Error::Invalid(self.notices)),
        }
    }

    /// Adds what somebody found who looked at what a key names, at the place where the key, or one above it, is written. Of a key
    /// that has a problem already nothing more is said: what it names is not what was meant.
    pub fn add(&mut self, severity: Severity, key: &str, text: &str) {
        let known = &self.notices[..self.problems];
        if known.iter().any(|notice| is_at_or_above(&notice.key, key)) {
            return;
        }
        let written = std::iter::successors(Some(key), |key| Some(key.rsplit_once('.')?.0)).find_map(|key| self.settings.origin(key));
        self.notices.push(Notice::new(severity, written, key, text));
    }

    /// The files with the keys of issuers under `oidc`, each with the key that names it.
    pub fn key_sets(&self) -> Vec<(String, PathBuf)> {
        let keys = (0..self.settings.count("oidc")).map(|index| format!("oidc.{index}.jwks"));
        keys.filter_map(|key| self.settings.text(&key).map(PathBuf::from).map(|path| (key, path))).collect()
    }

    /// How many of the notices keep the configuration from being used, or cannot have been meant.
    pub fn mistakes(&self) -> usize {
        self.notices.iter().filter(|notice| notice.severity == Severity::Mistake).count()
    }

    /// Every notice as people read it, with the line it is about; no secret is shown.
    pub fn text(&self) -> String {
        self.sorted().map(|notice| self.excerpts.show(notice)).collect()
    }

    /// Every notice as programs read it.
    pub fn findings(&self) -> Vec<Finding<'_>> {
        self.sorted().map(Finding::of).collect()
    }

    /// In the order in which the places stand in the files; what has no place, or a variable's, comes last.
    fn sorted(&self) -> impl Iterator<Item = &Notice> {
        let place = |notice: &&Notice| match &notice.origin {
            Some(Origin::Whole(_)) => (0, 0, 0),
            Some(Origin::File { file, line, column }) => (self.excerpts.position(file) + 1, *line, *column),
            Some(Origin::Variable(_) | Origin::SecretFile { .. }) | None => (usize::MAX, 0, 0),
        };
        let mut notices: Vec<&Notice> = self.notices.iter().collect();
        notices.sort_by_key(place);
        notices.into_iter()
    }
}

impl<'a> Finding<'a> {
    fn of(notice: &'a Notice) -> Self {
        let (file, line, column, variable) = match &notice.origin {
            Some(Origin::File { file, line, column }) => (Some(&**file), Some(*line), Some(*column), None),
            Some(Origin::Whole(file)) => (Some(&**file), None, None, None),
            Some(Origin::Variable(name)) => (None, None, None, Some(&**name)),
            Some(Origin::SecretFile { named_by, path }) => (Some(&**path), None, None, Some(&**named_by)),
            None => (None, None, None, None),
        };
        let key = Some(notice.key.as_str()).filter(|key| !key.is_empty());
        Self { severity: word(notice.severity), file, line, column, variable, key, message: &notice.text }
    }
}

/// Whether a path is another, or names a section that the other lies in.
fn is_at_or_above(path: &str, other: &str) -> bool {
    !path.is_empty() && other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
