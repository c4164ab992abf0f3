//! Which directories are known to be on disk, and the shared syncing of those that are not.
//!
//! A new name is durable when its directory has been synced, and that directory's own name in its parent, and so on up. A
//! directory is *settled* once its own name has been synced by this process; below a settled directory the climb ends. What
//! an earlier process made may not be on disk, so nothing is settled at start but the root. One sync serves all writers that
//! wait for it.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Past this many the set starts anew; each directory then costs one more sync.
const MOST_SETTLED: usize = 50_000;

#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    settled: Mutex<BTreeSet<PathBuf>>,
    syncs: Mutex<HashMap<PathBuf, Arc<Sync>>>,
}

/// The syncing of one directory.
#[derive(Debug, Default)]
struct Sync {
    rounds: Mutex<Rounds>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    /// The latest round that has ended.
    done: u64,
    /// The latest round that failed.
    failed: u64,
    running: bool,
}

impl Directories {
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), settled: Mutex::default(), syncs: Mutex::default() }
    }

    /// Makes a new name durable: syncs its directory, and those above it that are not settled.
    pub(super) fn settle_parents(&self, path: &Path) -> io::Result<()> {
        let mut climbed = Vec::new();
        for directory in path.ancestors().skip(1) {
            self.sync(directory)?;
            if directory == self.root || lock(&self.settled).contains(directory) {
                break;
            }
            climbed.push(directory.to_owned());
        }
        let mut settled = lock(&self.settled);
        if settled.len() + climbed.len() > MOST_SETTLED {
            settled.clear();
        }
        settled.extend(climbed);
        Ok(())
    }

    /// Makes a removal durable: syncs the directory that the name was in.
    pub(super) fn settle_removal(&self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |parent| self.sync(parent))
    }

    /// Says that a directory and all below it are about to go.
    pub(super) fn forget(&self, path: &Path) {
        let mut settled = lock(&self.settled);
        let gone: Vec<PathBuf> = settled.range(path.to_owned()..).take_while(|one| one.starts_with(path)).cloned().collect();
        for one in &gone {
            settled.remove(one);
        }
    }

    /// Syncs a directory, or waits for a sync that began after this call.
    fn sync(&self, directory: &Path) -> io::Result<()> {
        let sync = Arc::clone(lock(&self.syncs).entry(directory.to_owned()).or_default());
        let outcome = sync.next_round(directory);
        let mut syncs = lock(&self.syncs);
        drop(sync);
        // The table's own; with more, somebody else waits and will tidy up.
        if syncs.get(directory).is_some_and(|sync| Arc::strong_count(sync) == 1) {
            syncs.remove(directory);
        }
        outcome
    }
}

impl Sync {
    fn next_round(&self, directory: &Path) -> io::Result<()> {
        let mut rounds = lock(&self.rounds);
        // A round that runs already may have passed our change by: the one after it will not.
        let mine = rounds.done + if rounds.running { 2 } else { 1 };
        loop {
            if rounds.done >= mine {
                let failed = rounds.failed >= mine;
                return if failed { Err(io::Error::other("a shared sync of the directory failed")) } else { Ok(()) };
            }
            if rounds.running {
                rounds = self.finished.wait(rounds).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            rounds.running = true;
            drop(rounds);
            let outcome = File::open(directory).and_then(|handle| handle.sync_all());
            rounds = lock(&self.rounds);
            rounds.running = false;
            rounds.done += 1;
            if outcome.is_err() {
                rounds.failed = rounds.done;
            }
            self.finished.notify_all();
            if rounds.done >= mine {
                return outcome;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settled_directory_ends_the_climb_until_it_is_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::below(root.path());
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        directories.settle_parents(&root.path().join("a/b/link")).unwrap();
        assert_eq!(lock(&directories.settled).len(), 2);
        directories.forget(&root.path().join("a"));
        assert!(lock(&directories.settled).is_empty());
    }

    #[test]
    fn writers_that_wait_together_all_return() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::below(root.path());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        directories.sync(root.path()).unwrap();
                    }
                });
            }
        });
        assert!(lock(&directories.syncs).is_empty());
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::below(root.path());
        assert!(directories.sync(&root.path().join("gone")).is_err());
    }
}
