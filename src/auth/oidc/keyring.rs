//! The keys of one issuer: read from a file, or fetched from it and kept.
//!
//! Invariants of fetched keys: one fetch at a time, and at most one begins in [`PAUSE`], whatever tokens arrive; keys are used
//! until others come, but not longer than [`KEPT`]. A fetch outlives the request that began it, so that nobody can hold off the
//! fetch for others by going away; it ends by its own time limit, or with the keyring.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use jsonwebtoken::Header;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::fetch::{self, FetchFault};
use super::issuers::Refusal;
use super::{IssuerUrl, OidcKeys};
use crate::auth::error::{Error, TokenFault};
use crate::auth::trusted_keys::{self, TrustedKey, TrustedKeys};
use crate::blocking;

/// The keys of one issuer.
pub(super) enum Keyring {
    File { path: PathBuf, keys: ArcSwap<TrustedKeys> },
    Discovered(Discovered),
}

/// Keys that the issuer is asked for.
pub(super) struct Discovered {
    issuer: IssuerUrl,
    held: ArcSwapOption<Held>,
    fetching: Mutex<Fetching>,
}

struct Held {
    keys: TrustedKeys,
    fetched: SystemTime,
}

#[derive(Default)]
struct Fetching {
    begun: Option<SystemTime>,
    /// The fetch whose outcome nobody has taken yet.
    task: Option<AbortOnDropHandle<Result<TrustedKeys, FetchFault>>>,
}

impl Keyring {
    /// Reads the file, if the keys are in one.
    pub(super) async fn open(issuer: &IssuerUrl, keys: OidcKeys) -> Result<Self, Error> {
        match keys {
            OidcKeys::Discovered => Ok(Self::Discovered(Discovered::new(issuer.clone()))),
            OidcKeys::File(path) => {
                let keys = ArcSwap::from_pointee(read(path.clone()).await?);
                Ok(Self::File { path, keys })
            }
        }
    }

    /// Whether its keys come from there.
    pub(super) fn is_of(&self, keys: &OidcKeys) -> bool {
        match (self, keys) {
            (Self::File { path, .. }, OidcKeys::File(other)) => path == other,
            (Self::Discovered(_), OidcKeys::Discovered) => true,
            (Self::File { .. }, OidcKeys::Discovered) | (Self::Discovered(_), OidcKeys::File(_)) => false,
        }
    }

    /// The key that a token means.
    pub(super) async fn key(&self, header: &Header, now: SystemTime) -> Result<TrustedKey, Refusal> {
        match self {
            Self::File { keys, .. } => Ok(keys.load().choose(header).cloned().ok_or(TokenFault::UnknownKey)?),
            Self::Discovered(discovered) => discovered.key(header, now).await,
        }
    }

    /// Reads the file again; a bad one leaves the old keys in force.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        if let Self::File { path, keys } = self {
            keys.store(Arc::new(read(path.clone()).await?));
        }
        Ok(())
    }
}

impl Discovered {
    fn new(issuer: IssuerUrl) -> Self {
        Self { issuer, held: ArcSwapOption::empty(), fetching: Mutex::default() }
    }

    async fn key(&self, header: &Header, now: SystemTime) -> Result<TrustedKey, Refusal> {
        let held = self.usable(now);
        let known = held.as_ref().and_then(|held| held.keys.choose(header));
        match (&held, known) {
            (Some(held), Some(key)) if apart(held.fetched, now) < FRESH => return Ok(key.clone()),
            // One caller asks for new keys; the old are good enough for those that come meanwhile.
            (_, Some(key)) => match self.fetching.try_lock() {
                Ok(fetching) => self.refresh(fetching, now).await,
                Err(_) => return Ok(key.clone()),
            },
            (_, None) => self.refresh(self.fetching.lock().await, now).await,
        }
        let held = self.usable(now).ok_or_else(|| Refusal::KeysUnavailable(self.issuer.clone()))?;
        Ok(held.keys.choose(header).cloned().ok_or(TokenFault::UnknownKey)?)
    }

    fn usable(&self, now: SystemTime) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| apart(held.fetched, now) < KEPT)
    }

    /// Begins a fetch unless one began a moment ago, and takes the outcome of what is under way.
    async fn refresh(&self, mut fetching: MutexGuard<'_, Fetching>, now: SystemTime) {
        if fetching.begun.is_none_or(|begun| apart(begun, now) >= PAUSE) {
            let fetch = fetch::keys(self.issuer.clone()).in_current_span();
            *fetching = Fetching { begun: Some(now), task: Some(AbortOnDropHandle::new(tokio::spawn(fetch))) };
        }
        let (Some(begun), Some(task)) = (fetching.begun, &mut fetching.task) else { return };
        let outcome = task.await;
        fetching.task = None;
        match outcome {
            Ok(Ok(keys)) => self.held.store(Some(Arc::new(Held { keys, fetched: begun }))),
            Ok(Err(fault)) => self.warn(&fault),
            Err(ended) => self.warn(&ended),
        }
    }

    fn warn(&self, error: &dyn std::error::Error) {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let chain = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        tracing::warn!(oidc.issuer = %self.issuer, error = chain, "keys of an issuer cannot be fetched; older ones are used for a day");
    }
}

async fn read(path: PathBuf) -> Result<TrustedKeys, Error> {
    blocking::run(move || Ok(trusted_keys::read_file(&path)?.into_iter().collect())).await
}

/// The time between two, whichever comes first: a caller may have looked at the clock before another and come after.
fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

/// How long keys are used without asking for new ones.
pub(super) const FRESH: Duration = Duration::from_secs(3600);
/// How long keys are used while new ones cannot be had.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The least time from one fetch to the next.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
