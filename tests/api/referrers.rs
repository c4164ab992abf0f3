//! Referrers: what names another manifest as its subject.

use serde_json::{Value, json};

use crate::harness::{Image, OCI_INDEX, Setup, index_of, sha256, sha512};

async fn push_referrer(client: &crate::harness::Client, image: &Image, kind: &str) -> Image {
    let referrer = image.referrer(kind);
    let answer = client.push_manifest("a", &referrer.digest, referrer.media_type, referrer.manifest.clone()).await.is(201);
    assert_eq!(answer.header("oci-subject"), image.digest);
    referrer
}

#[tokio::test]
async fn referrers_are_listed_as_an_index_of_their_descriptors() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let referrer = push_referrer(&client, &image, "application/vnd.example.sbom").await;
    let answer = client.get(&format!("/v2/a/referrers/{}", image.digest)).send().await.is(200);
    assert_eq!(answer.header("content-type"), OCI_INDEX, "some clients compare the whole text");
    let mut expected = referrer.descriptor();
    expected["artifactType"] = "application/vnd.example.sbom".into();
    expected["annotations"] = json!({"org.example.kind": "application/vnd.example.sbom"});
    assert_eq!(answer.json(), json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [expected]}));
    assert!(!answer.has("oci-filters-applied"));
}

#[tokio::test]
async fn a_filter_is_applied_and_said_to_be() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let (sbom, signature) = (push_referrer(&client, &image, "a/sbom+json").await, push_referrer(&client, &image, "a/signature").await);
    assert_eq!(client.referrers("a", &image.digest).await.len(), 2);
    for (filter, expected) in [("a/sbom%2Bjson", vec![&sbom]), ("a/signature", vec![&signature]), ("a/none", vec![])] {
        let answer = client.get(&format!("/v2/a/referrers/{}?artifactType={filter}", image.digest)).send().await.is(200);
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
        let index = answer.json();
        let found: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|one| one["digest"].as_str().unwrap()).collect();
        assert_eq!(found, expected.iter().map(|one| one.digest.as_str()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_type_of_the_configuration_stands_in_for_an_absent_artifact_type() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let mut value = image.value();
    value["subject"] = image.descriptor();
    value["config"]["mediaType"] = "application/vnd.example.config+json".into();
    let referrer = image.with(&value);
    client.push_manifest("a", "ref", referrer.media_type, referrer.manifest.clone()).await.is(201);
    let index = client.get(&format!("/v2/a/referrers/{}", image.digest)).send().await.json();
    assert_eq!(index["manifests"][0]["artifactType"], "application/vnd.example.config+json");
}

#[tokio::test]
async fn an_index_may_refer_too() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let mut value: Value = serde_json::from_slice(&index_of(OCI_INDEX, &[])).unwrap();
    value["subject"] = image.descriptor();
    value["artifactType"] = "a/index".into();
    let answer = client.push_manifest("a", "index", OCI_INDEX, value.to_string()).await.is(201);
    assert_eq!(answer.header("oci-subject"), image.digest);
    assert_eq!(client.referrers("a", &image.digest).await, [answer.digest()]);
}

#[tokio::test]
async fn nothing_refers_to_what_is_unknown() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    for path in [format!("/v2/absent/referrers/{}", sha256(b"x")), format!("/v2/absent/referrers/{}", sha512(b"x"))] {
        let answer = client.get(&path).send().await.is(200);
        assert_eq!((answer.header("content-type"), &answer.json()["manifests"]), (OCI_INDEX, &json!([])));
    }
    client.get("/v2/a/referrers/sha256:abc").send().await.refuses(400, "DIGEST_INVALID");
    client.get("/v2/a/referrers/latest").send().await.refuses(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_referrer_may_come_before_its_subject_and_goes_when_it_is_deleted() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = crate::harness::image_of("subject");
    for blob in [&image.config, &image.layer] {
        client.push_blob("a", blob.clone()).await;
    }
    let referrer = push_referrer(&client, &image, "a/early").await;
    assert_eq!(client.referrers("a", &image.digest).await, [&*referrer.digest]);
    client.delete(&format!("/v2/a/manifests/{}", referrer.digest)).send().await.is(202);
    assert!(client.referrers("a", &image.digest).await.is_empty());
    client.push_manifest("a", &referrer.digest, referrer.media_type, referrer.manifest.clone()).await.is(201);
    assert_eq!(client.referrers("a", &image.digest).await, [&*referrer.digest]);
}

#[tokio::test]
async fn what_a_client_kept_under_the_fallback_tag_is_folded_in() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let known = push_referrer(&client, &image, "a/known").await;
    // A manifest without a subject field, known by the tag alone, as old clients made them.
    let old = client.push_image("a", "old", "signature").await;
    let mut child = old.descriptor();
    child["artifactType"] = "a/old".into();
    let absent = crate::harness::descriptor(crate::harness::OCI_MANIFEST, b"never pushed");
    let tag = image.digest.replace(':', "-");
    let fallback = index_of(OCI_INDEX, &[child, known.descriptor()]);
    client.push_manifest("a", &tag, OCI_INDEX, fallback).await.is(201);
    let mut expected = [known.digest.clone(), old.digest];
    expected.sort();
    assert_eq!(client.referrers("a", &image.digest).await, expected);
    assert_ne!(expected[0], absent["digest"]);
}

#[tokio::test]
async fn a_referrer_that_was_pushed_behind_our_back_is_found() {
    let mut registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    push_referrer(&client, &image, "a/ours").await;
    assert_eq!(client.referrers("a", &image.digest).await.len(), 1);
    registry.stop().await;
    // As a stock registry on the same directory does.
    let theirs = image.referrer("a/theirs");
    let hex = theirs.digest.trim_start_matches("sha256:");
    for (path, content) in [
        (format!("blobs/sha256/{}/{hex}/data", &hex[..2]), &theirs.manifest[..]),
        (format!("repositories/a/_manifests/revisions/sha256/{hex}/link"), theirs.digest.as_bytes()),
    ] {
        let path = registry.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    registry.start_again().await;
    let found = registry.client().referrers("a", &image.digest).await;
    assert!(found.len() == 2 && found.contains(&theirs.digest), "{found:?}");
}

#[tokio::test]
async fn referrers_outlive_the_loss_of_everything_that_is_ours() {
    let mut registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let referrer = push_referrer(&client, &image, "a/b").await;
    registry.stop().await;
    std::fs::remove_dir_all(registry.root().join("repositories/a/_referrers")).unwrap();
    registry.start_again().await;
    assert_eq!(registry.client().referrers("a", &image.digest).await, [referrer.digest]);
}
