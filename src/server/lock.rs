//! The lock that keeps a second server away from a directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::blocking;

/// Holds `<state>/lock` until it is dropped, or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, making the state directory with mode 0700 where it is missing.
    pub(super) async fn take(state: &Path) -> Result<Self> {
        let state = state.to_owned();
        blocking::run(move || {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&state);
            made.with_context(|| format!("state: the directory {} cannot be made", state.display()))?;
            let path = state.join("lock");
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
            let file = file.with_context(|| format!("state: {} cannot be opened", path.display()))?;
            match file.try_lock() {
                Ok(()) => Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "state: another breakwater serves this directory ({} is locked); stop it, or give this one its own",
                        path.display()
                    )
                }
                Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("state: {} cannot be locked", path.display())),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_holder_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let first = Lock::take(&state).await.unwrap();
        let refusal = Lock::take(&state).await.unwrap_err().to_string();
        assert!(refusal.contains("another breakwater serves this directory"), "{refusal}");
        drop(first);
        Lock::take(&state).await.unwrap();
    }
}
