//! The configuration as a running server sees it: what of it is taken up when its files change.
//!
//! A file that cannot be used leaves the old configuration in force, and one that has no rules any more the old rules.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::{error, info, warn};

use super::parts::Parts;
use crate::auth::{Authenticator, Options, Rules};
use crate::blocking;
use crate::config::{Loaded, Settings, Source};
use crate::whole_file::Stamp;

/// What a running registry takes up, with everything below it; the rest needs a restart.
const LIVE: &[&str] = &[
    "access",
    "catalog",
    "http.accelredirect",
    "http.headers",
    "http.relativeurls",
    "http.trustedproxies",
    "limits.blobsize",
    "limits.connections",
    "limits.exempt",
    "limits.logins",
    "limits.manifestsize",
    "limits.minrate",
    "limits.reads",
    "limits.reserve",
    "limits.timeouts.handshake",
    "limits.timeouts.stall",
    "limits.writes",
    "metrics.from",
    "metrics.users",
    "middleware.storage",
    "policy",
    "storage.delete",
    "storage.maintenance.readonly",
    "storage.redirect",
    "tags",
    "validation",
];

/// Sections that are there or not: what stands below them counts.
const SECTIONS: &[&str] = &["limits", "limits.timeouts", "metrics", "middleware", "storage", "storage.maintenance", "http"];

/// What is in force of the configuration, and where it lies.
pub(super) struct Configured {
    seen: Mutex<Seen>,
}

/// What became of a reading.
pub(super) struct TakenUp {
    /// The keys that are another than at the last good reading.
    pub(super) changed: Vec<String>,
    /// The keys that are another than at the start, and wait for the next one.
    pub(super) waiting: Vec<String>,
    /// Whether the reading before failed.
    pub(super) is_recovery: bool,
}

struct Seen {
    /// As the last good reading has it: the rules may have moved to another file since.
    source: Source,
    /// What was written at the last good reading.
    settings: Settings,
    /// What was written at the start.
    started_with: Settings,
    stamps: Vec<Option<Stamp>>,
    /// A file has become another, and has not been read yet.
    is_changing: bool,
    rules: Option<Rules>,
    trouble: Option<String>,
}

impl Configured {
    pub(super) fn new(source: Source, settings: Settings, in_force: &Options) -> Self {
        let rules = rules_of(in_force).cloned();
        let started_with = settings.clone();
        let seen = Seen { source, settings, started_with, stamps: Vec::new(), is_changing: false, rules, trouble: None };
        Self { seen: Mutex::new(seen) }
    }

    /// Whether a file may be another: not at once, but when two looks in a row find the same, so that what is still being written is
    /// not taken for whole.
    pub(super) async fn is_due(&self, now: SystemTime) -> bool {
        let source = self.lock().source.clone();
        let stamps: Vec<_> = blocking::run(move || source.files().map(|path| Stamp::of(path).ok()).collect()).await;
        let settled = stamps.iter().flatten().all(|stamp| !stamp.is_young(now));
        let mut seen = self.lock();
        let same = std::mem::replace(&mut seen.stamps, stamps.clone()) == stamps;
        let was_changing = std::mem::replace(&mut seen.is_changing, !same);
        same && (was_changing || !settled)
    }

    /// Reads the configuration again and takes up what can be; or why it cannot be used.
    pub(super) async fn reload(&self, parts: &Parts) -> Result<TakenUp, String> {
        let source = self.lock().source.clone();
        let loaded = blocking::run(move || source.load()).await;
        let mut seen = self.lock();
        let outcome = match loaded {
            Ok(loaded) => seen.adopt(loaded, parts),
            Err(error) => Err(error.to_string()),
        };
        let trouble = outcome.as_ref().err().cloned();
        if let Some(error) = trouble.as_ref().filter(|trouble| seen.trouble.as_ref() != Some(*trouble)) {
            error!(%error, "the configuration has changed and cannot be used; the old one is kept");
        }
        seen.trouble = trouble;
        outcome
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn adopt(&mut self, loaded: Loaded, parts: &Parts) -> Result<TakenUp, String> {
        let Loaded { config, source, settings, .. } = loaded;
        let changed = self.settings.differing(&settings);
        let rules = rules_of(&config.auth).cloned();
        // Before anything is taken up: a file that is just being written may lack its end, and that must not let everybody in.
        if let Some(rules) = &rules {
            self.check_rules(rules)?;
        }
        if !changed.is_empty() {
            parts.apply(config).map_err(|error| format!("{error:#}"))?;
        }
        (self.source, self.settings) = (source, settings);
        if let Some(rules) = rules {
            self.adopt_rules(rules, &parts.authenticator);
        }
        let waiting: Vec<_> = self.started_with.differing(&self.settings).into_iter().filter(|key| needs_restart(key)).collect();
        if !changed.is_empty() {
            info!(keys = %changed.join(", "), "the configuration is read anew");
            if !waiting.is_empty() {
                warn!(keys = %waiting.join(", "), "the configuration has changed where only a restart takes it up");
            }
        }
        Ok(TakenUp { changed, waiting, is_recovery: self.trouble.is_some() })
    }

    fn check_rules(&self, rules: &Rules) -> Result<(), String> {
        let had_rules = self.rules.as_ref().is_some_and(Rules::are_written);
        if had_rules && !rules.are_written() {
            return Err("the access rules are gone from the configuration; the old ones are kept until a restart".to_owned());
        }
        Ok(())
    }

    fn adopt_rules(&mut self, rules: Rules, authenticator: &Authenticator) {
        if self.rules.as_ref() != Some(&rules) {
            self.rules = Some(rules.clone());
            authenticator.set_rules(rules);
            info!("the access rules are read anew");
        }
    }
}

fn rules_of(options: &Options) -> Option<&Rules> {
    match options {
        Options::Htpasswd(options) => Some(&options.rules),
        Options::Open | Options::Token(_) => None,
    }
}

fn needs_restart(key: &str) -> bool {
    let is_below = |live: &str| key.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    !SECTIONS.contains(&key) && !LIVE.iter().any(|live| is_below(live))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_live_with_all_that_stands_below_it() {
        for live in ["access.rules.0.who", "limits.reads.rate", "limits", "http.headers", "storage.maintenance.readonly.enabled"] {
            assert!(!needs_restart(live), "{live}");
        }
        for other in ["http.addr", "limits.timeouts.idle", "http.headersx", "storage.filesystem.rootdirectory", "auth", "log.level"] {
            assert!(needs_restart(other), "{other}");
        }
    }
}
