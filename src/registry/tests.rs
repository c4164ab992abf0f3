//! Tests of the rules: what a refused change at any point leaves behind, and who may change what at the same time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Deletion, Error, ManifestPush, Mode, Options, PurgeEffect, Registry, Repository, Reserve, TagMode, UploadPurging};
use crate::oci::media_type::OCI_MANIFEST;
use crate::oci::{Algorithm, Digest, Reference};
use crate::storage::faults::Faults;
use crate::storage::{Durability, Filesystem, Storage, layout};

/// More changes than any one push or delete makes.
const MOST_CHANGES: usize = 40;

struct Store {
    faults: Faults,
    registry: Arc<Registry>,
    _directory: TempDir,
}

impl Store {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = crate::storage::Options { root_directory: directory.path().to_owned() };
        let faults = Faults::around(Arc::new(Filesystem::open(&options).await.unwrap()));
        let rules = Options {
            delete: Deletion::Enabled,
            mode: Mode::ReadWrite,
            upload_purging: None,
            largest_blob: None,
            reserve: Reserve::Bytes(0),
            validation: crate::registry::Validation::default(),
        };
        let registry = Registry::new(Arc::new(faults.clone()), rules);
        Self { faults, registry, _directory: directory }
    }

    fn repository(&self) -> Repository {
        self.registry.repository("a/b".parse().unwrap())
    }
}

fn digest(text: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, text)
}

/// The manifest of an image whose blobs are the texts `config-WORD` and `layer-WORD`.
fn manifest(word: &str) -> Bytes {
    let descriptor = |text: String| json!({"mediaType": "application/x", "digest": digest(text.as_bytes()), "size": text.len()});
    let (config, layer) = (descriptor(format!("config-{word}")), descriptor(format!("layer-{word}")));
    Bytes::from(json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}).to_string())
}

async fn push_blob(repository: &Repository, text: &str) -> Result<(), Error> {
    let session = repository.begin_upload(OffsetDateTime::now_utc()).await?;
    let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(text.as_bytes()))]);
    session.append(body).await?.finish(&digest(text.as_bytes())).await
}

async fn push(repository: &Repository, word: &str, mode: TagMode) -> Result<(), Error> {
    push_blob(repository, &format!("config-{word}")).await?;
    push_blob(repository, &format!("layer-{word}")).await?;
    let media_type = Some(OCI_MANIFEST.parse().unwrap());
    let push = ManifestPush { reference: "latest".parse().unwrap(), tags: Vec::new(), media_type, bytes: manifest(word), mode };
    repository.put_manifest(push).await.map(|_| ())
}

/// The word of the image that the tag points to, which is checked to be whole.
async fn tagged(repository: &Repository) -> Option<String> {
    let stored = match repository.manifest(&"latest".parse().unwrap()).await {
        Ok(stored) => stored,
        Err(Error::ManifestUnknown(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(digest(&stored.bytes), stored.digest);
    let parsed = crate::oci::Manifest::stored(&stored.bytes).unwrap();
    for blob in parsed.blobs() {
        let content = repository.blob(&blob.digest).await.unwrap().content;
        let bytes = content.read_at(0, content.length()).await.unwrap();
        assert_eq!((digest(&bytes), bytes.len() as u64), (blob.digest.clone(), blob.size));
    }
    ["one", "two"].into_iter().find(|word| manifest(word) == stored.bytes).map(str::to_owned)
}

/// Every link that can be read names content that can be read.
async fn no_link_points_to_nothing(repository: &Repository) {
    for blob in ["config-one", "layer-one", "config-two", "layer-two"].map(|text| digest(text.as_bytes())) {
        let link = repository.follow(&layout::layer_link(&repository.name, &blob)).await.unwrap();
        assert!(link.is_none() || repository.locate_blob(&blob).await.unwrap().is_some());
    }
    for revision in repository.revisions(Algorithm::Sha256).await.unwrap() {
        let link = repository.follow(&layout::revision_link(&repository.name, &revision)).await.unwrap();
        assert!(link.is_none() || repository.has_manifest(&revision).await.unwrap());
    }
}

#[tokio::test]
async fn a_push_refused_at_any_point_leaves_the_tag_as_it_was_and_can_be_repeated() {
    for before in [None, Some("one")] {
        let mut was_refused = 0;
        for allowed in 0..MOST_CHANGES {
            let store = Store::new().await;
            let repository = store.repository();
            if let Some(word) = before {
                push(&repository, word, TagMode::Move).await.unwrap();
            }
            store.faults.allow(allowed);
            let pushed = push(&repository, "two", TagMode::Move).await;
            store.faults.allow(usize::MAX);
            no_link_points_to_nothing(&repository).await;
            let now = tagged(&repository).await;
            if pushed.is_ok() {
                assert_eq!(now.as_deref(), Some("two"));
                continue;
            }
            was_refused += 1;
            assert_eq!(now.as_deref(), before, "after {allowed} changes");
            push(&repository, "two", TagMode::Move).await.unwrap();
            assert_eq!(tagged(&repository).await.as_deref(), Some("two"));
        }
        assert!((5..MOST_CHANGES).contains(&was_refused), "{was_refused}");
    }
}

#[tokio::test]
async fn a_delete_refused_at_any_point_leaves_no_tag_that_points_to_nothing() {
    for allowed in 0..MOST_CHANGES {
        let store = Store::new().await;
        let repository = store.repository();
        push(&repository, "one", TagMode::Move).await.unwrap();
        let reference = digest(&manifest("one"));
        store.faults.allow(allowed);
        let deleted = repository.delete_manifest(&reference).await;
        store.faults.allow(usize::MAX);
        no_link_points_to_nothing(&repository).await;
        let now = tagged(&repository).await;
        assert!(deleted.is_err() || now.is_none());
        if deleted.is_err() {
            repository.delete_manifest(&reference).await.unwrap();
        }
        let gone = repository.manifest(&Reference::Digest(reference)).await;
        assert!(matches!(gone, Err(Error::ManifestUnknown(_))));
        assert!(repository.tags(None, 10).await.unwrap().items.is_empty());
    }
}

#[tokio::test]
async fn a_refused_mount_can_be_repeated() {
    let store = Store::new().await;
    let (from, to) = (store.repository(), store.registry.repository("c".parse().unwrap()));
    push_blob(&from, "config-one").await.unwrap();
    let blob = digest(b"config-one");
    store.faults.allow(0);
    assert!(matches!(to.mount_blob(&blob, super::MountSource::Among(std::slice::from_ref(&from))).await, Err(Error::Storage(_))));
    assert!(matches!(to.blob(&blob).await, Err(Error::BlobUnknown(_))));
    store.faults.allow(usize::MAX);
    assert!(to.mount_blob(&blob, super::MountSource::Among(std::slice::from_ref(&from))).await.unwrap());
    assert!(to.blob(&blob).await.is_ok());
}

#[tokio::test]
async fn a_tag_that_may_only_be_created_is_not_moved() {
    let store = Store::new().await;
    let repository = store.repository();
    push(&repository, "one", TagMode::Create).await.unwrap();
    assert!(matches!(push(&repository, "two", TagMode::Create).await, Err(Error::TagExists(_))));
    assert_eq!(tagged(&repository).await.as_deref(), Some("one"));
    push(&repository, "one", TagMode::Create).await.unwrap();
    push(&repository, "two", TagMode::Move).await.unwrap();
    assert_eq!(tagged(&repository).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn of_two_creators_of_one_tag_one_wins() {
    for _ in 0..20 {
        let store = Store::new().await;
        let repository = store.repository();
        let (one, two) = futures_util::join!(push(&repository, "one", TagMode::Create), push(&repository, "two", TagMode::Create));
        assert!(one.is_ok() != two.is_ok());
        assert_eq!(tagged(&repository).await.as_deref(), Some(if one.is_ok() { "one" } else { "two" }));
    }
}

#[tokio::test]
async fn readers_beside_two_writers_of_one_tag_see_whole_images_only() {
    let store = Store::new().await;
    let repository = store.repository();
    push(&repository, "one", TagMode::Move).await.unwrap();
    let write = async |word| {
        for _ in 0..20 {
            push(&repository, word, TagMode::Move).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..100 {
            assert!(tagged(&repository).await.is_some());
        }
    };
    futures_util::join!(write("one"), write("two"), read);
}

#[tokio::test]
async fn old_uploads_are_purged_and_young_and_active_ones_kept() {
    const AGE: Duration = Duration::from_secs(3600);
    let store = Store::new().await;
    let repository = store.repository();
    let long_ago = OffsetDateTime::now_utc() - 2 * AGE;
    let old = repository.begin_upload(long_ago).await.unwrap().status().id;
    let active = repository.begin_upload(long_ago).await.unwrap();
    let young = repository.begin_upload(OffsetDateTime::now_utc()).await.unwrap().status().id;
    let rules = |effect| UploadPurging { age: AGE, interval: AGE, effect };

    let tried = store.registry.purge_uploads(rules(PurgeEffect::DryRun), SystemTime::now()).await.unwrap();
    assert_eq!((tried.purged.len(), tried.kept), (1, 2));
    assert!(repository.upload_status(old).await.is_ok());

    let done = store.registry.purge_uploads(rules(PurgeEffect::Remove), SystemTime::now()).await.unwrap();
    assert_eq!(done.purged, [(repository.name().clone(), old.to_string())]);
    assert!(matches!(repository.upload_status(old).await, Err(Error::UploadUnknown(_))));
    assert!(repository.upload_status(young).await.is_ok());
    assert!(repository.upload_status(active.status().id).await.is_ok());
}

#[tokio::test]
async fn an_upload_that_does_not_say_when_it_began_is_purged_by_its_last_change() {
    const AGE: Duration = Duration::from_secs(3600);
    let store = Store::new().await;
    let repository = store.repository();
    let id = Uuid::new_v4();
    store.faults.write(&layout::upload(&repository.name, id).data, Bytes::new(), Durability::Relaxed).await.unwrap();
    let rules = UploadPurging { age: AGE, interval: AGE, effect: PurgeEffect::Remove };
    let now = SystemTime::now();
    assert_eq!(store.registry.purge_uploads(rules, now).await.unwrap().kept, 1);
    assert_eq!(store.registry.purge_uploads(rules, now + 2 * AGE).await.unwrap().purged.len(), 1);
}
