//! What requests and background tasks share, opened once.

use std::sync::Arc;

use actix_web::web::Data;
use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;

use super::secret;
use super::timed_storage::Timed;
use crate::auth::{Authenticator, Options};
use crate::config::{Config, ConnectionLimits};
use crate::http::{AppState, Health};
use crate::notify::{Courier, Notifier};
use crate::registry::Registry;
use crate::storage::Filesystem;
use crate::telemetry::Outlets;
use crate::tls::Certificate;

/// The parts of a server.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) registry: Arc<Registry>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) health: Arc<Health>,
    pub(super) outlets: Outlets,
    pub(super) state: Data<AppState>,
    pub(super) connections: Arc<ArcSwap<ConnectionLimits>>,
}

impl Parts {
    /// Opens everything that a configuration names, and who carries the events of it. A secret that it does not name is put into it.
    pub(super) async fn open(config: &mut Config) -> Result<(Self, Vec<Courier>)> {
        let secret = match config.http.secret.take() {
            Some(secret) => secret,
            None => secret::of_state(&config.state).await?,
        };
        let outlets = Outlets::open(&config.telemetry, env!("CARGO_PKG_VERSION")).context("log: its outputs cannot be written")?;
        let storage = Filesystem::open(&config.storage).await;
        let storage = storage
            .with_context(|| format!("storage.filesystem.rootdirectory: {} cannot be used", config.storage.root_directory.display()))?;
        let storage = Timed::new(storage, Arc::clone(&outlets.metrics));
        let authenticator = Authenticator::open(&config.auth, &secret).await.context("auth: the files it names cannot be used")?;
        let certificate = match config.tls.clone() {
            Some(options) => Some(Arc::new(Certificate::open(options).await.context("http.tls: the files it names cannot be used")?)),
            None => None,
        };
        config.http.secret = Some(secret);
        let registry = Registry::new(Arc::new(storage), config.registry.clone());
        let authenticator = Arc::new(authenticator);
        let health = Arc::new(Health::new(Arc::clone(&outlets.metrics)));
        let opened = Notifier::open(&config.notifications, &outlets.metrics).await.context("notifications cannot be sent")?;
        let (notifier, couriers) = opened.map(|(notifier, couriers)| (Arc::new(notifier), couriers)).unzip();
        let state = AppState::new(&config.http, Arc::clone(&registry), Arc::clone(&authenticator), Arc::clone(&health), outlets.clone())?;
        let state = Data::new(state.telling(notifier));
        let connections = Arc::new(ArcSwap::from_pointee(config.connections.clone()));
        Ok((Self { registry, authenticator, certificate, health, outlets, state, connections }, couriers.unwrap_or_default()))
    }

    /// Takes up what a reload may change.
    pub(super) fn apply(&self, config: Config) -> Result<()> {
        self.state.apply(&config.http)?;
        self.registry.set_options(config.registry);
        if let Options::Htpasswd(options) = config.auth {
            self.authenticator.set_login_limits(options.logins);
        }
        self.connections.store(Arc::new(config.connections));
        Ok(())
    }
}
