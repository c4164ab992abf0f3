//! The filesystem backend.
//!
//! Owns the directory `docker/registry/v2`. Every change is staged elsewhere, synced, renamed into place, and the directories
//! on the way are synced up to the first one that is known to be on disk. Reads that the page cache can answer are made where
//! they are asked for ([`cached`]); everything else goes to the blocking pool.

mod cached;
mod content;
mod directories;
mod sessions;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use self::cached::Answer;
use self::content::Pool;
use self::directories::Directories;
use self::sessions::Sessions;
use super::{Durability, Entry, EntryKind, Error, Key, Metadata, Options, Space, Storage, Upload, UploadKeys, layout};
use crate::blocking;

pub use self::content::Content;

/// Where the tree lies below `rootdirectory`.
const TREE: &str = "docker/registry/v2";

/// A directory tree on a local file system.
#[derive(Clone, Debug)]
pub struct Filesystem {
    tree: Arc<Tree>,
}

/// Where an operation waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// On the blocking pool: others need the thread.
    OnPool,
    /// Where it is asked for: a command has nothing else to do, and a hop to another thread costs more than most operations.
    InPlace,
}

#[derive(Debug)]
struct Tree {
    path: PathBuf,
    waiting: Waiting,
    handle: File,
    directories: Directories,
    sessions: Sessions,
    buffers: Arc<Pool>,
}

impl Filesystem {
    /// Opens the tree for a command, perhaps beside a server: makes nothing, and leaves what is staged alone. Every operation blocks.
    pub fn attach(options: &Options) -> io::Result<Self> {
        Self::at(options.root_directory.join(TREE), Waiting::InPlace)
    }

    fn at(path: PathBuf, waiting: Waiting) -> io::Result<Self> {
        let handle = File::open(&path)?;
        let sessions = Sessions::kept_in(path.join(layout::staging().as_str()));
        let directories = Directories::below(&path);
        Ok(Self { tree: Arc::new(Tree { path, waiting, handle, directories, sessions, buffers: Arc::default() }) })
    }

    /// Opens the tree, making its directories where they are missing, and removes what an earlier process left half staged.
    ///
    /// The caller holds the lock that keeps a second server away.
    pub async fn open(options: &Options) -> io::Result<Self> {
        let path = options.root_directory.join(TREE);
        let above = options.root_directory.parent().map(Path::to_owned);
        blocking::run(move || {
            fs::create_dir_all(path.join("repositories"))?;
            clear(&path.join(layout::staging().as_str()))?;
            // The names on the way down to the tree, which it does not sync itself.
            for directory in path.ancestors().take_while(|directory| Some(*directory) != above.as_deref()) {
                File::open(directory)?.sync_all()?;
            }
            if let Some(above) = above.filter(|above| !above.as_os_str().is_empty()) {
                // Whoever may only pass through it did not make the root in it.
                File::open(above).and_then(|directory| directory.sync_all()).ok();
            }
            Self::at(path, Waiting::OnPool)
        })
        .await
    }

    async fn run<T, F>(&self, key: &Key, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tree, &Path) -> io::Result<T> + Send + 'static,
    {
        let tree = Arc::clone(&self.tree);
        let path = tree.path.join(key.as_str());
        let done = match tree.waiting {
            Waiting::OnPool => blocking::run(move || work(&tree, &path)).await,
            Waiting::InPlace => work(&tree, &path),
        };
        done.map_err(|error| Error::at(key, error))
    }
}

impl Tree {
    fn root(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Opens for reading without following a symbolic link out of the tree.
    fn open(&self, key: &str) -> io::Result<File> {
        cached::open_blocking(self.root(), key)
    }

    /// Stages content, syncs it if asked to, and moves it to a path.
    fn put(&self, path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
        let staged = self.path.join(layout::staging().as_str()).join(Uuid::new_v4().to_string());
        let written = File::create_new(&staged).and_then(|mut file| {
            file.write_all(content)?;
            if durability == Durability::Durable { file.sync_data() } else { Ok(()) }
        });
        let moved = written.and_then(|()| self.place(&staged, path, durability));
        if moved.is_err() {
            // The error that counts is the first one; what stays in the staging directory is removed at the next start.
            fs::remove_file(&staged).ok();
        }
        moved
    }

    /// Removes a file, or a directory with all in it.
    fn remove(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            self.directories.forget(path);
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    }

    /// Removes the directories of many, and syncs each directory that those were in once.
    fn remove_all(&self, contents: &[Key], durability: Durability) -> Result<(), Error> {
        let mut changed = BTreeMap::new();
        for key in contents {
            let path = self.path.join(key.as_str());
            let Some(directory) = path.parent() else { continue };
            match self.remove_with_directory(&path, directory) {
                Ok(()) => {
                    changed.insert(key.parent().parent(), directory.to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::at(key, error)),
            }
        }
        if durability == Durability::Durable {
            for (key, directory) in &changed {
                self.directories.settle_removal(directory).map_err(|error| Error::at(key, error))?;
            }
        }
        Ok(())
    }

    /// Removes a file with its directory, in which there is seldom anything else.
    fn remove_with_directory(&self, file: &Path, directory: &Path) -> io::Result<()> {
        self.directories.forget(directory);
        match fs::remove_file(file).and_then(|()| fs::remove_dir(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(error),
            Err(_) => self.remove(directory),
            Ok(()) => Ok(()),
        }
    }

    /// Renames to a path whose parents are made at need, and syncs the directories on the way.
    fn place(&self, from: &Path, to: &Path, durability: Durability) -> io::Result<()> {
        self.rename(from, to)?;
        if durability == Durability::Durable { self.directories.settle_parents(to) } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_parents(to)?;
                fs::rename(from, to)
            }
            done => done,
        }
    }

    /// Makes the directories that are missing on the way. Whatever was known of them is not true of the new ones.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let is_missing = |directory: &&Path| matches!(directory.try_exists(), Ok(false));
        let missing: Vec<&Path> = path.ancestors().skip(1).take_while(is_missing).collect();
        for directory in missing.into_iter().rev() {
            self.directories.forget(directory);
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Empties the staging area. A file system that is read-only needs none.
fn clear(staging: &Path) -> io::Result<()> {
    let cleared = match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir(staging),
    };
    match cleared {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        done => done,
    }
}

#[async_trait]
impl Storage for Filesystem {
    async fn stat(&self, key: &Key) -> Result<Metadata, Error> {
        if self.tree.waiting == Waiting::OnPool
            && let Answer::Ready(found) = cached::stat(self.tree.root(), key.as_str())
        {
            return found.map_err(|error| Error::at(key, error));
        }
        let text = key.clone();
        self.run(key, move |tree, _| {
            let metadata = tree.open(text.as_str())?.metadata()?;
            Ok(Metadata { length: metadata.len(), modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH) })
        })
        .await
    }

    async fn read(&self, key: &Key) -> Result<Bytes, Error> {
        if self.tree.waiting == Waiting::OnPool
            && let Answer::Ready(found) = cached::read(self.tree.root(), key.as_str())
        {
            return found.map(Bytes::from).map_err(|error| Error::at(key, error));
        }
        let text = key.clone();
        self.run(key, move |tree, _| {
            // Enough for every link: then one read finds the end.
            let mut bytes = Vec::with_capacity(512);
            let mut file = tree.open(text.as_str())?;
            (&mut file).take(512).read_to_end(&mut bytes)?;
            if bytes.len() == 512 {
                file.read_to_end(&mut bytes)?;
            }
            Ok(Bytes::from(bytes))
        })
        .await
    }

    async fn open(&self, key: &Key) -> Result<Content, Error> {
        let opened = match cached::open(self.tree.root(), key.as_str()) {
            Answer::Ready(found) => found.map_err(|error| Error::at(key, error)),
            Answer::WouldBlock => {
                let text = key.clone();
                self.run(key, move |tree, _| tree.open(text.as_str())).await
            }
        };
        Content::new(opened?, key, &self.tree.buffers)
    }

    async fn write(&self, key: &Key, content: Bytes, durability: Durability) -> Result<(), Error> {
        self.run(key, move |tree, path| tree.put(path, &content, durability)).await
    }

    async fn begin(&self, upload: &UploadKeys, started_at: Bytes) -> Result<Box<dyn Upload>, Error> {
        let begun = self.run(&upload.session, move |tree, path| tree.sessions.begin(path, &started_at)).await?;
        Ok(Box::new(FileUpload { store: self.clone(), key: upload.data.clone(), file: Arc::new(begun), offset: 0 }))
    }

    async fn resume(&self, upload: &UploadKeys) -> Result<Box<dyn Upload>, Error> {
        let opened = self.run(&upload.data, |_, path| {
            let file = OpenOptions::new().write(true).open(path)?;
            let offset = file.metadata()?.len();
            Ok((file, offset))
        });
        let (file, offset) = opened.await?;
        Ok(Box::new(FileUpload { store: self.clone(), key: upload.data.clone(), file: Arc::new(file), offset }))
    }

    async fn end(&self, upload: &UploadKeys) -> Result<(), Error> {
        self.run(&upload.session, |tree, path| tree.sessions.end(path)).await
    }

    async fn list(&self, key: &Key) -> Result<Vec<Entry>, Error> {
        self.run(key, |_, path| {
            let mut entries = Vec::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let kind = match entry.file_type()? {
                    kind if kind.is_dir() => EntryKind::Directory,
                    kind if kind.is_symlink() => EntryKind::Link,
                    _ => EntryKind::Content,
                };
                entries.push(Entry { name, kind });
            }
            entries.sort_unstable();
            Ok(entries)
        })
        .await
    }

    async fn delete(&self, key: &Key, durability: Durability) -> Result<(), Error> {
        self.run(key, move |tree, path| {
            tree.remove(path)?;
            if durability == Durability::Durable { tree.directories.settle_removal(path) } else { Ok(()) }
        })
        .await
    }

    async fn delete_all(&self, contents: &[Key], durability: Durability) -> Result<(), Error> {
        match self.tree.waiting {
            Waiting::InPlace => self.tree.remove_all(contents, durability),
            Waiting::OnPool => {
                let (tree, contents) = (Arc::clone(&self.tree), contents.to_vec());
                blocking::run(move || tree.remove_all(&contents, durability)).await
            }
        }
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        self.run(&layout::repositories(), |tree, _| {
            let found = rustix::fs::fstatvfs(&tree.handle)?;
            // What is kept for root is not ours to write.
            Ok(Some(Space { total: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize }))
        })
        .await
    }
}

/// An upload that gathers in a file.
struct FileUpload {
    store: Filesystem,
    key: Key,
    file: Arc<File>,
    offset: u64,
}

#[async_trait]
impl Upload for FileUpload {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let length = bytes.len() as u64;
        let written = self.store.run(&self.key, move |_, _| {
            file.write_all_at(&bytes, offset).inspect_err(|_| {
                // What was half written is cut off; should that fail too, the next write covers it.
                file.set_len(offset).ok();
            })
        });
        written.await?;
        self.offset += length;
        Ok(())
    }

    async fn commit_to(self: Box<Self>, key: &Key) -> Result<(), Error> {
        let from = self.store.tree.path.join(self.key.as_str());
        let file = Arc::clone(&self.file);
        let placed = self.store.run(key, move |tree, path| {
            file.sync_data()?;
            tree.place(&from, path, Durability::Durable)
        });
        placed.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::contract;

    async fn open() -> (tempfile::TempDir, Filesystem) {
        let directory = tempfile::tempdir().unwrap();
        let store = Filesystem::open(&Options { root_directory: directory.path().to_owned() }).await.unwrap();
        (directory, store)
    }

    #[tokio::test]
    async fn the_filesystem_keeps_the_contract() {
        let (_directory, store) = open().await;
        contract::holds_for(&store).await;
    }

    #[tokio::test]
    async fn a_symbolic_link_out_of_the_tree_is_not_followed() {
        let (directory, store) = open().await;
        fs::write(directory.path().join("secret"), "x").unwrap();
        let inside = directory.path().join("docker/registry/v2/repositories/a");
        std::os::unix::fs::symlink("../../../../secret", &inside).unwrap();
        assert!(store.read(&layout::repository_path("a")).await.is_err());
    }

    #[tokio::test]
    async fn what_was_left_in_staging_is_gone_after_a_start() {
        let (directory, _store) = open().await;
        let left = directory.path().join("docker/registry/v2").join(layout::staging().as_str()).join("left");
        fs::write(&left, "half").unwrap();
        Filesystem::open(&Options { root_directory: directory.path().to_owned() }).await.unwrap();
        assert!(!left.try_exists().unwrap());
    }

    #[test]
    fn a_full_disk_and_a_refusal_are_told_apart() {
        let key = layout::repositories();
        let kinds = [(28, "Full"), (13, "Denied"), (30, "Denied"), (5, "Io"), (2, "NotFound")];
        for (errno, expected) in kinds {
            let error = Error::at(&key, io::Error::from_raw_os_error(errno));
            assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        }
    }
}
