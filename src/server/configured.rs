//! The configuration as a running server sees it: which parts of it are read again when its files change.
//!
//! So far the access rules. A file that cannot be used leaves the old rules in force.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::{error, info};

use crate::auth::{Authenticator, Options, Rules};
use crate::blocking;
use crate::config::{Loaded, Source};
use crate::whole_file::Stamp;

/// Where the configuration lies, and what is in force of it.
pub(super) struct Configured {
    source: Source,
    /// The directory of our own state.
    pub(super) state: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    stamps: Vec<Option<Stamp>>,
    rules: Option<Rules>,
    trouble: Option<String>,
}

impl Configured {
    pub(super) fn new(source: Source, state: PathBuf) -> Self {
        Self { source, state, seen: Mutex::default() }
    }

    /// Reads the rules again when a file may be another.
    pub(super) async fn refresh(&self, authenticator: &Authenticator, now: SystemTime) {
        let source = self.source.clone();
        let stamps: Vec<_> = blocking::run(move || source.files().map(|path| Stamp::of(path).ok()).collect()).await;
        let settled = stamps.iter().flatten().all(|stamp| !stamp.is_young(now));
        let same = std::mem::replace(&mut self.lock().stamps, stamps.clone()) == stamps;
        if !(same && settled) {
            self.reload(authenticator).await;
        }
    }

    /// Reads the rules again.
    pub(super) async fn reload(&self, authenticator: &Authenticator) {
        let source = self.source.clone();
        let loaded = blocking::run(move || source.load()).await;
        let mut seen = self.lock();
        match loaded {
            Ok(loaded) => {
                seen.trouble = None;
                if let Some(rules) = rules_of(loaded)
                    && seen.rules.as_ref() != Some(&rules)
                {
                    let first = seen.rules.replace(rules.clone()).is_none();
                    authenticator.set_rules(rules);
                    if !first {
                        info!("the access rules are read anew");
                    }
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

fn rules_of(loaded: Loaded) -> Option<Rules> {
    match loaded.config.auth {
        Options::Htpasswd(options) => Some(options.rules),
        Options::Open | Options::Token(_) => None,
    }
}
