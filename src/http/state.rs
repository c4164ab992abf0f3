//! What every request handler shares.

use std::sync::Arc;

use actix_web::http::header::{HeaderName, HeaderValue};
use arc_swap::{ArcSwap, Guard};

use super::accel::Accel;
use super::access::Gate;
use super::audit::RecentLogins;
use super::body::Pace;
use super::client_addr::Proxies;
use super::health::Health;
use super::location::Locations;
use super::middleware::RequestIds;
use super::rate_limit::Limiter;
use super::upload_state::StateSigner;
use super::{BlobRedirect, MetricsOptions, Options};
use crate::auth::Authenticator;
use crate::notify::Notifier;
use crate::registry::Registry;
use crate::telemetry::Outlets;

/// Built once at start and passed down.
pub struct AppState {
    pub(super) gate: Gate,
    pub(super) request_ids: RequestIds,
    pub(super) prefix: String,
    /// As the token service has it, which only a restart changes.
    host: Option<String>,
    pub(super) upload_states: StateSigner,
    /// Where metrics are served, if anybody may ever read them there.
    pub(super) metrics_path: Option<String>,
    pub(super) health: Arc<Health>,
    pub(super) outlets: Outlets,
    pub(super) recent_logins: RecentLogins,
    /// `None`: nobody is told what happens.
    pub(super) notifier: Option<Arc<Notifier>>,
    live: ArcSwap<Live>,
}

/// What a reload may change.
pub(super) struct Live {
    pub(super) locations: Locations,
    pub(super) proxies: Proxies,
    pub(super) accel: Option<Accel>,
    pub(super) blob_redirect: Option<BlobRedirect>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) catalog_max_entries: usize,
    pub(super) tags_max: usize,
    pub(super) pace: Pace,
    pub(super) manifest_limit: usize,
    pub(super) limiter: Arc<Limiter>,
    pub(super) metrics: Option<MetricsOptions>,
}

/// A configured header cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("http.headers: {0:?} is no header that can be sent")]
pub struct InvalidHeader(String);

impl AppState {
    /// Puts the layers together.
    pub fn new(
        options: &Options,
        registry: Arc<Registry>,
        authenticator: Arc<Authenticator>,
        health: Arc<Health>,
        outlets: Outlets,
    ) -> Result<Self, InvalidHeader> {
        Ok(Self {
            gate: Gate::new(registry, authenticator),
            request_ids: RequestIds::new(),
            prefix: options.prefix.clone(),
            host: options.host.clone(),
            upload_states: StateSigner::new(options.secret.as_deref().map(Vec::as_slice)),
            metrics_path: options.metrics.as_ref().map(|metrics| metrics.path.clone()),
            health,
            outlets,
            recent_logins: RecentLogins::new(),
            notifier: None,
            live: ArcSwap::from_pointee(Live::new(options, Arc::new(Limiter::new(&options.rates)))?),
        })
    }

    /// The same, telling somebody what happens.
    pub fn telling(self, notifier: Option<Arc<Notifier>>) -> Self {
        Self { notifier, ..self }
    }

    /// Takes up what may change without a restart: all but prefix, host, secret and the path of the metrics.
    pub fn apply(&self, options: &Options) -> Result<(), InvalidHeader> {
        let limiter = Arc::clone(&self.live().limiter);
        // What was counted stays counted, unless the limits are others.
        let limiter = if limiter.is_by(&options.rates) { limiter } else { Arc::new(Limiter::new(&options.rates)) };
        let options = Options { prefix: self.prefix.clone(), host: self.host.clone(), ..options.clone() };
        self.live.store(Arc::new(Live::new(&options, limiter)?));
        Ok(())
    }

    /// What holds now. Not to be kept across an await.
    pub(super) fn live(&self) -> Guard<Arc<Live>> {
        self.live.load()
    }
}

impl Live {
    fn new(options: &Options, limiter: Arc<Limiter>) -> Result<Self, InvalidHeader> {
        Ok(Self {
            locations: Locations::new(options),
            proxies: Proxies::new(options.trusted_proxies.clone()),
            accel: options.accel_redirect.clone().map(Accel::below),
            blob_redirect: options.blob_redirect.clone(),
            headers: headers(&options.headers)?,
            catalog_max_entries: options.catalog_max_entries,
            tags_max: options.tags_max,
            pace: options.pace,
            manifest_limit: options.manifest_limit,
            limiter,
            metrics: options.metrics.clone(),
        })
    }
}

fn headers(configured: &[(String, Vec<String>)]) -> Result<Vec<(HeaderName, HeaderValue)>, InvalidHeader> {
    let mut headers = Vec::new();
    for (name, values) in configured {
        let invalid = || InvalidHeader(name.clone());
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        for value in values {
            headers.push((parsed.clone(), HeaderValue::from_str(value).map_err(|_| invalid())?));
        }
    }
    Ok(headers)
}
