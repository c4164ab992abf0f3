//! What can go wrong below the rules.

use std::io;

use super::Key;

/// Why an operation on a key failed. The old content is still there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing lies at the key.
    #[error("nothing lies at {0}")]
    NotFound(Key),
    /// No room is left, or the quota is used up.
    #[error("no room is left for {0}")]
    Full(Key),
    /// The operating system refuses access, or the file system is read-only.
    #[error("access to {key} is refused")]
    Denied {
        /// Where.
        key: Key,
        /// What the system said.
        source: io::Error,
    },
    /// Any other trouble.
    #[error("input or output failed at {key}")]
    Io {
        /// Where.
        key: Key,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Names the key beside what the system said.
    pub(super) fn at(key: &Key, source: io::Error) -> Self {
        let key = key.clone();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound(key),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(key),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied { key, source },
            _ => Self::Io { key, source },
        }
    }

    /// Whether it says that nothing is there, which is often an answer and no trouble.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}
