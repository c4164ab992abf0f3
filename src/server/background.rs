//! The tasks that run beside the requests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::configured::Configured;
use super::parts::Parts;
use super::reload::{Reloader, tell_of_certificate};
use super::{checks, control};
use crate::auth::Authenticator;
use crate::config::HealthCheck;
use crate::notify::Courier;
use crate::registry::{PurgeEffect, Registry, UploadPurging};
use crate::telemetry::{Metrics, Outcome};
use crate::tls::Certificate;
use crate::tls::acme::Acme;

/// How often the certificate's files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// The longest wait before the first round of purging, so that servers started together do not purge together.
const FIRST_PURGE_WITHIN: Duration = Duration::from_secs(3600);

/// How often files of rules, users, tokens and keys are looked at.
const ACCOUNTS_CHECK: Duration = Duration::from_secs(1);

/// How often it is written down when machine tokens were last used.
const USES_SAVED: Duration = Duration::from_secs(60);

/// All of them, with what ends them.
pub(super) struct Background {
    reloader: Arc<Reloader>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    pub(super) fn start(
        parts: Parts,
        configured: Configured,
        control: Option<(UnixListener, PathBuf)>,
        checks: Vec<HealthCheck>,
        couriers: Vec<Courier>,
    ) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let background = Self { reloader: Arc::new(Reloader::new(parts, configured)), stop, tasks };
        let parts = background.reloader.parts();
        background.spawn(keep_up(Arc::clone(&background.reloader)));
        if let Some((listener, root)) = control {
            background.spawn(control::serve(listener, Arc::clone(&background.reloader), root));
        }
        if let Some(certificate) = parts.certificate.clone() {
            background.spawn(Arc::clone(&certificate).keep());
            background.spawn(watch(certificate, Arc::clone(&parts.outlets.metrics)));
        }
        if let Some(rules) = parts.registry.options().upload_purging {
            background.spawn(purge(Arc::clone(&parts.registry), Arc::clone(&parts.outlets.metrics), rules));
        }
        for check in checks {
            background.spawn(checks::watch(check, Arc::clone(&parts.registry), Arc::clone(&parts.health)));
        }
        for courier in couriers {
            // It ends itself, when what has been told is on disk.
            background.tasks.spawn(courier.run(background.stop.clone()));
        }
        background
    }

    /// Runs a task until everything stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(task));
    }

    /// Who reads every file again.
    pub(super) fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        save_uses(&self.reloader.parts().authenticator).await;
    }
}

async fn keep_up(reloader: Arc<Reloader>) {
    let authenticator = &reloader.parts().authenticator;
    let mut ticks = tokio::time::interval(ACCOUNTS_CHECK);
    let mut saves = tokio::time::interval(USES_SAVED);
    let mut trouble = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = SystemTime::now();
                let refreshed = authenticator.refresh(now).await.map_err(|error| chain(&error)).err();
                if let Some(error) = refreshed.as_ref().filter(|error| trouble.as_ref() != Some(*error)) {
                    error!(%error, "tokens or keys have changed and cannot be read; the old ones are kept");
                }
                trouble = refreshed;
                reloader.refresh(now).await;
            }
            _ = saves.tick() => save_uses(authenticator).await,
        }
    }
}

async fn save_uses(authenticator: &Authenticator) {
    if let Err(error) = authenticator.save_uses().await {
        warn!(error = %chain(&error), "it cannot be written down when machine tokens were last used");
    }
}

async fn watch(certificate: Arc<Certificate>, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(CERTIFICATE_CHECK);
    let mut trouble = None;
    loop {
        ticks.tick().await;
        let failure = certificate.reload().await.inspect(tell_of_certificate).map_err(|error| chain(&error)).err();
        // Told and counted once, though tried again and again.
        if let Some(error) = failure.as_ref().filter(|error| trouble.as_ref() != Some(*error)) {
            error!(%error, "the new certificates cannot be used; the old ones are kept");
            metrics.reload(Outcome::Failed, SystemTime::now());
        }
        if failure.is_none() && trouble.is_some() {
            metrics.reload(Outcome::Succeeded, SystemTime::now());
        }
        trouble = failure;
        metrics.set_certificate_expiry(certificate.expires());
        if let Some(renewals) = certificate.acme().map(Acme::renewals) {
            let last = if renewals.last_error.is_none() { Outcome::Succeeded } else { Outcome::Failed };
            metrics.set_renewals(renewals.succeeded, renewals.failed, last);
        }
    }
}

async fn purge(registry: Arc<Registry>, metrics: Arc<Metrics>, rules: UploadPurging) {
    let fraction = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    tokio::time::sleep(FIRST_PURGE_WITHIN.min(rules.interval).mul_f64(fraction)).await;
    let mut rounds = tokio::time::interval(rules.interval);
    loop {
        rounds.tick().await;
        match registry.purge_uploads(rules, SystemTime::now()).await {
            Ok(report) => {
                if rules.effect == PurgeEffect::Remove {
                    metrics.uploads_purged(report.purged.len());
                }
                info!(uploads.purged = report.purged.len(), uploads.kept = report.kept, "abandoned uploads were looked for");
            }
            Err(error) => warn!(error = %chain(&error), "abandoned uploads could not be looked for"),
        }
    }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
