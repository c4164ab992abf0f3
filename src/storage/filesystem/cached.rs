//! Reads that the kernel can answer from its caches, made without leaving the worker.
//!
//! `openat2` with `RESOLVE_CACHED` opens only what the directory cache knows, and `preadv2` with `RWF_NOWAIT` reads only what the
//! page cache holds; where the kernel or the file system knows neither, that counts as "would block". Opens never follow a
//! symbolic link out of the tree.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use crate::storage::Metadata;

/// What the caches say.
pub(super) enum Answer<T> {
    /// The operation is done, one way or the other.
    Ready(io::Result<T>),
    /// The disk, or the blocking pool, is needed.
    WouldBlock,
}

impl<T> Answer<T> {
    fn and_then<U>(self, next: impl FnOnce(T) -> Answer<U>) -> Answer<U> {
        match self {
            Self::Ready(Ok(value)) => next(value),
            Self::Ready(Err(error)) => Answer::Ready(Err(error)),
            Self::WouldBlock => Answer::WouldBlock,
        }
    }
}

/// Opens for reading what the directory cache knows.
pub(super) fn open(root: BorrowedFd<'_>, path: &str) -> Answer<File> {
    system::open(root, path)
}

/// Opens for reading, waiting for the disk. For the blocking pool.
pub(super) fn open_blocking(root: BorrowedFd<'_>, path: &str) -> io::Result<File> {
    system::open_blocking(root, path)
}

/// Length and time of what the directory cache knows.
pub(super) fn stat(root: BorrowedFd<'_>, path: &str) -> Answer<Metadata> {
    system::locate(root, path).and_then(|file| Answer::Ready(metadata(&file)))
}

/// The whole of a small file that lies in the page cache.
pub(super) fn read(root: BorrowedFd<'_>, path: &str) -> Answer<Vec<u8>> {
    /// Enough for every link; a larger file says its length first.
    const GUESS: usize = 512;
    open(root, path).and_then(|file| {
        let mut bytes = vec![0; GUESS];
        let mut filled = 0;
        loop {
            match read_at(&file, &mut bytes[filled..], filled as u64) {
                Answer::Ready(Ok(0)) => break,
                Answer::Ready(Ok(count)) => filled += count,
                Answer::Ready(Err(error)) => return Answer::Ready(Err(error)),
                Answer::WouldBlock => return Answer::WouldBlock,
            }
            if filled == bytes.len() {
                match file.metadata() {
                    Ok(metadata) => bytes.resize(filled.max(metadata.len() as usize) + 1, 0),
                    Err(error) => return Answer::Ready(Err(error)),
                }
            }
        }
        bytes.truncate(filled);
        Answer::Ready(Ok(bytes))
    })
}

/// Reads from an open file what the page cache holds, up to the length of the buffer.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Answer<usize> {
    system::read_at(file, buffer, offset)
}

/// Length and time of an open file.
pub(super) fn metadata(file: &File) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    Ok(Metadata { length: metadata.len(), modified: metadata.modified()? })
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io::{self, IoSliceMut};
    use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

    use rustix::fs::{Mode, OFlags, ResolveFlags};
    use rustix::io::{Errno, ReadWriteFlags};

    use super::Answer;

    const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);
    const LOCATE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

    pub(super) fn open(root: BorrowedFd<'_>, path: &str) -> Answer<File> {
        answer(rustix::fs::openat2(root, path, READ, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::CACHED)).and_then(file)
    }

    pub(super) fn locate(root: BorrowedFd<'_>, path: &str) -> Answer<File> {
        answer(rustix::fs::openat2(root, path, LOCATE, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::CACHED)).and_then(file)
    }

    pub(super) fn open_blocking(root: BorrowedFd<'_>, path: &str) -> io::Result<File> {
        match rustix::fs::openat2(root, path, READ, Mode::empty(), ResolveFlags::BENEATH) {
            // Kernels before 5.6, and sandboxes that filter the call.
            Err(Errno::NOSYS | Errno::PERM) => Ok(rustix::fs::openat(root, path, READ, Mode::empty())?.into()),
            opened => Ok(opened?.into()),
        }
    }

    pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Answer<usize> {
        answer(rustix::io::preadv2(file.as_fd(), &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT))
    }

    fn file(descriptor: OwnedFd) -> Answer<File> {
        Answer::Ready(Ok(File::from(descriptor)))
    }

    fn answer<T>(result: rustix::io::Result<T>) -> Answer<T> {
        match result {
            Ok(value) => Answer::Ready(Ok(value)),
            Err(Errno::AGAIN | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => Answer::WouldBlock,
            Err(errno) => Answer::Ready(Err(errno.into())),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::fd::BorrowedFd;

    use rustix::fs::{Mode, OFlags};

    use super::Answer;

    pub(super) fn open(_: BorrowedFd<'_>, _: &str) -> Answer<File> {
        Answer::WouldBlock
    }

    pub(super) fn locate(_: BorrowedFd<'_>, _: &str) -> Answer<File> {
        Answer::WouldBlock
    }

    pub(super) fn open_blocking(root: BorrowedFd<'_>, path: &str) -> io::Result<File> {
        Ok(rustix::fs::openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?.into())
    }

    pub(super) fn read_at(_: &File, _: &mut [u8], _: u64) -> Answer<usize> {
        Answer::WouldBlock
    }
}
