//! The store that every replay begins with.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    Client, DOCKER_LIST, DOCKER_MANIFEST, Image, OCI_INDEX, OCI_MANIFEST, Running, Setup, image_of, index_of, sha256, sha512, with,
};

/// What lies in it.
#[derive(Default)]
pub(super) struct Known {
    /// Repository and tag.
    pub(super) tags: Vec<(String, String)>,
    /// Repository and digest of a manifest.
    pub(super) manifests: Vec<(String, String)>,
    /// Repository and digest of a blob.
    pub(super) blobs: Vec<(String, String)>,
}

/// The tree that a stock registry wrote, and in it what we pushed beside that.
pub(super) async fn sow() -> (Known, TempDir) {
    let directory = TempDir::new().unwrap();
    crate::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/fixture/docker"), &directory.path().join("data/docker"));
    let mut registry = Running::start_in(Setup::open(), directory).await;
    let client = registry.client();
    let mut known = Known::default();
    old(&client, &mut known).await;
    images(&client, &mut known).await;
    lists(&client, &mut known).await;
    blobs(&client, &mut known).await;
    drop(client);
    registry.stop().await;
    let kept = TempDir::new().unwrap();
    crate::copy(&registry.path().join("data/docker"), &kept.path().join("data/docker"));
    (known, kept)
}

/// What the stock registry wrote, less the one tag that is broken.
async fn old(client: &Client, known: &mut Known) {
    for (repository, tag) in [("library", "top"), ("library/app", "1"), ("library/app", "latest"), ("library/multi", "v1")] {
        let answer = client.manifest(repository, tag).await.is(200);
        known.tags.push((repository.to_owned(), tag.to_owned()));
        known.manifests.push((repository.to_owned(), answer.digest().to_owned()));
        let manifest = answer.json();
        let layers = manifest["layers"].as_array().into_iter().flatten();
        known.blobs.extend(layers.map(|layer| (repository.to_owned(), layer["digest"].as_str().unwrap().to_owned())));
    }
}

async fn push(client: &Client, known: &mut Known, repository: &str, tag: &str, image: &Image) {
    for blob in [&image.config, &image.layer] {
        known.blobs.push((repository.to_owned(), client.push_blob(repository, blob.clone()).await));
    }
    client.push_manifest(repository, tag, image.media_type, image.manifest.clone()).await.is(201);
    known.tags.push((repository.to_owned(), tag.to_owned()));
    known.manifests.push((repository.to_owned(), image.digest.clone()));
}

async fn images(client: &Client, known: &mut Known) {
    push(client, known, "seed/image", "oci", &image_of("seed")).await;
    push(client, known, "seed/image", "schema2", &image_of("seed").in_schema_2()).await;
    push(client, known, "seed/image", "Moved.1_x-y", &image_of("before")).await;
    push(client, known, "seed/image", "Moved.1_x-y", &image_of("after")).await;
    let image = image_of("many");
    for number in 0..12 {
        push(client, known, "seed/many", &format!("t{number:02}"), &image).await;
        push(client, known, &format!("many/r{number:02}"), "latest", &image).await;
    }
    let referrer = image_of("seed").referrer("application/vnd.example.signature");
    push(client, known, "seed/image", "signature", &referrer).await;
    push(client, known, "seed/emptied", "gone", &image).await;
    known.tags.pop();
    known.manifests.pop();
    client.delete(&format!("/v2/seed/emptied/manifests/{}", image.digest)).send().await.is(202);
}

async fn lists(client: &Client, known: &mut Known) {
    let (one, two) = (image_of("amd64").in_schema_2(), image_of("arm64").in_schema_2());
    push(client, known, "seed/list", "amd64", &one).await;
    push(client, known, "seed/list", "arm64", &two).await;
    let on = |image: &Image, architecture: &str| {
        let mut child = image.descriptor();
        child["platform"] = json!({"architecture": architecture, "os": "linux"});
        child
    };
    let children = [on(&two, "arm64"), on(&one, "amd64")];
    let lists = [("list", DOCKER_LIST, &children[..]), ("index", OCI_INDEX, &children[..]), ("arm", DOCKER_LIST, &children[..1])];
    for (tag, media_type, children) in lists {
        let list = index_of(media_type, children);
        client.push_manifest("seed/list", tag, media_type, list.clone()).await.is(201);
        known.tags.push(("seed/list".to_owned(), tag.to_owned()));
        known.manifests.push(("seed/list".to_owned(), sha256(&list)));
    }
    assert_eq!((one.media_type, image_of("").media_type), (DOCKER_MANIFEST, OCI_MANIFEST));
}

async fn blobs(client: &Client, known: &mut Known) {
    let long: Vec<u8> = (0..70_000_u32).map(|number| u8::try_from(number * (number % 7) % 251).unwrap()).collect();
    for blob in [Bytes::from(long), Bytes::from_static(b"0123456789"), Bytes::new()] {
        let digest = client.push_blob("seed/blobs", blob).await;
        // Most questions are about these.
        known.blobs.extend(std::iter::repeat_n(("seed/blobs".to_owned(), digest), 8));
    }
    let location = client.begin("seed/blobs").await;
    let digest = sha512(b"long name");
    client.put(&with(&location, &format!("digest={digest}"))).body("long name").send().await.is(201);
    known.blobs.push(("seed/blobs".to_owned(), digest));
}
