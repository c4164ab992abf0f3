//! What a push, a pull, a delete and a sweep mean.
//!
//! Owns the rules and their order; knows no protocol. [`Registry`] is shared by all; a [`Repository`] is a handle bound to one
//! name. The write order, from which every promise about crashes follows: the bytes of a blob, then the link that makes them
//! the repository's; of a manifest the bytes, then the revision link with the referrer entry and the tag's history, then what
//! the tag points to. A crash in between leaves at worst bytes that nothing points to, never a pointer to nothing. A delete goes
//! the other way round. Whatever changes the store runs to its end even when the caller goes away ([`finish`]), so that a
//! lock is never let go while a write that it guards is still under way.

mod blobs;
mod catalog;
mod error;
mod gc;
mod hold;
mod links;
mod locks;
mod manifests;
mod purge;
mod referrers;
mod room;
mod tags;
mod uploads;
mod validation;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

pub use self::blobs::{Blob, MountSource};
pub use self::catalog::Sight;
pub use self::error::Error;
pub use self::gc::{Broken, DeadBlob, Marked, Progress, Survey, SurveyedRepository, Untagged};
pub use self::hold::{Hold, InvalidPushed, Pushed};
pub use self::manifests::{CacheUse, ManifestPush, PushedManifest, StoredManifest, TagMode};
pub use self::purge::PurgeReport;
pub use self::room::Reserve;
pub use self::uploads::{Session, UploadStatus};
pub use self::validation::{Children, InvalidPattern, LayerUrls, Patterns, RefusedUrl, Validation};

use self::hold::{Change, Changes};
use self::locks::Locks;
use self::manifests::ManifestCache;
use self::referrers::Examined;
use self::room::LastLook;
use self::uploads::Uploads;
use crate::oci::Name;
use crate::storage::Storage;

// A blob's bytes and the trouble with them pass through the rules unchanged, so that who calls needs not know the store.
pub use crate::storage::{Content, Error as StorageError};

/// `storage`, as far as rules are concerned.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether manifests, tags and blobs may be deleted.
    pub delete: Deletion,
    /// Whether anything may be written.
    pub mode: Mode,
    /// When abandoned uploads are removed; `None`: never.
    pub upload_purging: Option<UploadPurging>,
    /// The largest blob that is taken, in bytes; `None`: any.
    pub largest_blob: Option<u64>,
    /// How much of the disk stays free of uploads.
    pub reserve: Reserve,
    /// What manifests may be and point to.
    pub validation: Validation,
}

/// `storage.delete.enabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Deletes are carried out.
    Enabled,
    /// Deletes are answered 405.
    Disabled,
}

/// `storage.maintenance.readonly`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Pulls, pushes and deletes.
    ReadWrite,
    /// Pulls only.
    ReadOnly,
}

/// `storage.maintenance.uploadpurging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadPurging {
    /// Uploads begun longer ago than this are removed.
    pub age: Duration,
    /// The time between two rounds.
    pub interval: Duration,
    /// Whether a round only reports.
    pub effect: PurgeEffect,
}

/// What a round of upload purging does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeEffect {
    /// Removes what it finds.
    Remove,
    /// Says what it would remove.
    DryRun,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on the page, in order.
    pub items: Vec<T>,
    /// Whether anything comes after it.
    pub rest: Rest,
}

/// Whether a page is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Something comes after this page.
    More,
    /// Nothing does.
    Nothing,
}

/// The rules, on one store.
pub struct Registry {
    storage: Arc<dyn Storage>,
    options: ArcSwap<Options>,
    locks: Locks,
    changes: Changes,
    uploads: Uploads,
    manifests: ManifestCache,
    examined: Examined,
    last_look: LastLook,
    /// Who may walk the whole tree at the same time.
    walks: Semaphore,
}

impl Registry {
    /// Binds the rules to a store.
    pub fn new(storage: Arc<dyn Storage>, options: Options) -> Arc<Self> {
        Arc::new(Self {
            storage,
            options: ArcSwap::from_pointee(options),
            locks: Locks::default(),
            changes: Changes::default(),
            uploads: Uploads::default(),
            manifests: ManifestCache::default(),
            examined: Examined::default(),
            last_look: LastLook::default(),
            walks: Semaphore::new(WALKS),
        })
    }

    /// A handle to one repository, which need not exist yet.
    pub fn repository(self: &Arc<Self>, name: Name) -> Repository {
        Repository { registry: Arc::clone(self), name }
    }

    /// Whether the store can be read. One that does not answer in time cannot.
    pub async fn check_store(&self) -> Result<(), Error> {
        let key = crate::storage::layout::repositories();
        match tokio::time::timeout(STORE_ANSWERS_WITHIN, self.storage.stat(&key)).await {
            Ok(found) => Ok(found.map(drop)?),
            Err(_) => Err(StorageError::Io { key, source: std::io::ErrorKind::TimedOut.into() }.into()),
        }
    }

    /// How many uploads a request is writing to.
    pub fn uploads_open(&self) -> usize {
        self.uploads.open()
    }

    /// How the cache of manifests does.
    pub fn cache_use(&self) -> CacheUse {
        self.manifests.usage()
    }

    /// The options that hold now.
    pub fn options(&self) -> Arc<Options> {
        self.options.load_full()
    }

    /// Puts other options in the place of the old ones, for requests that come from now on.
    pub fn set_options(&self, options: Options) {
        self.options.store(Arc::new(options));
    }
}

/// The rules, bound to one repository.
#[derive(Clone)]
pub struct Repository {
    registry: Arc<Registry>,
    name: Name,
}

impl Repository {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    fn storage(&self) -> &dyn Storage {
        self.registry.storage.as_ref()
    }

    /// The right to change something, where that is allowed now.
    fn change(&self) -> Result<Change, Error> {
        match self.registry.options.load().mode {
            Mode::ReadWrite => self.registry.changes.begin(),
            Mode::ReadOnly => Err(Error::ReadOnly),
        }
    }

    /// The right to delete something, where that is allowed now.
    fn deletion(&self) -> Result<Change, Error> {
        let change = self.change()?;
        match self.registry.options.load().delete {
            Deletion::Enabled => Ok(change),
            Deletion::Disabled => Err(Error::DeletionDisabled),
        }
    }
}

/// How long a probe waits for the store.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// How many walks over the whole tree go on at a time, so that those who list keep the disk for those who pull.
const WALKS: usize = 4;

/// Carries a change out to its end, even when the caller stops waiting for it.
async fn finish<T: Send + 'static>(change: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(change.in_current_span()).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a change is never cancelled: {error}"),
        },
    }
}
