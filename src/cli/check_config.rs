//! `check-config`: what a start would say of a configuration, without one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;

use super::{Outcome, print};
use crate::auth::{HtpasswdOptions, Options, PasswordFile};
use crate::config::{self, Severity};
use crate::tls::Finding;

const EXAMPLES: &str = "\
Examples:
  breakwater check-config config.yml
  REGISTRY_HTTP_ADDR=:443 breakwater check-config

Exit 0: nothing wrong. 1: it cannot be used, or says something that cannot have been meant, such as a rule that can never match, or names \
a certificate that has expired or does not fit its key.";

/// The arguments of `check-config`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file.
    file: Option<PathBuf>,
}

/// Checks a file with the environment over it.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let path = config::default_path(arguments.file, super::environment())?;
    let loaded = config::load(&path, super::environment())?;
    let mut text = String::new();
    let mut mistakes = 0;
    for notice in &loaded.warnings {
        let word = match notice.severity {
            Severity::Mistake => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        mistakes += usize::from(notice.severity == Severity::Mistake);
        text.push_str(&format!("{word}: {}\n", notice.message));
    }
    if let Options::Htpasswd(options) = &loaded.config.auth {
        for user in strangers(options) {
            text.push_str(&format!("warning: access: `{user}` is not in {} (yet)\n", options.path.display()));
        }
    }
    for finding in loaded.config.tls.iter().flat_map(|tls| tls.inspect(SystemTime::now())) {
        let (word, what) = match &finding {
            Finding::Error(what) => ("error", what),
            Finding::Warning(what) => ("warning", what),
            Finding::Info(what) => ("info", what),
        };
        mistakes += usize::from(word == "error");
        text.push_str(&format!("{word}: {what}\n"));
    }
    let verdict = if mistakes == 0 { "can be used".to_owned() } else { format!("errors found: {mistakes}") };
    text.push_str(&format!("{}: {verdict}\n", path.display()));
    print(text.as_bytes())?;
    Ok(if mistakes == 0 { Outcome::Done } else { Outcome::Denied })
}

/// Users of whom rules speak and whom the password file does not have. A file that is missing is made at the start, and has none.
fn strangers(options: &HtpasswdOptions) -> BTreeSet<&str> {
    let Ok(file) = PasswordFile::open(&options.path) else { return BTreeSet::new() };
    let known: BTreeSet<String> = file.users().map(|user| user.name).collect();
    options.rules.users().filter(|user| !known.contains(*user)).collect()
}
