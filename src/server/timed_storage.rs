//! A store whose actions are timed, under the names that registry:2 has for them.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use crate::storage::{Content, Durability, Entry, Error, Key, Metadata, Space, Storage, Upload, UploadKeys};
use crate::telemetry::{Metrics, StorageAction};

/// Any store, with a clock.
pub(super) struct Timed<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Timed<S> {
    pub(super) fn new(inner: S, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

async fn timed<T>(metrics: &Metrics, action: StorageAction, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = work.await;
    metrics.storage_action(action, began.elapsed());
    result
}

#[async_trait]
impl<S: Storage> Storage for Timed<S> {
    async fn stat(&self, key: &Key) -> Result<Metadata, Error> {
        timed(&self.metrics, StorageAction::Stat, self.inner.stat(key)).await
    }

    async fn read(&self, key: &Key) -> Result<Bytes, Error> {
        timed(&self.metrics, StorageAction::GetContent, self.inner.read(key)).await
    }

    async fn open(&self, key: &Key) -> Result<Content, Error> {
        timed(&self.metrics, StorageAction::Reader, self.inner.open(key)).await
    }

    async fn write(&self, key: &Key, content: Bytes, durability: Durability) -> Result<(), Error> {
        timed(&self.metrics, StorageAction::PutContent, self.inner.write(key, content, durability)).await
    }

    async fn begin(&self, upload: &UploadKeys, started_at: Bytes) -> Result<Box<dyn Upload>, Error> {
        let begun = timed(&self.metrics, StorageAction::Writer, self.inner.begin(upload, started_at)).await;
        Ok(Box::new(TimedUpload { inner: begun?, metrics: Arc::clone(&self.metrics) }))
    }

    async fn resume(&self, upload: &UploadKeys) -> Result<Box<dyn Upload>, Error> {
        let resumed = timed(&self.metrics, StorageAction::Writer, self.inner.resume(upload)).await;
        Ok(Box::new(TimedUpload { inner: resumed?, metrics: Arc::clone(&self.metrics) }))
    }

    async fn end(&self, upload: &UploadKeys) -> Result<(), Error> {
        timed(&self.metrics, StorageAction::Delete, self.inner.end(upload)).await
    }

    async fn list(&self, key: &Key) -> Result<Vec<Entry>, Error> {
        timed(&self.metrics, StorageAction::List, self.inner.list(key)).await
    }

    async fn delete(&self, key: &Key, durability: Durability) -> Result<(), Error> {
        timed(&self.metrics, StorageAction::Delete, self.inner.delete(key, durability)).await
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        self.inner.space().await
    }
}

/// An upload whose last step is timed: the steps before wait for the client.
struct TimedUpload {
    inner: Box<dyn Upload>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Upload for TimedUpload {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.inner.write(bytes).await
    }

    async fn commit_to(self: Box<Self>, key: &Key) -> Result<(), Error> {
        timed(&self.metrics, StorageAction::Move, self.inner.commit_to(key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Filesystem, Options, contract};

    #[tokio::test]
    async fn the_contract_holds_with_a_clock_around_the_store_and_actions_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let store = Filesystem::open(&Options { root_directory: directory.path().to_owned() }).await.unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        contract::holds_for(&Timed::new(store, Arc::clone(&metrics))).await;
        let text = metrics.render();
        for action in ["Stat", "GetContent", "Reader", "PutContent", "Writer", "Move", "List", "Delete"] {
            let none = format!("registry_storage_action_seconds_count{{action=\"{action}\",driver=\"filesystem\"}} 0");
            assert!(!text.lines().any(|line| line == none), "{action}");
        }
    }
}
