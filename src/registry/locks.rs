//! Who may change what at the same time.
//!
//! A fixed number of locks, chosen by hash: two names may share one, which costs time and nothing else, and the table never
//! grows. Whoever adds links to a repository holds it shared, whoever removes links holds it alone, so that nothing a manifest
//! was checked for goes away before its own link is written. Tags are written one at a time.

use std::hash::{BuildHasher as _, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::oci::{Name, Tag};

const STRIPES: usize = 64;

#[derive(Debug)]
pub(super) struct Locks {
    hasher: RandomState,
    repositories: [RwLock<()>; STRIPES],
    tags: [Mutex<()>; STRIPES],
    examinations: [Mutex<()>; STRIPES],
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            repositories: std::array::from_fn(|_| RwLock::default()),
            tags: std::array::from_fn(|_| Mutex::default()),
            examinations: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Locks {
    /// For adding links to a repository.
    pub(super) async fn adding_to(&self, repository: &Name) -> RwLockReadGuard<'_, ()> {
        self.repositories[self.stripe(repository)].read().await
    }

    /// For removing links from a repository.
    pub(super) async fn removing_from(&self, repository: &Name) -> RwLockWriteGuard<'_, ()> {
        self.repositories[self.stripe(repository)].write().await
    }

    /// For reading through the manifests of a repository.
    pub(super) async fn examining(&self, repository: &Name) -> MutexGuard<'_, ()> {
        self.examinations[self.stripe(repository)].lock().await
    }

    /// For changing some tags of a repository. Taken in the order of the table, so that two holders never wait for each other.
    pub(super) async fn tags(&self, repository: &Name, tags: &[Tag]) -> Vec<MutexGuard<'_, ()>> {
        let mut stripes: Vec<usize> = tags.iter().map(|tag| self.stripe(&(repository, tag))).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(self.tags[stripe].lock().await);
        }
        guards
    }

    fn stripe(&self, key: &impl Hash) -> usize {
        self.hasher.hash_one(key) as usize % STRIPES
    }
}
