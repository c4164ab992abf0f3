//! Uploads: bytes on their way to becoming a blob.
//!
//! The truth of an upload is its file: the offset is the file's length, and a session that a restart or another registry left is
//! carried on from there. The digest of what has come so far is kept in memory between requests; where it is lost the file is
//! read again. Invariant: one request at a time writes to an upload, and its lease is not let go before its last write has ended.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use moka::sync::Cache;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{Error, Repository, finish};
use crate::blocking;
use crate::oci::{Algorithm, Digest, Digester, Name};
use crate::storage::{Content, Upload, layout};

/// How many bytes are gathered before they are hashed and written.
const PIECE: usize = 256 * 1024;

/// How many bytes are hashed before others get their turn: some 30 µs, or 200 µs without instructions for it.
const HASHED_AT_ONCE: usize = 64 * 1024;

/// How many sessions that wait for their next request keep the digest of what has come, and for how long.
const DIGESTS_KEPT: (u64, Duration) = (10_000, Duration::from_secs(3600));

/// How many of them keep their file open besides, and for how long.
const FILES_KEPT: (u64, Duration) = (200, Duration::from_secs(30));

/// Who writes to which upload, and what is kept of those that wait.
#[derive(Clone)]
pub(super) struct Uploads {
    active: Arc<Mutex<HashSet<Uuid>>>,
    digests: Cache<Uuid, (u64, Digester)>,
    files: Cache<Uuid, Arc<Mutex<Option<OpenUpload>>>>,
}

/// An upload whose file is open.
struct OpenUpload {
    name: Name,
    started_at: OffsetDateTime,
    upload: Box<dyn Upload>,
}

impl Default for Uploads {
    fn default() -> Self {
        let digests = Cache::builder().max_capacity(DIGESTS_KEPT.0).time_to_idle(DIGESTS_KEPT.1).build();
        let files = Cache::builder().max_capacity(FILES_KEPT.0).time_to_idle(FILES_KEPT.1).build();
        Self { active: Arc::default(), digests, files }
    }
}

impl Uploads {
    /// The right to write to an upload, unless somebody has it.
    pub(super) fn lease(&self, id: Uuid) -> Result<Lease, Error> {
        if !lock(&self.active).insert(id) {
            return Err(Error::UploadBusy(id));
        }
        Ok(Lease { id, uploads: self.clone() })
    }

    /// How many have somebody who writes to them.
    pub(super) fn open(&self) -> usize {
        lock(&self.active).len()
    }

    /// The open file of an upload of this repository, if it was kept.
    fn take_file(&self, id: Uuid, name: &Name) -> Option<OpenUpload> {
        let file = lock(&*self.files.remove(&id)?).take()?;
        (file.name == *name).then_some(file)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to write to an upload, until it is dropped.
pub(super) struct Lease {
    id: Uuid,
    uploads: Uploads,
}

impl Lease {
    /// Drops what is kept of an upload that is about to go.
    pub(super) fn forget(&self) {
        self.uploads.digests.invalidate(&self.id);
        self.uploads.files.invalidate(&self.id);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.uploads.active).remove(&self.id);
    }
}

/// Where an upload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// Its name within the repository.
    pub id: Uuid,
    /// How many bytes have been received.
    pub offset: u64,
    /// When it was begun.
    pub started_at: OffsetDateTime,
}

/// An upload that a request is writing to. Dropping it leaves the upload for a later request.
pub struct Session {
    repository: Repository,
    status: UploadStatus,
    writer: Writer,
}

impl Repository {
    /// Begins an upload.
    pub async fn begin_upload(&self, now: OffsetDateTime) -> Result<Session, Error> {
        let _change = self.change()?;
        self.registry.ensure_room().await?;
        let lease = self.registry.uploads.lease(Uuid::new_v4())?;
        let started_at = now.replace_nanosecond(0).unwrap_or(now);
        let text = started_at.format(&Rfc3339).expect("a time of this era has an RFC 3339 form");
        let upload = self.storage().begin(&layout::upload(&self.name, lease.id), text.into()).await?;
        Ok(self.session(OpenUpload { name: self.name.clone(), started_at, upload }, Digester::new(Algorithm::Sha256), lease))
    }

    /// Goes on with an upload, begun by this server or by a stock registry on the same directory.
    pub async fn resume_upload(&self, id: Uuid) -> Result<Session, Error> {
        // What has come may take long to hash, and a hold waits for nobody who only reads.
        drop(self.change()?);
        let lease = self.registry.uploads.lease(id)?;
        let open = match lease.uploads.take_file(id, &self.name) {
            Some(open) => open,
            None => self.reopen_upload(id).await?,
        };
        let digester = match lease.uploads.digests.remove(&id) {
            Some((offset, digester)) if offset == open.upload.offset() => digester,
            _ => self.hash_upload(id, Algorithm::Sha256).await?,
        };
        Ok(self.session(open, digester, lease))
    }

    fn session(&self, open: OpenUpload, digester: Digester, lease: Lease) -> Session {
        let status = UploadStatus { id: lease.id, offset: open.upload.offset(), started_at: open.started_at };
        Session { repository: self.clone(), status, writer: Writer { open: Some((open, digester)), lease } }
    }

    async fn reopen_upload(&self, id: Uuid) -> Result<OpenUpload, Error> {
        let started_at = self.started_at(id).await?;
        match self.storage().resume(&layout::upload(&self.name, id)).await {
            Ok(upload) => Ok(OpenUpload { name: self.name.clone(), started_at, upload }),
            Err(error) if error.is_not_found() => Err(Error::UploadUnknown(id)),
            Err(error) => Err(error.into()),
        }
    }

    /// Where an upload stands.
    pub async fn upload_status(&self, id: Uuid) -> Result<UploadStatus, Error> {
        let started_at = self.started_at(id).await?;
        match self.storage().stat(&layout::upload(&self.name, id).data).await {
            Ok(metadata) => Ok(UploadStatus { id, offset: metadata.length, started_at }),
            Err(error) if error.is_not_found() => Err(Error::UploadUnknown(id)),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an upload and removes what has come of it.
    pub async fn cancel_upload(&self, id: Uuid) -> Result<(), Error> {
        let change = self.change()?;
        let lease = self.registry.uploads.lease(id)?;
        self.upload_status(id).await?;
        let repository = self.clone();
        finish(async move {
            let _change = change;
            repository.remove_upload(&lease).await
        })
        .await
    }

    async fn started_at(&self, id: Uuid) -> Result<OffsetDateTime, Error> {
        match self.storage().read(&layout::upload(&self.name, id).started_at).await {
            Ok(content) => {
                let text = std::str::from_utf8(&content).unwrap_or_default();
                OffsetDateTime::parse(text.trim(), &Rfc3339).map_err(|_| Error::UploadUnknown(id))
            }
            Err(error) if error.is_not_found() => Err(Error::UploadUnknown(id)),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove_upload(&self, lease: &Lease) -> Result<(), Error> {
        lease.forget();
        match self.storage().end(&layout::upload(&self.name, lease.id)).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn hash_upload(&self, id: Uuid, algorithm: Algorithm) -> Result<Digester, Error> {
        let content = self.storage().open(&layout::upload(&self.name, id).data).await?;
        hash(&content, algorithm).await
    }
}

async fn hash(content: &Content, algorithm: Algorithm) -> Result<Digester, Error> {
    let mut digester = Digester::new(algorithm);
    let mut offset = 0;
    while offset < content.length() {
        let piece = content.read_at(offset, content.length() - offset).await?;
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        digester = blocking::run(move || {
            digester.update(&piece);
            digester
        })
        .await;
    }
    Ok(digester)
}

impl Session {
    /// Where the upload stands.
    pub fn status(&self) -> &UploadStatus {
        &self.status
    }

    /// Appends a body, for whose pace the caller cares. Past the largest size the upload is gone. While one piece is hashed and written the next one is received. What was received before an error is kept.
    pub async fn append<S, E>(mut self, mut body: S) -> Result<Self, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let mut gathered = gather(&mut body).await;
        loop {
            let Gathered { piece, end } = gathered;
            self.status.offset += piece.len() as u64;
            if let Some(limit) = self.repository.registry.options.load().largest_blob.filter(|limit| self.status.offset > *limit) {
                self.repository.remove_upload(&self.writer.lease).await?;
                return Err(Error::BlobTooLarge { limit });
            }
            if let Some(end) = end {
                if !piece.is_empty() {
                    self.writer = finish(self.writer.take_in(piece)).await?;
                }
                end?;
                return Ok(self);
            }
            let (stored, next) = futures_util::join!(finish(self.writer.take_in(piece)), gather(&mut body));
            (self.writer, gathered) = (stored?, next);
        }
    }

    /// Makes a blob of what has come, when it is what the digest names; otherwise the upload is gone.
    pub async fn finish(self, expected: &Digest) -> Result<(), Error> {
        let expected = expected.clone();
        // What has come may take hours, and is not held back; what makes a blob of it is. The bytes stay for a later request.
        let change = self.repository.change()?;
        finish(async move {
            let _change = change;
            let Self { repository, mut writer, .. } = self;
            let (open, digester) = writer.open.take().ok_or(Error::UploadUnknown(writer.lease.id))?;
            let canonical = digester.finish();
            let actual = match expected.algorithm() {
                Algorithm::Sha256 => canonical.clone(),
                other => repository.hash_upload(writer.lease.id, other).await?.finish(),
            };
            if actual != expected {
                repository.remove_upload(&writer.lease).await?;
                return Err(Error::DigestMismatch { expected, actual });
            }
            if let Err(error) = open.upload.commit_to(&layout::blob_data(&canonical)).await {
                // Bytes that could not be synced once are not trusted again, even if a second try says they are on disk.
                repository.remove_upload(&writer.lease).await.ok();
                return Err(error.into());
            }
            let (linked, removed) =
                futures_util::join!(repository.link_blob(&expected, &canonical), repository.remove_upload(&writer.lease));
            linked.and(removed)
        })
        .await
    }
}

/// What a body gave: one piece, and how it ended if it did.
struct Gathered {
    piece: Bytes,
    end: Option<Result<(), Error>>,
}

async fn gather<S, E>(body: &mut S) -> Gathered
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Display,
{
    let mut piece = Piece::default();
    let end = loop {
        match body.next().await {
            Some(Ok(bytes)) => piece.push(bytes),
            Some(Err(error)) => break Some(Err(Error::BodyBroken(error.to_string()))),
            None => break Some(Ok(())),
        }
        if piece.len() >= PIECE {
            break None;
        }
    };
    Gathered { piece: piece.into_bytes(), end }
}

/// A piece as it grows. What comes at once stays where it is; what comes in bits is copied once, into memory taken once.
#[derive(Default)]
struct Piece {
    first: Bytes,
    joined: BytesMut,
}

impl Piece {
    fn push(&mut self, bytes: Bytes) {
        if self.len() == 0 {
            self.first = bytes;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(PIECE + bytes.len());
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&bytes);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

/// The file with the digest of what is in it, and the right to write there.
struct Writer {
    /// `None` once a write has failed, or the upload has ended.
    open: Option<(OpenUpload, Digester)>,
    lease: Lease,
}

impl Writer {
    async fn take_in(mut self, piece: Bytes) -> Result<Self, Error> {
        let (mut open, digester) = self.open.take().ok_or(Error::UploadUnknown(self.lease.id))?;
        let (written, digester) = futures_util::join!(open.upload.write(piece.clone()), hash_piece(digester, piece));
        written?;
        self.open = Some((open, digester));
        Ok(self)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some((open, digester)) = self.open.take() {
            let Lease { id, uploads } = &self.lease;
            uploads.digests.insert(*id, (open.upload.offset(), digester));
            uploads.files.insert(*id, Arc::new(Mutex::new(Some(open))));
        }
    }
}

/// Hashes where it is, beside the write that a thread of the pool makes, and lets others in between: a hop to yet another thread
/// costs more than it brings.
async fn hash_piece(mut digester: Digester, piece: Bytes) -> Digester {
    for slice in piece.chunks(HASHED_AT_ONCE) {
        digester.update(slice);
        tokio::task::yield_now().await;
    }
    digester
}
