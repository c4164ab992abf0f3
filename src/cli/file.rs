//! Files that are replaced whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Only the owner reads and writes.
pub(super) const PRIVATE: u32 = 0o600;
/// Everybody reads.
pub(super) const PUBLIC: u32 = 0o644;

/// Writes a file beside the place and moves it there: what is there afterwards is the old file or the new one, on disk. A file
/// that exists keeps its owner and mode, and a symbolic link stays one; a new one gets `mode`.
///
/// # Errors
/// Nothing was changed, unless the error comes from the last flush of the directory.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let beside = directory.join(format!(".{name}.{}.new", std::process::id()));
    let staged = stage(&beside, &target, content, mode).and_then(|()| std::fs::rename(&beside, &target));
    if let Err(error) = staged {
        // The error that counts is the one that led here.
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

fn stage(beside: &Path, target: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(beside)?;
    file.write_all(content)?;
    let mode = match target.metadata() {
        Ok(known) => {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (known.uid(), known.gid()) {
                chown(beside, Some(known.uid()), Some(known.gid()))?;
            }
            known.permissions().mode() & 0o777
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => mode,
        Err(error) => return Err(error),
    };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_gets_the_mode_and_an_old_one_keeps_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"one", PRIVATE).unwrap();
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"two", PRIVATE).unwrap();
        assert_eq!((mode(&path), std::fs::read(&path).unwrap()), (0o640, b"two".to_vec()));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&path, "one").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, b"two", PRIVATE).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert!(replace(&directory.path().join("absent/file"), b"", PRIVATE).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
