//! A store that wraps another one, counts what is asked of it, and fails on purpose.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Content, Durability, Entry, Error, Key, Metadata, Space, Storage, Upload, UploadKeys};

/// Lets a number of changes through and refuses all later ones, as a crash or a full disk at that point would.
#[derive(Clone)]
pub(crate) struct Faults {
    inner: Arc<dyn Storage>,
    left: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

impl Faults {
    /// Wraps a store that lets every change through.
    pub(crate) fn around(inner: Arc<dyn Storage>) -> Self {
        Self { inner, left: Arc::new(AtomicUsize::new(usize::MAX)), calls: Arc::default() }
    }

    /// Lets this many changes through from now on.
    pub(crate) fn allow(&self, changes: usize) {
        self.left.store(changes, Ordering::SeqCst);
    }

    /// How often anything has been asked of the store.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The wrapped store, for one call.
    fn inner(&self) -> &dyn Storage {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &*self.inner
    }

    fn spend(&self, key: &Key) -> Result<(), Error> {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(|_| ()).map_err(|_| Error::at(key, io::Error::from_raw_os_error(5)))
    }
}

#[async_trait]
impl Storage for Faults {
    async fn stat(&self, key: &Key) -> Result<Metadata, Error> {
        self.inner().stat(key).await
    }

    async fn read(&self, key: &Key) -> Result<Bytes, Error> {
        self.inner().read(key).await
    }

    async fn open(&self, key: &Key) -> Result<Content, Error> {
        self.inner().open(key).await
    }

    async fn write(&self, key: &Key, content: Bytes, durability: Durability) -> Result<(), Error> {
        self.spend(key)?;
        self.inner().write(key, content, durability).await
    }

    async fn begin(&self, upload: &UploadKeys, started_at: Bytes) -> Result<Box<dyn Upload>, Error> {
        self.spend(&upload.data)?;
        let inner = self.inner().begin(upload, started_at).await?;
        Ok(Box::new(FaultyUpload { inner, key: upload.data.clone(), faults: self.clone() }))
    }

    async fn resume(&self, upload: &UploadKeys) -> Result<Box<dyn Upload>, Error> {
        let inner = self.inner().resume(upload).await?;
        Ok(Box::new(FaultyUpload { inner, key: upload.data.clone(), faults: self.clone() }))
    }

    async fn end(&self, upload: &UploadKeys) -> Result<(), Error> {
        self.spend(&upload.session)?;
        self.inner().end(upload).await
    }

    async fn list(&self, key: &Key) -> Result<Vec<Entry>, Error> {
        self.inner().list(key).await
    }

    async fn delete(&self, key: &Key, durability: Durability) -> Result<(), Error> {
        self.spend(key)?;
        self.inner().delete(key, durability).await
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        self.inner().space().await
    }
}

struct FaultyUpload {
    inner: Box<dyn Upload>,
    key: Key,
    faults: Faults,
}

#[async_trait]
impl Upload for FaultyUpload {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.faults.spend(&self.key)?;
        self.inner.write(bytes).await
    }

    async fn commit_to(self: Box<Self>, key: &Key) -> Result<(), Error> {
        self.faults.spend(key)?;
        self.inner.commit_to(key).await
    }
}
