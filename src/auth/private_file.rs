//! Small secret files: written whole or not at all, readable by their owner alone. All of it blocks.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Replaces the file in one step and waits until it is on disk; its owner stays, missing parents are made for the owner alone.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let target = follow(path)?;
    let parent = parent_of(&target);
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let mut staged_name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
    staged_name.push(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let staged = parent.join(staged_name);
    let written = stage(&staged, content, mode, &target).and_then(|()| fs::rename(&staged, &target));
    if written.is_err() {
        // Only the staged copy goes; what was there before stays.
        let _ = fs::remove_file(&staged);
    }
    written?;
    File::open(parent)?.sync_all()
}

fn stage(staged: &Path, content: &[u8], mode: u32, target: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(staged)?;
    // The umask does not decide about a file that was there before, nor does it change hands because root edits it.
    file.set_permissions(Permissions::from_mode(mode))?;
    if let Some(old) = metadata_of(target)? {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.write_all(content)?;
    file.sync_all()
}

fn metadata_of(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(Some),
    }
}

/// The file behind a symbolic link, so that replacing keeps the link.
fn follow(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_path_buf()),
        followed => followed,
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_and_its_new_parents_belong_to_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/secret");
        replace(&path, b"x", 0o600).unwrap();
        assert_eq!((mode_of(&path), mode_of(&dir.path().join("a")), mode_of(&dir.path().join("a/b"))), (0o600, 0o700, 0o700));
    }

    #[test]
    fn a_link_is_kept_and_nothing_else_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        replace(&real, b"old", 0o600).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"new", 0o640).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((fs::read(&real).unwrap(), mode_of(&real)), (b"new".to_vec(), 0o640));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_replaced_file_stays_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace(&path, b"old", 0o600).unwrap();
        // Only root can give a file away; for others there is but one owner to keep.
        let _ = std::os::unix::fs::chown(&path, Some(1), Some(1));
        let owner = |path: &Path| fs::metadata(path).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
        let before = owner(&path);
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(owner(&path), before);
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("taken")).unwrap();
        assert!(replace(&dir.path().join("taken"), b"x", 0o600).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
