//! What the rules refuse, and what they cannot do.

use uuid::Uuid;

use super::RefusedUrl;
use crate::oci::manifest::InvalidManifest;
use crate::oci::{Digest, MediaType, Name, Reference, Tag};
use crate::storage::{self, Key};

/// Why the registry did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such repository.
    #[error("no repository {0}")]
    NameUnknown(Name),
    /// The repository has no such blob.
    #[error("no blob {0}")]
    BlobUnknown(Digest),
    /// The repository has no such manifest.
    #[error("no manifest {0}")]
    ManifestUnknown(Reference),
    /// The body is no manifest that the registry takes.
    #[error(transparent)]
    ManifestInvalid(#[from] InvalidManifest),
    /// The manifest names content that the repository does not have.
    #[error("{} of the manifest's references are unknown", .0.len())]
    ReferencesUnknown(Vec<Digest>),
    /// Layers of the manifest lie where they may not.
    #[error("{} addresses of layers are not allowed", .0.len())]
    UrlsRefused(Vec<RefusedUrl>),
    /// Manifests of this class, which the type of the configuration tells, are not taken.
    #[error("manifests with a configuration of type {0:?} are not taken")]
    ClassRefused(Option<MediaType>),
    /// The bytes are not those that the digest names.
    #[error("the content is {actual} where {expected} was named")]
    DigestMismatch {
        /// Named by the client.
        expected: Digest,
        /// Of the bytes received.
        actual: Digest,
    },
    /// The repository has no such upload.
    #[error("no upload {0}")]
    UploadUnknown(Uuid),
    /// Another request is writing to the upload.
    #[error("upload {0} is being written to")]
    UploadBusy(Uuid),
    /// The bytes do not start where the upload stands.
    #[error("the upload stands at {stands_at}, the bytes begin at {begins_at}")]
    OutOfOrder {
        /// The offset of the upload.
        stands_at: u64,
        /// The offset that the client named.
        begins_at: u64,
    },
    /// The blob is larger than is taken.
    #[error("the blob is larger than {limit} bytes")]
    BlobTooLarge {
        /// The most bytes that are taken.
        limit: u64,
    },
    /// The disk is so full that no upload may begin.
    #[error("{free} bytes are free on the disk, and {reserve} are kept free")]
    DiskReserved {
        /// What is free.
        free: u64,
        /// What uploads must leave free.
        reserve: u64,
    },
    /// The body ended in an error before its end.
    #[error("the body broke off: {0}")]
    BodyBroken(String),
    /// The tag exists and must not be moved.
    #[error("tag {0} exists")]
    TagExists(Tag),
    /// Deleting is switched off.
    #[error("deleting is switched off")]
    DeletionDisabled,
    /// Nothing may be written.
    #[error("the registry is read-only")]
    ReadOnly,
    /// Changes are held back for a moment.
    #[error("changes are held back while garbage is collected")]
    Held,
    /// What lies beyond a symbolic link in the store cannot be judged.
    #[error("there is a symbolic link in {0}, which is not followed: what lies there may need what would be removed")]
    LinkInStore(Key),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}
