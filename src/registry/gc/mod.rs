//! Garbage collection: finding what nothing refers to, and removing it.
//!
//! Works in two steps on a store that nobody writes to meanwhile. `Registry::survey` reads every repository, marks what must stay and
//! changes nothing; `Registry::sweep` removes what the survey found, and nothing else, so that a dry run tells exactly what a run
//! would do. What must stay: the manifests of each repository (with [`Untagged::Delete`] those that a tag points to), the manifests
//! and blobs that these name, at any depth, and the manifests whose subject stays. Whatever cannot be understood makes more stay,
//! never less. The caller keeps writers away (`Registry::hold` in a server).

mod marks;
mod references;
mod survey;
mod sweep;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::oci::{Digest, Name};
use crate::storage::Key;

/// What becomes of manifests that no tag points to, nor any other manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// They stay.
    Keep,
    /// They are garbage.
    Delete,
}

/// How far the work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// This repository has been read.
    Surveyed(&'a Name),
    /// Blobs have been looked at, so many in all.
    Listed(usize),
    /// So many of all removals are done.
    Removed {
        /// Done.
        done: usize,
        /// All.
        of: usize,
    },
}

/// What a survey found.
#[derive(Debug, Default)]
pub struct Survey {
    /// The repositories, in the order of the catalog.
    pub repositories: Vec<SurveyedRepository>,
    /// How many digests must stay.
    pub marked: usize,
    /// The blobs that nothing refers to, sorted.
    pub blobs: Vec<DeadBlob>,
    /// Where blobs would lie whose directories are empty, which a crash leaves.
    empty: Vec<Key>,
}

impl Survey {
    /// How many bytes the blobs have that nothing refers to.
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.length).sum()
    }
}

/// One repository of a survey.
#[derive(Debug)]
pub struct SurveyedRepository {
    /// Its name.
    pub name: Name,
    /// What was marked on its account, in that order.
    pub marked: Vec<Marked>,
    /// Its manifests that are garbage, sorted.
    pub manifests: Vec<Digest>,
    /// Its names of blobs that are garbage, sorted.
    pub layer_links: Vec<Digest>,
    /// How many bytes of garbage it refers to. What two repositories refer to counts in both.
    pub bytes: u64,
    /// What could not be understood, and was stepped over.
    pub broken: Vec<Broken>,
    /// The names of its manifests that are garbage, also in the histories of tags.
    names: BTreeSet<Key>,
    /// The entries of those among them that refer to another.
    referrers: Vec<Key>,
}

/// Something that must stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// A manifest of the repository.
    Manifest(Digest),
    /// What one of its manifests names.
    Blob(Digest),
    /// What a push that is under way has brought.
    Pushed(Digest),
}

/// A blob that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadBlob {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub length: u64,
}

/// Something in the store that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where it lies.
    pub key: Key,
    /// What is wrong, and what was done about it.
    pub why: &'static str,
}
