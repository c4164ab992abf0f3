//! A tree written by registry:2 is served; a tree that we wrote is one that registry:2 would serve; and the answers are those of the
//! stock registries, but for a kept list.

#![expect(clippy::unwrap_used, reason = "a test may end in a panic")]

mod collection;
mod environment;
mod files;
#[path = "../harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the API use the rest")]
mod harness;
mod notifications;
mod peer;
mod redirect;
mod relay;
mod replay;
mod stock;
mod trial;
mod validation;
mod walk;

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use harness::{Client, OCI_INDEX, OCI_MANIFEST, Running, Setup, index_of, sha256, sha512, with};

const UPLOAD: &str = "d61a397a-800f-427a-b0d2-5a98dcfe3b5a";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn on_the_tree_of_registry_2() -> (Running, Client) {
    let directory = TempDir::new().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/fixture/docker"), &directory.path().join("data/docker"));
    let registry = Running::start_in(Setup::open(), directory).await;
    let client = registry.client();
    (registry, client)
}

/// Pulls a manifest and everything below it, and checks each digest.
async fn pull_whole(client: &Client, repository: &str, reference: &str) -> usize {
    let answer = client.manifest(repository, reference).await.is(200);
    assert_eq!(sha256(&answer.body), answer.digest());
    let manifest = answer.json();
    assert_eq!(manifest["mediaType"], answer.header("content-type"));
    let mut pulled = 1;
    for child in manifest["manifests"].as_array().into_iter().flatten() {
        pulled += Box::pin(pull_whole(client, repository, child["digest"].as_str().unwrap())).await;
    }
    for blob in manifest["layers"].as_array().into_iter().flatten().chain(manifest.get("config")) {
        let digest = blob["digest"].as_str().unwrap();
        let answer = client.get(&format!("/v2/{repository}/blobs/{digest}")).send().await.is(200);
        assert_eq!((sha256(&answer.body).as_str(), Value::from(answer.body.len())), (digest, blob["size"].clone()));
        pulled += 1;
    }
    pulled
}

#[tokio::test]
async fn everything_in_a_tree_of_registry_2_is_listed_and_pulled() {
    let (_registry, client) = on_the_tree_of_registry_2().await;
    assert_eq!(client.catalog().await, ["library", "library/app", "library/multi"]);
    assert_eq!(client.tags("library").await, ["top"]);
    assert_eq!(client.tags("library/app").await, ["1", "latest"], "a tag whose link is empty is none");
    assert_eq!(client.tags("library/multi").await, ["v1"]);
    for (repository, tag, parts) in
        [("library", "top", 3), ("library/app", "1", 3), ("library/app", "latest", 3), ("library/multi", "v1", 7)]
    {
        assert_eq!(pull_whole(&client, repository, tag).await, parts, "{repository}:{tag}");
    }
    client.manifest("library/app", "crashed").await.refuses(404, "MANIFEST_UNKNOWN");
    let absent = format!("/v2/library/app/blobs/{}", sha256(b"absent"));
    client.get(&absent).send().await.refuses(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn an_upload_that_registry_2_began_is_finished() {
    let (_registry, client) = on_the_tree_of_registry_2().await;
    let path = format!("/v2/library/app/blobs/uploads/{UPLOAD}");
    assert_eq!(client.get(&path).send().await.is(204).header("range"), "0-7");
    let digest = sha256(b"half of a blob");
    client.patch(&path).header("content-range", "8-9").body("a ").send().await.is(202);
    client.put(&with(&path, &format!("digest={digest}"))).body("blob").send().await.is(201);
    assert_eq!(client.get(&format!("/v2/library/app/blobs/{digest}")).send().await.is(200).body, "half of a blob");
}

#[tokio::test]
async fn what_a_crash_left_is_mended_by_the_next_push() {
    let (registry, client) = on_the_tree_of_registry_2().await;
    client.push_blob("library/app", "absent").await;
    let image = client.push_image("library/app", "crashed", "mended").await;
    client.pull_image("library/app", "crashed", &image).await;
    assert_eq!(client.tags("library/app").await, ["1", "crashed", "latest"]);
    client.delete("/v2/library/app/manifests/latest").send().await.is(202);
    assert_eq!(client.tags("library/app").await, ["1", "crashed"]);
    drop(client);
    walk::check(&registry.root(), walk::Leftovers::Tolerated);
}

#[tokio::test]
async fn a_tree_that_we_wrote_obeys_the_rules_of_registry_2() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let one = client.push_image("a", "latest", "one").await;
    let two = client.push_image("a", "latest", "two").await;
    client.push_image("a/b/c", "V1.0_x", "one").await;
    client.push_manifest("a", "index", OCI_INDEX, index_of(OCI_INDEX, &[one.descriptor(), two.descriptor()])).await.is(201);
    client.push_manifest("a", &sha512(&one.manifest), OCI_MANIFEST, one.manifest.clone()).await.is(201);
    let referrer = two.referrer("a/b");
    client.push_manifest("a", &referrer.digest, OCI_MANIFEST, referrer.manifest.clone()).await.is(201);
    assert_eq!(client.referrers("a", &two.digest).await.len(), 1);
    let location = client.begin("a").await;
    client.put(&with(&location, &format!("digest={}", sha512(b"long")))).body("long").send().await.is(201);
    client.push_blob("mounted", "x").await;
    client.post(&format!("/v2/a/blobs/uploads/?mount={}&from=mounted", sha256(b"x"))).send().await.is(201);
    let location = client.begin("a").await;
    client.patch(&location).body("half").send().await.is(202);
    client.delete(&format!("/v2/a/blobs/{}", sha256(b"x"))).send().await.is(202);
    client.delete("/v2/a/manifests/index").send().await.is(202);
    let found = walk::check(&registry.root(), walk::Leftovers::Forbidden);
    assert_eq!((found.tags, found.uploads), (2, 1), "{found:?}");
    assert!(found.blobs >= 9 && found.layers >= 9 && found.revisions >= 5, "{found:?}");
}
