//! Holding changes back while garbage is collected, and what a collection must leave to pushes under way.
//!
//! Every change takes a [`Change`] for as long as it lasts. A [`Hold`] waits for those that are under way and lets no other begin;
//! meanwhile changes are refused at once. A blob that was pushed is named by no manifest until the push that brought it ends: until
//! then, or for an hour, it counts as needed. Two pushes may bring the same blob, so what is brought is counted, and a manifest that is
//! new to the repository takes one from the count of each thing that it names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{Error, Registry};
use crate::oci::{Digest, Name};

/// How long what a push brought waits for the manifest that names it.
const PUSH_LASTS: Duration = Duration::from_secs(3600);

/// How much of it is remembered.
const REMEMBERED: u64 = 200_000;

/// Something that a push under way has brought; as text its repository, a space and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pushed {
    /// Where it went.
    pub repository: Name,
    /// The digest under which its bytes lie.
    pub digest: Digest,
}

impl fmt::Display for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.repository, self.digest)
    }
}

/// The text is not a repository and a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a repository and a digest")]
pub struct InvalidPushed;

impl FromStr for Pushed {
    type Err = InvalidPushed;

    fn from_str(text: &str) -> Result<Self, InvalidPushed> {
        let (repository, digest) = text.split_once(' ').ok_or(InvalidPushed)?;
        let (Ok(repository), Ok(digest)) = (repository.parse(), digest.parse()) else { return Err(InvalidPushed) };
        Ok(Self { repository, digest })
    }
}

/// The gate of changes, and what pushes under way have brought.
#[derive(Debug)]
pub(super) struct Changes {
    gate: Arc<RwLock<()>>,
    pushed: Cache<Pushed, u32>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { gate: Arc::default(), pushed: Cache::builder().max_capacity(REMEMBERED).time_to_live(PUSH_LASTS).build() }
    }
}

/// The right to change the store, until it is dropped.
#[derive(Debug)]
pub(super) struct Change {
    _guard: OwnedRwLockReadGuard<()>,
}

impl Changes {
    /// Begins a change.
    pub(super) fn begin(&self) -> Result<Change, Error> {
        match Arc::clone(&self.gate).try_read_owned() {
            Ok(guard) => Ok(Change { _guard: guard }),
            Err(_) => Err(Error::Held),
        }
    }

    /// Remembers what a push has brought that no manifest names yet.
    pub(super) fn pushed(&self, repository: &Name, digest: &Digest) {
        let key = Pushed { repository: repository.clone(), digest: digest.clone() };
        self.pushed.entry(key).and_upsert_with(|count| count.map_or(1, |count| count.into_value().saturating_add(1)));
    }

    /// Counts what one new manifest names as brought once less.
    pub(super) fn named<'a>(&self, repository: &Name, digests: impl Iterator<Item = &'a Digest>) {
        for digest in digests {
            let key = Pushed { repository: repository.clone(), digest: digest.clone() };
            self.pushed.entry(key).and_compute_with(|count| match count.map(|count| count.into_value()) {
                Some(count) if count > 1 => Op::Put(count - 1),
                Some(_) => Op::Remove,
                None => Op::Nop,
            });
        }
    }

    /// Forgets what was deleted.
    pub(super) fn deleted(&self, repository: &Name, digest: &Digest) {
        self.pushed.invalidate(&Pushed { repository: repository.clone(), digest: digest.clone() });
    }
}

/// Keeps every change from beginning, until it is dropped. Then nothing that was kept in memory of the store is believed any more.
pub struct Hold {
    registry: Arc<Registry>,
    _guard: OwnedRwLockWriteGuard<()>,
}

impl Registry {
    /// Waits for the changes under way and lets no other begin. `None` where they do not end in time, or another holds.
    pub async fn hold(self: &Arc<Self>, patience: Duration) -> Option<Hold> {
        let guard = tokio::time::timeout(patience, Arc::clone(&self.changes.gate).write_owned()).await.ok()?;
        Some(Hold { registry: Arc::clone(self), _guard: guard })
    }

    /// What pushes under way have brought.
    pub fn pushed(&self) -> Vec<Pushed> {
        self.changes.pushed.iter().map(|(pushed, _)| (*pushed).clone()).collect()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.registry.manifests.forget();
        self.registry.examined.forget();
    }
}
