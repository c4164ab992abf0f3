//! The lock that keeps a second server away from a directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::blocking;

/// Holds `<state>/lock` and the data root until it is dropped, or the process ends, however it ends.
///
/// Both, since two servers may be given one root and two places for their state.
#[derive(Debug)]
pub(super) struct Lock {
    files: [File; 2],
}

/// The right to collect garbage: until it is dropped no server can be started on the directory, nor another collection.
#[derive(Debug)]
pub(super) struct Collector {
    is_beside_server: bool,
    #[expect(dead_code, reason = "a lock lasts as long as its file is open")]
    files: Vec<File>,
}

impl Lock {
    /// Takes both locks, making the directories where they are missing, that of the state with mode 0700. Not while garbage is collected.
    pub(super) async fn take(state: &Path, root: &Path) -> Result<Self> {
        let lock = Self::take_for_collection(state, root).await?;
        let root = root.to_owned();
        // Whoever collected beside a server that has ended, and does not know yet, must not meet the next one.
        blocking::run(move || collecting(&root)).await?;
        Ok(lock)
    }

    /// The same, for whoever collects.
    async fn take_for_collection(state: &Path, root: &Path) -> Result<Self> {
        let (state, root) = (state.to_owned(), root.to_owned());
        blocking::run(move || {
            fs::create_dir_all(&root).with_context(|| format!("storage.filesystem.rootdirectory: {} cannot be made", root.display()))?;
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&state);
            made.with_context(|| format!("state: the directory {} cannot be made", state.display()))?;
            let path = state.join("lock");
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
            let file = file.with_context(|| format!("state: {} cannot be opened", path.display()))?;
            lock(&file, &path)?;
            let directory = File::open(&root).with_context(|| format!("{} cannot be opened", root.display()))?;
            lock(&directory, &root)?;
            Ok(Self { files: [file, directory] })
        })
        .await
    }
}

impl Collector {
    /// Finds out beside whom garbage is collected. The directory of the data must be there.
    pub(super) async fn of(state: &Path, root: &Path) -> Result<Self> {
        let (owned_state, owned_root) = (state.to_owned(), root.to_owned());
        let found = blocking::run(move || {
            let (state, root) = (owned_state, owned_root);
            fs::metadata(&root).with_context(|| format!("storage.filesystem.rootdirectory: {} cannot be read", root.display()))?;
            let collecting = collecting(&root)?;
            match (is_locked(&state.join("lock")), is_locked(&root)) {
                (true, true) => Ok((true, collecting)),
                (false, false) => Ok((false, collecting)),
                (true, false) => bail!("state: a registry works on {}, but with other data than {}", state.display(), root.display()),
                (false, true) => bail!("state: a registry works on {}, but its state is not in {}", root.display(), state.display()),
            }
        });
        let (is_beside_server, collecting) = found.await?;
        let mut files: Vec<File> = collecting.into_iter().collect();
        if !is_beside_server {
            let Lock { files: both } = Lock::take_for_collection(state, root).await?;
            files.extend(both);
        }
        Ok(Self { is_beside_server, files })
    }

    /// Whether a server serves the directory, which must not change it meanwhile.
    pub(super) fn is_beside_server(&self) -> bool {
        self.is_beside_server
    }
}

/// What whoever collects garbage holds: a directory of the data themselves, since two servers may have two places for their state. `None`
/// where there are no data.
fn collecting(root: &Path) -> Result<Option<File>> {
    let path = root.join("docker");
    let directory = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        directory => directory.with_context(|| format!("{} cannot be opened", path.display()))?,
    };
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => bail!("garbage is being collected in this directory ({} is locked)", path.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

/// Whether somebody collects garbage there. Blocks.
pub(super) fn is_collected(root: &Path) -> bool {
    is_locked(&root.join("docker"))
}

/// Whether another process holds one of the two. Blocks; to look, a lock is shared for a moment.
pub(super) fn is_held(state: &Path, root: &Path) -> bool {
    is_locked(&state.join("lock")) || is_locked(root)
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            bail!("another breakwater works on this directory ({} is locked); stop it, or give this one its own", path.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_holder_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (root, state) = (directory.path().join("root"), directory.path().join("state"));
        let first = Lock::take(&state, &root).await.unwrap();
        for other in [&state, &directory.path().join("elsewhere")] {
            let refusal = Lock::take(other, &root).await.unwrap_err().to_string();
            assert!(refusal.contains("another breakwater works on this directory"), "{refusal}");
        }
        assert!(is_held(&state, &root) && is_held(&directory.path().join("elsewhere"), &root));
        drop(first);
        assert!(!is_held(&state, &root));
        Lock::take(&state, &root).await.unwrap();
    }
}
