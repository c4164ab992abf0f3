//! What stays and what goes, and what a collection that breaks off leaves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::{Marked, Survey, Untagged};
use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Algorithm, Digest, Reference};
use crate::registry::{Deletion, Error, ManifestPush, Mode, Options, Pushed, Registry, Repository, Reserve, TagMode};
use crate::storage::faults::Faults;
use crate::storage::{Durability, Filesystem, Key, layout};

struct Store {
    faults: Faults,
    registry: Arc<Registry>,
    _directory: TempDir,
}

fn sha256(text: impl AsRef<[u8]>) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_ref())
}

fn descriptor(media_type: &str, digest: &Digest) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": 1})
}

/// The manifest of an image whose blobs are `config-WORD` and `layer-WORD`.
fn image(word: &str) -> Value {
    let blob = |kind: &str| descriptor("application/x", &sha256(format!("{kind}-{word}")));
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob("config"), "layers": [blob("layer")]})
}

fn index(children: &[&Value]) -> Value {
    let children: Vec<Value> = children.iter().map(|child| descriptor(kind(child), &sha256(child.to_string()))).collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
}

fn about(subject: &Value, word: &str) -> Value {
    let mut referrer = image(word);
    referrer["subject"] = descriptor(kind(subject), &sha256(subject.to_string()));
    referrer
}

fn kind(manifest: &Value) -> &str {
    manifest["mediaType"].as_str().unwrap()
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

    fn repository(&self, name: &str) -> Repository {
        self.registry.repository(name.parse().unwrap())
    }

    async fn push_blob(&self, name: &str, text: &str) {
        let session = self.repository(name).begin_upload(OffsetDateTime::now_utc()).await.unwrap();
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(text.as_bytes()))]);
        session.append(body).await.unwrap().finish(&sha256(text)).await.unwrap();
    }

    /// Pushes a manifest by a tag, or by its digest.
    async fn push(&self, name: &str, tag: Option<&str>, manifest: &Value) {
        let bytes = Bytes::from(manifest.to_string());
        let reference = tag.map_or_else(|| Reference::Digest(sha256(&bytes)), |tag| tag.parse().unwrap());
        let media_type = Some(kind(manifest).parse().unwrap());
        let push = ManifestPush { reference, tags: Vec::new(), media_type, bytes, mode: TagMode::Move };
        self.repository(name).put_manifest(push).await.unwrap();
    }

    async fn push_image(&self, name: &str, tag: Option<&str>, word: &str) -> Value {
        self.push_with_blobs(name, tag, image(word), word).await
    }

    async fn push_with_blobs(&self, name: &str, tag: Option<&str>, manifest: Value, word: &str) -> Value {
        for kind in ["config", "layer"] {
            self.push_blob(name, &format!("{kind}-{word}")).await;
        }
        self.push(name, tag, &manifest).await;
        manifest
    }

    async fn put(&self, key: &Key, content: impl AsRef<[u8]>) {
        self.registry.storage.write(key, Bytes::copy_from_slice(content.as_ref()), Durability::Relaxed).await.unwrap();
    }

    async fn survey(&self, untagged: Untagged) -> Survey {
        self.registry.survey(untagged, &[], &|_| {}).await.unwrap()
    }

    /// Collects, and says which blobs went.
    async fn collect(&self, untagged: Untagged) -> Vec<Digest> {
        let survey = self.survey(untagged).await;
        self.registry.sweep(&survey, &|_| {}).await.unwrap();
        let left = self.survey(untagged).await;
        assert!(left.blobs.is_empty() && left.repositories.iter().all(|one| one.manifests.is_empty() && one.layer_links.is_empty()));
        survey.blobs.into_iter().map(|blob| blob.digest).collect()
    }

    async fn has_whole(&self, name: &str, manifest: &Value) -> bool {
        let repository = self.repository(name);
        let Ok(stored) = repository.manifest(&Reference::Digest(sha256(manifest.to_string()))).await else { return false };
        assert_eq!(stored.bytes, manifest.to_string());
        let blobs = manifest["layers"].as_array().into_iter().flatten().chain(manifest.get("config"));
        for blob in blobs {
            let blob: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
            assert!(repository.blob(&blob).await.is_ok(), "{blob} of a manifest that is there");
        }
        true
    }
}

fn sorted(mut digests: Vec<Digest>) -> Vec<Digest> {
    digests.sort();
    digests
}

/// What an image takes with it when it goes.
fn parts(word: &str, manifest: &Value) -> [Digest; 3] {
    [sha256(format!("config-{word}")), sha256(format!("layer-{word}")), sha256(manifest.to_string())]
}

#[tokio::test]
async fn only_what_no_manifest_names_goes() {
    let store = Store::new().await;
    let kept = store.push_image("a", Some("v1"), "kept").await;
    let untagged = store.push_image("a/b", None, "untagged").await;
    store.push_blob("a", "orphan").await;
    let survey = store.survey(Untagged::Keep).await;
    assert_eq!(survey.bytes(), 6);
    assert_eq!(survey.repositories[0].layer_links, [sha256("orphan")]);
    assert_eq!((survey.repositories[0].bytes, survey.repositories[1].bytes), (6, 0));
    assert_eq!(store.collect(Untagged::Keep).await, [sha256("orphan")]);
    assert!(store.has_whole("a", &kept).await && store.has_whole("a/b", &untagged).await);
    assert!(matches!(store.repository("a").blob(&sha256("orphan")).await, Err(Error::BlobUnknown(_))));
}

#[tokio::test]
async fn untagged_manifests_go_when_asked_with_what_they_alone_need() {
    let store = Store::new().await;
    let old = store.push_image("a", Some("v1"), "old").await;
    let new = store.push_image("a", Some("v1"), "new").await;
    let mut sharing = image("sharing");
    sharing["layers"] = new["layers"].clone();
    store.push_blob("b", "layer-new").await;
    store.push_with_blobs("b", None, sharing.clone(), "sharing").await;
    let gone = store.collect(Untagged::Delete).await;
    let mut expected = parts("old", &old).to_vec();
    expected.extend(parts("sharing", &sharing));
    assert_eq!(sorted(gone), sorted(expected), "the layer that the two share stays");
    assert!(store.has_whole("a", &new).await && !store.has_whole("a", &old).await && !store.has_whole("b", &sharing).await);
    let history = layout::tag_history(&"a".parse().unwrap(), &"v1".parse().unwrap(), &sha256(old.to_string()));
    assert!(store.registry.storage.stat(&history).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn children_and_referrers_of_what_is_tagged_stay_at_any_depth() {
    let store = Store::new().await;
    let child = store.push_image("a", None, "child").await;
    let inner = index(&[&child]);
    store.push("a", None, &inner).await;
    let outer = index(&[&inner]);
    store.push("a", Some("v1"), &outer).await;
    let signature = store.push_with_blobs("a", None, about(&child, "signature"), "signature").await;
    let on_signature = store.push_with_blobs("a", None, about(&signature, "on-signature"), "on-signature").await;
    let other = store.push_image("a", None, "other").await;
    let on_other = store.push_with_blobs("a", None, about(&other, "on-other"), "on-other").await;
    let gone = store.collect(Untagged::Delete).await;
    let expected = [parts("other", &other), parts("on-other", &on_other)].concat();
    assert_eq!(sorted(gone), sorted(expected));
    for manifest in [&child, &inner, &outer, &signature, &on_signature] {
        assert!(store.has_whole("a", manifest).await);
    }
    let referrers = store.repository("a").referrers(&sha256(child.to_string())).await.unwrap();
    assert_eq!(referrers.len(), 1);
}

#[tokio::test]
async fn content_that_is_named_by_sha512_stays() {
    let store = Store::new().await;
    let mut manifest = image("long");
    let name = Digest::of(Algorithm::Sha512, b"layer-long");
    manifest["layers"][0]["digest"] = json!(name);
    store.push_blob("a", "config-long").await;
    let repository = store.repository("a");
    let session = repository.begin_upload(OffsetDateTime::now_utc()).await.unwrap();
    let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"layer-long"))]);
    session.append(body).await.unwrap().finish(&name).await.unwrap();
    store.push("a", Some("v1"), &manifest).await;
    for untagged in [Untagged::Keep, Untagged::Delete] {
        assert_eq!(store.collect(untagged).await, []);
        assert!(store.has_whole("a", &manifest).await);
    }
}

#[tokio::test]
async fn a_child_that_an_index_elsewhere_needs_stays_whole() {
    let store = Store::new().await;
    let child = store.push_image("b", None, "child").await;
    let sparse = index(&[&child]);
    let (name, digest) = ("a".parse().unwrap(), sha256(sparse.to_string()));
    store.put(&layout::blob_data(&digest), sparse.to_string()).await;
    store.put(&layout::revision_link(&name, &digest), digest.as_str()).await;
    store.put(&layout::tag_current(&name, &"v1".parse().unwrap()), digest.as_str()).await;
    assert_eq!(store.collect(Untagged::Delete).await, []);
    assert!(store.has_whole("b", &child).await);
}

#[tokio::test]
async fn broken_links_are_reported_and_stepped_over() {
    let store = Store::new().await;
    let kept = store.push_image("a", Some("v1"), "kept").await;
    let name = "a".parse().unwrap();
    let broken = [
        layout::layer_link(&name, &sha256("x")),
        layout::revision_link(&name, &sha256("y")),
        layout::tag_current(&name, &"v1".parse().unwrap()),
    ];
    for key in &broken {
        store.put(key, "").await;
    }
    let dangling = layout::revision_link(&name, &sha256("z"));
    store.put(&dangling, sha256("z").as_str()).await;
    store.push_blob("b", "orphan").await;
    let survey = store.survey(Untagged::Delete).await;
    let reported: Vec<&Key> = survey.repositories[0].broken.iter().map(|broken| &broken.key).collect();
    for key in broken.iter().chain([&dangling]) {
        assert!(reported.contains(&key), "{key}");
    }
    assert_eq!(store.collect(Untagged::Delete).await, [sha256("orphan")]);
    assert!(store.has_whole("a", &kept).await, "the broken tag pointed to it once");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_all_that_its_repository_holds() {
    let store = Store::new().await;
    let kept = store.push_image("a", None, "kept").await;
    store.push_blob("a", "orphan").await;
    let (name, digest) = ("a".parse().unwrap(), sha256("no JSON"));
    store.put(&layout::blob_data(&digest), "no JSON").await;
    store.put(&layout::revision_link(&name, &digest), digest.as_str()).await;
    store.put(&layout::tag_current(&name, &"v1".parse().unwrap()), digest.as_str()).await;
    assert_eq!(store.collect(Untagged::Delete).await, []);
    assert!(store.has_whole("a", &kept).await);
}

#[tokio::test]
async fn a_schema_1_manifest_keeps_its_layers() {
    let store = Store::new().await;
    store.push_blob("a", "layer").await;
    let manifest = json!({"schemaVersion": 1, "fsLayers": [{"blobSum": sha256("layer")}]}).to_string();
    store.put(&layout::blob_data(&sha256(&manifest)), &manifest).await;
    store.put(&layout::revision_link(&"a".parse().unwrap(), &sha256(&manifest)), sha256(&manifest).as_str()).await;
    assert_eq!(store.collect(Untagged::Keep).await, []);
}

#[tokio::test]
async fn what_a_push_under_way_has_brought_stays() {
    let store = Store::new().await;
    store.push_blob("a", "layer-new").await;
    store.push_image("a", Some("v1"), "done").await;
    let child = store.push_image("a", None, "child").await;
    let pushed = store.registry.pushed();
    assert_eq!(pushed.len(), 2, "{pushed:?}");
    let survey = store.registry.survey(Untagged::Delete, &pushed, &|_| {}).await.unwrap();
    assert_eq!(survey.blobs, []);
    assert!(survey.repositories[0].marked.contains(&Marked::Pushed(sha256("layer-new"))));
    store.push("a", Some("v2"), &index(&[&child])).await;
    store.repository("a").delete_blob(&sha256("layer-new")).await.unwrap();
    assert_eq!(store.registry.pushed(), [], "one is named by an index now, the other was taken back");
    let text = Pushed { repository: "a/b".parse().unwrap(), digest: sha256("x") };
    assert_eq!(text.to_string().parse(), Ok(text));
}

#[tokio::test]
async fn what_two_pushes_have_brought_is_settled_by_both() {
    let store = Store::new().await;
    let first = store.push_image("a", Some("v1"), "shared").await;
    store.push_blob("a", "layer-shared").await;
    store.push("a", Some("v2"), &first).await;
    store.push_image("a", Some("v1"), "other").await;
    store.repository("a").delete_tag(&"v2".parse().unwrap()).await.unwrap();
    let survey = store.registry.survey(Untagged::Delete, &store.registry.pushed(), &|_| {}).await.unwrap();
    assert!(!survey.blobs.iter().any(|blob| blob.digest == sha256("layer-shared")), "a push under way needs it");
}

#[tokio::test]
async fn a_revision_whose_link_is_empty_keeps_what_it_names() {
    let store = Store::new().await;
    let kept = store.push_image("a", Some("v1"), "kept").await;
    store.put(&layout::revision_link(&"a".parse().unwrap(), &sha256(kept.to_string())), "").await;
    assert_eq!(store.collect(Untagged::Keep).await, []);
    assert_eq!(store.collect(Untagged::Delete).await, []);
}

#[tokio::test]
async fn a_sha512_name_whose_link_is_empty_keeps_all_of_its_repository() {
    let store = Store::new().await;
    store.push_image("a", Some("v1"), "kept").await;
    store.push_blob("a", "orphan").await;
    store.put(&layout::layer_link(&"a".parse().unwrap(), &Digest::of(Algorithm::Sha512, b"orphan")), "").await;
    assert_eq!(store.collect(Untagged::Keep).await, []);
}

#[tokio::test]
async fn changes_are_refused_while_they_are_held_back_and_taken_again_afterwards() {
    let store = Store::new().await;
    let manifest = store.push_image("a", Some("v1"), "one").await;
    let repository = store.repository("a");
    let session = repository.begin_upload(OffsetDateTime::now_utc()).await.unwrap();
    let hold = store.registry.hold(Duration::from_secs(5)).await.unwrap();
    assert!(store.registry.hold(Duration::ZERO).await.is_none(), "one holds at a time");
    assert!(matches!(repository.begin_upload(OffsetDateTime::now_utc()).await, Err(Error::Held)));
    assert!(matches!(repository.delete_manifest(&sha256(manifest.to_string())).await, Err(Error::Held)));
    let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"text"))]);
    let id = session.status().id;
    assert!(matches!(session.append(body).await.unwrap().finish(&sha256("text")).await, Err(Error::Held)));
    assert!(store.has_whole("a", &manifest).await);
    drop(hold);
    repository.resume_upload(id).await.unwrap().finish(&sha256("text")).await.unwrap();
}

#[tokio::test]
async fn a_collection_that_breaks_off_anywhere_leaves_nothing_that_points_to_nothing() {
    let store = Store::new().await;
    let mut allowed = 0;
    loop {
        let old = store.push_image("a", Some("v1"), "old").await;
        let new = store.push_image("a", Some("v1"), "new").await;
        let survey = store.survey(Untagged::Delete).await;
        store.faults.allow(allowed);
        let swept = store.registry.sweep(&survey, &|_| {}).await;
        store.faults.allow(usize::MAX);
        store.has_whole("a", &old).await;
        assert!(store.has_whole("a", &new).await);
        for name in ["config-old", "layer-old"] {
            let link = layout::layer_link(&"a".parse().unwrap(), &sha256(name));
            let is_linked = store.registry.storage.stat(&link).await.is_ok();
            let has_bytes = store.registry.storage.stat(&layout::blob_data(&sha256(name))).await.is_ok();
            assert!(has_bytes || !is_linked, "{name} after {allowed} removals");
        }
        if swept.is_ok() {
            break;
        }
        store.collect(Untagged::Delete).await;
        allowed += 1;
    }
    // The name, its place in the tag's history, two links of blobs, three blobs.
    assert_eq!(allowed, 7);
}
