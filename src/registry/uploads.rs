//! Uploads: bytes on their way to becoming a blob.
//!
//! The truth of an upload is its file: the offset is the file's length, and a session that a restart or another registry left is
//! carried on from there. The digest of what has come so far is kept in memory between requests; where it is lost the file is
//! read again. Invariant: one request at a time writes to an upload, and its lease is not let go before its last write has ended.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use moka::sync::Cache;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{Error, Repository, finish};
use crate::blocking;
use crate::oci::{Algorithm, Digest, Digester};
use crate::storage::{Content, Durability, Upload, layout};

/// How many bytes are gathered before they are hashed and written.
const PIECE: usize = 256 * 1024;

/// How many bytes are hashed before others get their turn: some 30 µs, or 200 µs without instructions for it.
const HASHED_AT_ONCE: usize = 64 * 1024;

/// How many sessions that wait for their next request keep the digest of what has come.
const PARKED: u64 = 1_000;

/// Who writes to which upload, and the digests of those that wait.
#[derive(Debug)]
pub(super) struct Uploads {
    active: Arc<Mutex<HashSet<Uuid>>>,
    parked: Cache<Uuid, (u64, Digester)>,
}

impl Default for Uploads {
    fn default() -> Self {
        let parked = Cache::builder().max_capacity(PARKED).time_to_idle(Duration::from_secs(3600)).build();
        Self { active: Arc::default(), parked }
    }
}

impl Uploads {
    /// Whether a request is writing to this upload.
    pub(super) fn is_active(&self, id: Uuid) -> bool {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    fn lease(&self, id: Uuid) -> Result<Lease, Error> {
        let is_new = self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        if !is_new {
            return Err(Error::UploadBusy(id));
        }
        Ok(Lease { id, seen: None, active: Arc::clone(&self.active), parked: self.parked.clone() })
    }
}

/// The right to write to an upload, until it is dropped; the digest of what has come is then parked for the next holder.
#[derive(Debug)]
struct Lease {
    id: Uuid,
    /// How many bytes the digest has seen, and the digest; `None` once a write has failed, or the upload has ended.
    seen: Option<(u64, Digester)>,
    active: Arc<Mutex<HashSet<Uuid>>>,
    parked: Cache<Uuid, (u64, Digester)>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(seen) = self.seen.take() {
            self.parked.insert(self.id, seen);
        }
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
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
    started_at: OffsetDateTime,
    writer: Writer,
}

impl Repository {
    /// Begins an upload.
    pub async fn begin_upload(&self, now: OffsetDateTime) -> Result<Session, Error> {
        self.ensure_writable()?;
        let id = Uuid::new_v4();
        let mut lease = self.registry.uploads.lease(id)?;
        let started_at = now.replace_nanosecond(0).unwrap_or(now);
        let text = started_at.format(&Rfc3339).expect("a time of this era has an RFC 3339 form");
        let (data, begun) = (layout::upload_data(&self.name, id), layout::upload_started_at(&self.name, id));
        let upload = self.storage().begin(&data).await?;
        self.storage().write(&begun, text.into(), Durability::Relaxed).await?;
        lease.seen = Some((0, Digester::new(Algorithm::Sha256)));
        Ok(Session { repository: self.clone(), started_at, writer: Writer { upload, lease } })
    }

    /// Goes on with an upload, begun by this server or by a stock registry on the same directory.
    pub async fn resume_upload(&self, id: Uuid) -> Result<Session, Error> {
        self.ensure_writable()?;
        let mut lease = self.registry.uploads.lease(id)?;
        let started_at = self.started_at(id).await?;
        let upload = self.storage().resume(&layout::upload_data(&self.name, id)).await;
        let upload = upload.map_err(|error| if error.is_not_found() { Error::UploadUnknown(id) } else { error.into() })?;
        lease.seen = match self.registry.uploads.parked.remove(&id) {
            Some((offset, digester)) if offset == upload.offset() => Some((offset, digester)),
            _ => Some((upload.offset(), self.hash_upload(id, Algorithm::Sha256).await?)),
        };
        Ok(Session { repository: self.clone(), started_at, writer: Writer { upload, lease } })
    }

    /// Where an upload stands.
    pub async fn upload_status(&self, id: Uuid) -> Result<UploadStatus, Error> {
        let started_at = self.started_at(id).await?;
        match self.storage().stat(&layout::upload_data(&self.name, id)).await {
            Ok(metadata) => Ok(UploadStatus { id, offset: metadata.length, started_at }),
            Err(error) if error.is_not_found() => Err(Error::UploadUnknown(id)),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an upload and removes what has come of it.
    pub async fn cancel_upload(&self, id: Uuid) -> Result<(), Error> {
        self.ensure_writable()?;
        let lease = self.registry.uploads.lease(id)?;
        self.upload_status(id).await?;
        let repository = self.clone();
        finish(async move { repository.remove_upload(&lease).await }).await
    }

    async fn started_at(&self, id: Uuid) -> Result<OffsetDateTime, Error> {
        match self.storage().read(&layout::upload_started_at(&self.name, id)).await {
            Ok(content) => {
                let text = std::str::from_utf8(&content).unwrap_or_default();
                OffsetDateTime::parse(text.trim(), &Rfc3339).map_err(|_| Error::UploadUnknown(id))
            }
            Err(error) if error.is_not_found() => Err(Error::UploadUnknown(id)),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove_upload(&self, lease: &Lease) -> Result<(), Error> {
        self.registry.uploads.parked.invalidate(&lease.id);
        match self.storage().delete(&layout::upload(&self.name, lease.id), Durability::Relaxed).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn hash_upload(&self, id: Uuid, algorithm: Algorithm) -> Result<Digester, Error> {
        let content = self.storage().open(&layout::upload_data(&self.name, id)).await?;
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
    pub fn status(&self) -> UploadStatus {
        UploadStatus { id: self.writer.lease.id, offset: self.writer.upload.offset(), started_at: self.started_at }
    }

    /// Appends a body. While one piece is hashed and written the next one is received. What was received before an error is kept.
    pub async fn append<S, E>(mut self, mut body: S) -> Result<Self, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let mut gathered = gather(&mut body).await;
        loop {
            let Gathered { piece, end } = gathered;
            let writer = self.writer;
            if let Some(end) = end {
                let writer = if piece.is_empty() { writer } else { finish(writer.take_in(piece)).await? };
                end?;
                return Ok(Self { writer, ..self });
            }
            let (stored, next) = futures_util::join!(finish(writer.take_in(piece)), gather(&mut body));
            (self.writer, gathered) = (stored?, next);
        }
    }

    /// Makes a blob of what has come, when it is what the digest names; otherwise the upload is gone.
    pub async fn finish(self, expected: &Digest) -> Result<(), Error> {
        let expected = expected.clone();
        finish(async move {
            let Self { repository, writer: Writer { upload, mut lease }, .. } = self;
            let canonical = lease.seen.take().ok_or(Error::UploadUnknown(lease.id))?.1.finish();
            let actual = match expected.algorithm() {
                Algorithm::Sha256 => canonical.clone(),
                other => repository.hash_upload(lease.id, other).await?.finish(),
            };
            if actual != expected {
                repository.remove_upload(&lease).await?;
                return Err(Error::DigestMismatch { expected, actual });
            }
            upload.commit_to(&layout::blob_data(&canonical)).await?;
            repository.link_blob(&expected, &canonical).await?;
            repository.remove_upload(&lease).await
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

/// The file, and the right to write there.
struct Writer {
    upload: Box<dyn Upload>,
    lease: Lease,
}

impl Writer {
    async fn take_in(mut self, piece: Bytes) -> Result<Self, Error> {
        let digester = self.lease.seen.take().map(|(_, digester)| digester);
        let (written, digester) = futures_util::join!(self.upload.write(piece.clone()), hash_piece(digester, piece));
        written?;
        self.lease.seen = digester.map(|digester| (self.upload.offset(), digester));
        Ok(self)
    }
}

/// Hashes where it is, beside the write that a thread of the pool makes, and lets others in between: a hop to yet another thread
/// costs more than it brings.
async fn hash_piece(digester: Option<Digester>, piece: Bytes) -> Option<Digester> {
    let mut digester = digester?;
    for slice in piece.chunks(HASHED_AT_ONCE) {
        digester.update(slice);
        tokio::task::yield_now().await;
    }
    Some(digester)
}
