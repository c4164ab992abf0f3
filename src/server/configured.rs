//! The configuration as a running server sees it: which parts of it are read again when its files change.
//!
//! So far the access rules. A file that cannot be used leaves the old rules in force, and so does one that has none any more.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::{error, info};

use crate::auth::{Authenticator, Options, Rules};
use crate::blocking;
use crate::config::Source;
use crate::whole_file::Stamp;

/// What is in force of the configuration, and where it lies.
pub(super) struct Configured {
    seen: Mutex<Seen>,
}

struct Seen {
    /// As the last good reading has it: the rules may have moved to another file since.
    source: Source,
    stamps: Vec<Option<Stamp>>,
    /// A file has become another, and has not been read yet.
    is_changing: bool,
    rules: Option<Rules>,
    trouble: Option<String>,
}

impl Configured {
    pub(super) fn new(source: Source, in_force: &Options) -> Self {
        let seen = Seen { source, stamps: Vec::new(), is_changing: false, rules: rules_of(in_force).cloned(), trouble: None };
        Self { seen: Mutex::new(seen) }
    }

    /// Reads the rules again when a file may be another: not at once, but when two looks in a row find the same, so that what is
    /// still being written is not taken for whole.
    pub(super) async fn refresh(&self, authenticator: &Authenticator, now: SystemTime) {
        let source = self.lock().source.clone();
        let stamps: Vec<_> = blocking::run(move || source.files().map(|path| Stamp::of(path).ok()).collect()).await;
        let settled = stamps.iter().flatten().all(|stamp| !stamp.is_young(now));
        let is_due = {
            let mut seen = self.lock();
            let same = std::mem::replace(&mut seen.stamps, stamps.clone()) == stamps;
            let was_changing = std::mem::replace(&mut seen.is_changing, !same);
            same && (was_changing || !settled)
        };
        if is_due {
            self.reload(authenticator).await;
        }
    }

    /// Reads the rules again.
    pub(super) async fn reload(&self, authenticator: &Authenticator) {
        let source = self.lock().source.clone();
        let loaded = blocking::run(move || source.load()).await;
        let mut seen = self.lock();
        match loaded {
            Ok(loaded) => {
                seen.trouble = None;
                seen.source = loaded.source;
                if let Some(rules) = rules_of(&loaded.config.auth) {
                    seen.adopt(rules, authenticator);
                }
            }
            Err(error) => {
                let trouble = error.to_string();
                if seen.trouble.as_ref() != Some(&trouble) {
                    error!(error = %trouble, "the configuration has changed and cannot be used; the old access rules are kept");
                    seen.trouble = Some(trouble);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn adopt(&mut self, rules: &Rules, authenticator: &Authenticator) {
        let had_rules = self.rules.as_ref().is_some_and(Rules::are_written);
        if self.rules.as_ref() == Some(rules) {
            return;
        }
        // A file that is just being written may lack its end: that must not let everybody in.
        if had_rules && !rules.are_written() {
            error!("the access rules are gone from the configuration; the old ones are kept until a restart");
            return;
        }
        self.rules = Some(rules.clone());
        authenticator.set_rules(rules.clone());
        info!("the access rules are read anew");
    }
}

fn rules_of(options: &Options) -> Option<&Rules> {
    match options {
        Options::Htpasswd(options) => Some(&options.rules),
        Options::Open | Options::Token(_) => None,
    }
}
