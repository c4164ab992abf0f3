//! The clauses of the storage contract, run against every backend.

use bytes::Bytes;

use super::{Durability, EntryKind, Key, Storage, layout};
use crate::oci::{Algorithm, Digest, Name};

/// Checks each clause against an empty store.
pub(crate) async fn holds_for(store: &dyn Storage) {
    content_written_is_read_back_whole_and_in_ranges(store).await;
    a_write_replaces_and_an_open_reader_keeps_the_old(store).await;
    an_upload_gathers_resumes_and_commits(store).await;
    a_listing_is_sorted_and_tells_names_from_content(store).await;
    a_delete_takes_all_below_and_says_when_nothing_was_there(store).await;
    deleting_many_takes_those_and_passes_over_what_is_not_there(store).await;
    what_is_not_there_is_not_found(store).await;
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn link(repository: &str, content: &str) -> Key {
    layout::layer_link(&name(repository), &Digest::of(Algorithm::Sha256, content.as_bytes()))
}

async fn whole(store: &dyn Storage, key: &Key) -> Vec<u8> {
    let content = store.open(key).await.unwrap();
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < content.length() {
        let piece = content.read_at(bytes.len() as u64, content.length() - bytes.len() as u64).await.unwrap();
        assert!(!piece.is_empty());
        bytes.extend_from_slice(&piece);
    }
    bytes
}

async fn content_written_is_read_back_whole_and_in_ranges(store: &dyn Storage) {
    let key = link("written", "large");
    let bytes: Vec<u8> = (0..1_000_000u32).map(|index| index as u8).collect();
    store.write(&key, bytes.clone().into(), Durability::Durable).await.unwrap();
    assert_eq!(store.stat(&key).await.unwrap().length, 1_000_000);
    assert_eq!(store.read(&key).await.unwrap(), bytes);
    assert_eq!(whole(store, &key).await, bytes);
    let content = store.open(&key).await.unwrap();
    assert_eq!(content.read_at(10, 5).await.unwrap(), bytes[10..15]);
    assert!(content.read_at(1_000_000, 1).await.unwrap().is_empty());
}

async fn a_write_replaces_and_an_open_reader_keeps_the_old(store: &dyn Storage) {
    let key = link("replaced", "x");
    store.write(&key, Bytes::from_static(b"old"), Durability::Relaxed).await.unwrap();
    let old = store.open(&key).await.unwrap();
    store.write(&key, Bytes::from_static(b"newer"), Durability::Durable).await.unwrap();
    assert_eq!(store.read(&key).await.unwrap(), "newer");
    assert_eq!(old.read_at(0, 10).await.unwrap(), "old");
}

async fn an_upload_gathers_resumes_and_commits(store: &dyn Storage) {
    let repository = name("uploaded");
    let keys = layout::upload(&repository, uuid::Uuid::new_v4());
    let mut upload = store.begin(&keys, Bytes::from_static(b"now")).await.unwrap();
    assert_eq!(store.read(&keys.started_at).await.unwrap(), "now");
    upload.write(Bytes::from_static(b"first ")).await.unwrap();
    drop(upload);
    let mut upload = store.resume(&keys).await.unwrap();
    assert_eq!(upload.offset(), 6);
    upload.write(Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(upload.offset(), 12);
    assert_eq!(whole(store, &keys.data).await, b"first second");
    let to = layout::blob_data(&Digest::of(Algorithm::Sha256, b"first second"));
    upload.commit_to(&to).await.unwrap();
    assert_eq!(store.read(&to).await.unwrap(), "first second");
    assert!(store.stat(&keys.data).await.unwrap_err().is_not_found());
    store.end(&keys).await.unwrap();
    assert!(store.stat(&keys.session).await.unwrap_err().is_not_found());
    assert!(store.end(&keys).await.unwrap_err().is_not_found());
}

async fn a_listing_is_sorted_and_tells_names_from_content(store: &dyn Storage) {
    for repository in ["listed/c", "listed/a", "listed/b"] {
        store.write(&link(repository, "x"), Bytes::new(), Durability::Relaxed).await.unwrap();
    }
    let entries = store.list(&layout::repository_path("listed")).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(entries.iter().all(|entry| entry.kind == EntryKind::Directory));
}

async fn a_delete_takes_all_below_and_says_when_nothing_was_there(store: &dyn Storage) {
    let key = link("deleted", "x");
    for durability in [Durability::Durable, Durability::Relaxed] {
        store.write(&key, Bytes::new(), Durability::Durable).await.unwrap();
        store.delete(&key, durability).await.unwrap();
        assert!(store.delete(&key, durability).await.unwrap_err().is_not_found());
        store.write(&key, Bytes::new(), Durability::Durable).await.unwrap();
        store.delete(&layout::repository_path("deleted"), durability).await.unwrap();
        assert!(store.read(&key).await.unwrap_err().is_not_found());
    }
}

async fn deleting_many_takes_those_and_passes_over_what_is_not_there(store: &dyn Storage) {
    for durability in [Durability::Durable, Durability::Relaxed] {
        let keys = ["one", "two", "kept"].map(|content| link("many", content));
        for key in &keys {
            store.write(key, Bytes::new(), Durability::Relaxed).await.unwrap();
        }
        let gone = [keys[0].clone(), link("many", "never was"), keys[1].clone()];
        store.delete_all(&gone, durability).await.unwrap();
        for key in &gone {
            assert!(store.stat(&key.parent()).await.unwrap_err().is_not_found());
        }
        assert!(store.stat(&keys[2]).await.is_ok());
    }
}

async fn what_is_not_there_is_not_found(store: &dyn Storage) {
    let key = link("absent", "x");
    assert!(store.stat(&key).await.unwrap_err().is_not_found());
    assert!(store.read(&key).await.unwrap_err().is_not_found());
    assert!(store.open(&key).await.unwrap_err().is_not_found());
    assert!(store.resume(&layout::upload(&name("absent"), uuid::Uuid::new_v4())).await.err().unwrap().is_not_found());
    assert!(store.list(&key).await.unwrap_err().is_not_found());
}
