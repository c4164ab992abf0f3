//! Small files of ours that are replaced whole or not at all: keys, password files, what `--dev` makes; and how to tell that
//! one has been replaced. All of it blocks.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Only the owner reads and writes.
pub(crate) const PRIVATE: u32 = 0o600;
/// Everybody reads.
pub(crate) const PUBLIC: u32 = 0o644;

/// Replaces the file in one step and waits until it is on disk. A file that exists keeps its owner and mode, and a symbolic link
/// stays one; a new one gets `mode`, and missing parents are made for the owner alone.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let target = follow(path)?;
    let parent = parent_of(&target);
    make_directory(parent)?;
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

/// Makes a directory that is missing, with its parents, for the owner alone: whoever owns what they lie in.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| matches!(path.try_exists(), Ok(false))).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for made in missing.into_iter().rev() {
        give_to_owner_of(parent_of(made), made);
    }
    Ok(())
}

/// Gives what root has made to the owner of another file or directory; others than root cannot, and what is theirs stays theirs.
pub(crate) fn give_to_owner_of(model: &Path, path: &Path) {
    if let (Ok(model), Ok(own)) = (fs::metadata(model), fs::metadata(path))
        && model.uid() != own.uid()
    {
        let _ = chown(path, Some(model.uid()), Some(model.gid()));
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { inode: (metadata.dev(), metadata.ino()), size: metadata.size(), modified })
    }

    /// Whether a second write may hide behind the same time.
    pub(crate) fn is_young(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
        (0..=SETTLING).contains(&(now - self.modified.0))
    }

    /// Whether a file may be another than the one of a stamp; of none, that the file was missing.
    pub(crate) fn changed(path: &Path, seen: Option<Self>, now: SystemTime) -> bool {
        let current = Self::of(path).ok();
        current != seen || current.is_some_and(|stamp| stamp.is_young(now))
    }
}

/// For how many seconds after a change a file is taken for one that may have changed again.
const SETTLING: i64 = 2;

fn stage(staged: &Path, content: &[u8], mode: u32, target: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(staged)?;
    let old = metadata_of(target)?;
    let mode = old.as_ref().map_or(mode, |old| old.permissions().mode() & 0o777);
    match old {
        // It does not change hands because root edits it.
        Some(old) => keep_owner(&file, &old)?,
        None => give_to_owner_of(parent_of(target), staged),
    }
    file.write_all(content)?;
    // Not left to the umask.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (old.uid(), old.gid()) == (new.uid(), new.gid()) { Ok(()) } else { fchown(file, Some(old.uid()), Some(old.gid())) }
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
    fn a_link_and_the_mode_are_kept_and_nothing_else_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        replace(&real, b"old", 0o600).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        replace(&link, b"new", 0o600).unwrap();
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
        let _ = chown(&path, Some(1), Some(1));
        let owner = |path: &Path| fs::metadata(path).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
        let before = owner(&path);
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(owner(&path), before);
    }

    #[test]
    fn what_root_makes_belongs_to_whom_it_is_made_for() {
        let dir = tempfile::tempdir().unwrap();
        // Only root can give a directory away; for others there is but one owner.
        let _ = chown(dir.path(), Some(1), Some(1));
        make_directory(&dir.path().join("a/b")).unwrap();
        let owner = |path: &str| fs::metadata(dir.path().join(path)).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
        assert_eq!((owner("a"), owner("a/b")), (owner(""), owner("")));
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("taken")).unwrap();
        assert!(replace(&dir.path().join("taken"), b"x", 0o600).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
