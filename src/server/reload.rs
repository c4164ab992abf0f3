//! Reading everything again: the configuration, and each file that it names.
//!
//! What cannot be used is refused whole and the old of it stays; the rest is taken up. What came of it is in the log and a metric, and
//! whoever asked is told.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::{error, info};

use super::background::chain;
use super::configured::Configured;
use super::parts::Parts;
use crate::telemetry::Outcome;
use crate::tls::{Certificate, Reload};

/// The one who reads.
pub(super) struct Reloader {
    parts: Parts,
    configured: Configured,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Reloader {
    pub(super) fn new(parts: Parts, configured: Configured) -> Self {
        Self { parts, configured, turn: tokio::sync::Mutex::default() }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Reads everything. The keys that were changed since the start and need a restart; or what cannot be used.
    pub(super) async fn reload(&self) -> Result<Vec<String>, String> {
        let _turn = self.turn.lock().await;
        let mut failures = Vec::new();
        if let Some(certificate) = &self.parts.certificate {
            failures.extend(reload_certificate(certificate).await.err());
            if let Some(acme) = certificate.acme() {
                acme.hurry();
            }
        }
        match self.parts.authenticator.reload().await {
            Ok(()) => info!("passwords and keys are read anew"),
            Err(error) => {
                let error = chain(&error);
                error!(%error, "passwords and keys cannot be read anew; the old ones are kept");
                failures.push(error);
            }
        }
        let waiting = match self.configured.reload(&self.parts).await {
            Ok(taken_up) => taken_up.waiting,
            Err(error) => {
                failures.push(error);
                Vec::new()
            }
        };
        let outcome = if failures.is_empty() { Outcome::Succeeded } else { Outcome::Failed };
        self.parts.outlets.metrics.reload(outcome, SystemTime::now());
        if failures.is_empty() { Ok(waiting) } else { Err(failures.join("; ")) }
    }

    /// Takes up a configuration whose files have changed, without being asked.
    pub(super) async fn refresh(&self, now: SystemTime) {
        if self.configured.is_due(now).await {
            let _turn = self.turn.lock().await;
            match self.configured.reload(&self.parts).await {
                // As after each start, when the files are looked at for the first time.
                Ok(taken_up) if taken_up.changed.is_empty() && !taken_up.is_recovery => {}
                Ok(_) => self.parts.outlets.metrics.reload(Outcome::Succeeded, now),
                Err(_) => self.parts.outlets.metrics.reload(Outcome::Failed, now),
            }
        }
    }
}

/// Reads a certificate again when its files have changed.
async fn reload_certificate(certificate: &Arc<Certificate>) -> Result<(), String> {
    match certificate.reload().await {
        Ok(found) => {
            tell_of_certificate(&found);
            Ok(())
        }
        Err(error) => {
            let error = chain(&error);
            error!(%error, "the new certificates cannot be used; the old ones are kept");
            Err(error)
        }
    }
}

/// Says that a certificate is another.
pub(super) fn tell_of_certificate(found: &Reload) {
    if *found == Reload::Replaced {
        info!("new connections get the new certificates");
    }
}
