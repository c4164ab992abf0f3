//! Bytes at keys: knows the layout, knows no rules.

use std::path::PathBuf;

/// `storage.filesystem`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that holds `docker/registry/v2`.
    pub root_directory: PathBuf,
}
