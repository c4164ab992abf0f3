//! Content that has been opened, and the pool that its pieces come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::TREE;
use super::cached::{self, Answer};
use crate::blocking;
use crate::storage::{Error, Key};

/// The length of a piece: large enough that the cost of a call vanishes beside it.
const PIECE: usize = 256 * 1024;

/// How many buffers wait for their next use.
const SPARE_BUFFERS: usize = 16;

/// An open file, read in pieces at offsets.
#[derive(Clone, Debug)]
pub struct Content {
    file: Arc<File>,
    length: u64,
    key: Key,
    pool: Arc<Pool>,
}

impl Content {
    pub(super) fn new(file: File, key: &Key, pool: &Arc<Pool>) -> Result<Self, Error> {
        let metadata = file.metadata().map_err(|error| Error::at(key, error))?;
        if metadata.is_dir() {
            return Err(Error::NotFound(key.clone()));
        }
        Ok(Self { file: Arc::new(file), length: metadata.len(), key: key.clone(), pool: Arc::clone(pool) })
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where the bytes lie for another process that sees the same directory: relative to `rootdirectory`, with `/` between the parts,
    /// made of ASCII letters, digits, `_`, `-` and `.`. They stay there until the key is deleted.
    pub fn location(&self) -> String {
        format!("{TREE}/{}", self.key)
    }

    /// The next piece from an offset on: at most `limit` bytes, at least one unless the content ends there.
    pub async fn read_at(&self, offset: u64, limit: u64) -> Result<Bytes, Error> {
        let wanted = usize::try_from(limit).map_or(PIECE, |limit| limit.min(PIECE));
        let mut buffer = self.pool.take();
        match cached::read_at(&self.file, &mut buffer.bytes[..wanted], offset) {
            // Linux 5.9 and 5.10 say 0 before the end (preadv2(2), "BUGS"): that counts as would block.
            Answer::Ready(Ok(count)) if count > 0 || offset >= self.length => Ok(buffer.into_bytes(count)),
            Answer::Ready(Err(error)) => Err(Error::at(&self.key, error)),
            Answer::Ready(Ok(_)) | Answer::WouldBlock => {
                let file = Arc::clone(&self.file);
                let read = blocking::run(move || read_fully(&file, buffer, wanted, offset)).await;
                read.map_err(|error| Error::at(&self.key, error))
            }
        }
    }
}

fn read_fully(file: &File, mut buffer: Buffer, wanted: usize, offset: u64) -> io::Result<Bytes> {
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut buffer.bytes[filled..wanted], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.into_bytes(filled))
}

/// Buffers that wait for their next use.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    fn take(self: &Arc<Self>) -> Buffer {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: spare.unwrap_or_else(|| vec![0; PIECE]), pool: Arc::clone(self) }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push(bytes);
        }
    }
}

/// A piece's memory, which goes back to the pool when the last reader of the piece is done.
struct Buffer {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Buffer {
    fn into_bytes(self, length: usize) -> Bytes {
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}
