//! What a push, a pull, a delete and a sweep mean.

use std::time::Duration;

/// `storage`, as far as rules are concerned, and `validation`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether manifests, tags and blobs may be deleted.
    pub delete: Deletion,
    /// Whether anything may be written.
    pub mode: Mode,
    /// When abandoned uploads are removed; `None`: never.
    pub upload_purging: Option<UploadPurging>,
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
