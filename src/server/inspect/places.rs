//! Whether directories and files could be made, read and written by this user, told without trying.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{Access, access};

/// Whether a directory can be used, or made.
pub(super) fn directory(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Err(format!("{} is not a directory", path.display())),
        Ok(_) => may(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK, "read and written"),
        Err(error) if error.kind() == ErrorKind::NotFound => parent_can_hold(path),
        Err(error) => Err(format!("{} cannot be looked at: {error}", path.display())),
    }
}

/// Whether a file that is not there can be made, with the directories that it lies in.
pub(super) fn file_to_make(path: &Path) -> Result<(), String> {
    parent_can_hold(path)
}

/// Whether a file can be opened to write at its end, or be made in a directory that is there.
pub(super) fn file_to_append_to(path: &Path) -> Result<(), String> {
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound && parent_of(path).is_dir() => parent_can_hold(path),
        Err(error) => Err(format!("{} cannot be written: {error}", path.display())),
    }
}

/// Whether the next directory above that is there takes new names.
fn parent_can_hold(path: &Path) -> Result<(), String> {
    let parent = parent_of(path);
    let looked = match fs::metadata(parent) {
        Ok(metadata) if !metadata.is_dir() => Err(format!("{} is not a directory", parent.display())),
        Ok(_) => may(parent, Access::WRITE_OK | Access::EXEC_OK, "written"),
        Err(error) if error.kind() == ErrorKind::NotFound => return parent_can_hold(parent),
        Err(error) => Err(format!("{} cannot be looked at: {error}", parent.display())),
    };
    looked.map_err(|why| format!("{} cannot be made: {why}", path.display()))
}

fn may(path: &Path, rights: Access, what: &str) -> Result<(), String> {
    access(path, rights).map_err(|error| format!("{} cannot be {what} by this user: {error}", path.display()))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_can_be_made_below_a_directory_and_not_below_a_file() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(directory(&place.path().join("a/b/c")), Ok(()));
        assert!(directory(&file).unwrap_err().ends_with("file is not a directory"));
        for path in [file.join("a"), file.join("a/b")] {
            assert!(directory(&path).is_err() && file_to_make(&path).is_err() && file_to_append_to(&path).is_err(), "{path:?}");
        }
        assert_eq!(file_to_append_to(&place.path().join("log")), Ok(()));
        assert!(file_to_append_to(&place.path().join("absent/log")).is_err(), "a start would not make the directory");
        assert!(file_to_append_to(place.path()).is_err());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "looking makes nothing");
    }
}
