//! The directories of uploads, used again.
//!
//! A push of a small blob would otherwise make and remove a directory and a file for nothing but its session, which some file
//! systems make the next pushes pay for: ext4 without a journal searches past every inode that was freed in the last seconds.
//! So the directory of an upload that has ended is set aside in the staging area, with its `startedat` in it, and renamed into
//! place for a later one. What is set aside when the process ends is removed at the next start, with the rest of the staging area.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// How many directories wait for their next use.
const SPARE: usize = 64;

const STARTED_AT: &str = "startedat";
const DATA: &str = "data";

#[derive(Debug)]
pub(super) struct Sessions {
    staging: PathBuf,
    spare: Mutex<Vec<PathBuf>>,
}

impl Sessions {
    pub(super) fn kept_in(staging: PathBuf) -> Self {
        Self { staging, spare: Mutex::default() }
    }

    /// Makes the directory of an upload, puts down when it was begun, and opens the file for its bytes.
    pub(super) fn begin(&self, session: &Path, started_at: &[u8]) -> io::Result<File> {
        let reused = self.spare().pop().is_some_and(|spare| move_to(&spare, session).is_ok());
        if !reused {
            fs::create_dir_all(session)?;
        }
        let mut note = OpenOptions::new().write(true).create(true).truncate(true).open(session.join(STARTED_AT))?;
        note.write_all(started_at)?;
        File::create(session.join(DATA))
    }

    /// Sets the directory of an upload aside, or removes it where more is in it than the time.
    pub(super) fn end(&self, session: &Path) -> io::Result<()> {
        let is_spent = fs::read_dir(session)?.all(|entry| entry.is_ok_and(|entry| entry.file_name() == STARTED_AT));
        if !is_spent || self.spare().len() >= SPARE {
            return fs::remove_dir_all(session);
        }
        let aside = self.staging.join(Uuid::new_v4().to_string());
        fs::rename(session, &aside)?;
        self.spare().push(aside);
        Ok(())
    }

    fn spare(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn move_to(spare: &Path, session: &Path) -> io::Result<()> {
    match fs::rename(spare, session) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            session.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(spare, session)
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_an_upload_that_ended_serves_the_next_one() {
        let root = tempfile::tempdir().unwrap();
        let staging = root.path().join("staging");
        fs::create_dir(&staging).unwrap();
        let sessions = Sessions::kept_in(staging.clone());
        let (first, second) = (root.path().join("a/_uploads/1"), root.path().join("b/_uploads/2"));
        sessions.begin(&first, b"long ago").unwrap();
        fs::remove_file(first.join(DATA)).unwrap();
        sessions.end(&first).unwrap();
        assert!(!first.try_exists().unwrap());
        sessions.begin(&second, b"now").unwrap();
        assert_eq!(fs::read(second.join(STARTED_AT)).unwrap(), b"now");
        assert_eq!(fs::read(second.join(DATA)).unwrap(), b"");
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    }

    #[test]
    fn an_upload_that_was_given_up_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let staging = root.path().join("staging");
        fs::create_dir(&staging).unwrap();
        let sessions = Sessions::kept_in(staging.clone());
        let session = root.path().join("a/_uploads/1");
        sessions.begin(&session, b"now").unwrap();
        sessions.end(&session).unwrap();
        assert!(!session.try_exists().unwrap());
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    }
}
