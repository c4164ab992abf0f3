//! Bytes at keys: knows the layout, knows no rules.
//!
//! Every backend shares [`layout`], so that a directory or a bucket written by registry:2 is readable as it is. The contract
//! is written on the methods of [`Storage`] and [`Upload`]; `contract.rs` holds one test a clause.

mod error;
mod filesystem;
pub mod layout;

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
pub(crate) mod faults;

use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

pub use error::Error;
pub use filesystem::{Content, Filesystem};
pub use layout::Key;

/// `storage.filesystem`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that holds `docker/registry/v2`.
    pub root_directory: PathBuf,
}

/// What `Ok` promises of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a loss of power right after.
    Durable,
    /// It survives the end of this process.
    Relaxed,
}

/// What is known of the content at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes.
    pub length: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

/// How large a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// In bytes.
    pub total: u64,
    /// What of it may still be written, in bytes.
    pub free: u64,
}

/// Where an upload keeps what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadKeys {
    /// Below it lies all of it.
    pub session: Key,
    /// Its bytes so far.
    pub data: Key,
    /// When it was begun: RFC 3339, UTC, whole seconds.
    pub started_at: Key,
}

/// One name directly below a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name: the part of the key after the slash.
    pub name: String,
    /// Whether content lies at it, or further names lie below it.
    pub kind: EntryKind,
}

/// What lies at an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// Content.
    Content,
    /// Further names.
    Directory,
    /// A symbolic link, which is not followed.
    Link,
}

/// A place that keeps bytes at keys.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Length and time of the content at a key; of a directory, its time.
    async fn stat(&self, key: &Key) -> Result<Metadata, Error>;

    /// The whole content at a key. For small content only: it is held in memory.
    async fn read(&self, key: &Key) -> Result<Bytes, Error>;

    /// Opens the content at a key. What was opened stays readable when the key is replaced or deleted.
    async fn open(&self, key: &Key) -> Result<Content, Error>;

    /// Puts content at a key, in place of what was there. Atomic: a reader, or a start after a crash, finds the old content
    /// or the new one, whole. On an error the old content is still there, unless the new name was all that could not be made durable.
    async fn write(&self, key: &Key, content: Bytes, durability: Durability) -> Result<(), Error>;

    /// Begins an upload: puts down when, and makes the place where its bytes gather, which may be read meanwhile. Not durable.
    async fn begin(&self, upload: &UploadKeys, started_at: Bytes) -> Result<Box<dyn Upload>, Error>;

    /// Goes on with an upload that was begun, by this process or by another before it, at the end of its bytes.
    async fn resume(&self, upload: &UploadKeys) -> Result<Box<dyn Upload>, Error>;

    /// Removes what is left of an upload, whether it was committed or given up. Not durable.
    async fn end(&self, upload: &UploadKeys) -> Result<(), Error>;

    /// The names directly below a key, sorted bytewise. `NotFound` where nothing ever lay below it.
    async fn list(&self, key: &Key) -> Result<Vec<Entry>, Error>;

    /// Removes what lies at and below a key. `NotFound` where nothing did.
    async fn delete(&self, key: &Key, durability: Durability) -> Result<(), Error>;

    /// Removes content that has a directory of its own, as links and blobs have, with the directory and whatever else lies in it. Where
    /// nothing lies there is nothing to do. Durable removals are so together, when this returns.
    async fn delete_all(&self, contents: &[Key], durability: Durability) -> Result<(), Error> {
        for key in contents {
            match self.delete(&key.parent(), durability).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// How large the store is; `None` where it has no end.
    async fn space(&self) -> Result<Option<Space>, Error>;
}

/// Bytes on their way into the store. Dropping it leaves the bytes for a later [`Storage::resume`].
#[async_trait]
pub trait Upload: Send {
    /// How many bytes it holds.
    fn offset(&self) -> u64;

    /// Appends bytes. On an error the offset is as before, and so are the bytes up to it.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Moves the bytes to a key, in place of what was there. Atomic and durable: bytes first, then the name.
    async fn commit_to(self: Box<Self>, key: &Key) -> Result<(), Error>;
}
