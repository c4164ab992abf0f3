//! Manifests: pushing, pulling and deleting them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{
    Client, DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Setup, descriptor, image_of, index_of, sha256, sha512,
};

const LIMIT: usize = 4 * 1024 * 1024;

/// Pushes the blobs of the image made of a text, and a manifest with other fields than its own.
async fn push_changed(client: &Client, text: &str, change: impl FnOnce(&mut Value)) -> crate::harness::Answer {
    let image = image_of(text);
    for blob in [&image.config, &image.layer] {
        client.push_blob("a", blob.clone()).await;
    }
    let mut value = image.value();
    change(&mut value);
    client.push_manifest("a", "changed", image.media_type, value.to_string()).await
}

#[tokio::test]
async fn a_manifest_is_served_byte_for_byte_by_tag_and_by_digest() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a/b", "1", "one").await;
    for reference in ["1", &image.digest] {
        client.pull_image("a/b", reference, &image).await;
        let path = format!("/v2/a/b/manifests/{reference}");
        let answer = client.head(&path).send().await.is(200);
        assert_eq!(answer.digest(), image.digest);
        assert_eq!(answer.header("content-type"), OCI_MANIFEST);
        assert_eq!(answer.header("content-length"), image.manifest.len().to_string());
        assert_eq!(answer.header("etag"), format!("\"{}\"", image.digest));
    }
}

#[tokio::test]
async fn a_push_says_where_the_manifest_is_and_what_it_is_called() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    for reference in ["2", &image.digest] {
        let answer = client.push_manifest("a", reference, OCI_MANIFEST, image.manifest.clone()).await.is(201);
        assert_eq!(answer.digest(), image.digest);
        assert_eq!(answer.location(), format!("{}/v2/a/manifests/{}", client.base, image.digest));
        assert!(!answer.has("oci-subject") && !answer.has("oci-tag"));
    }
}

#[tokio::test]
async fn each_digest_of_a_manifest_is_answered_as_it_was_asked_for() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let long = sha512(&image.manifest);
    client.manifest("a", &long).await.refuses(404, "MANIFEST_UNKNOWN");
    assert_eq!(client.push_manifest("a", &long, OCI_MANIFEST, image.manifest.clone()).await.is(201).digest(), long);
    for digest in [&long, &image.digest] {
        let answer = client.manifest("a", digest).await.is(200);
        assert_eq!((answer.digest(), &answer.body), (&**digest, &image.manifest));
    }
    client.delete(&format!("/v2/a/manifests/{long}")).send().await.is(202);
    for reference in [&*long, &image.digest, "1"] {
        client.manifest("a", reference).await.refuses(404, "MANIFEST_UNKNOWN");
    }
}

#[tokio::test]
async fn one_push_by_digest_sets_many_tags() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let tags: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
    let query: String = tags.iter().map(|tag| format!("&tag={tag}")).collect();
    let path = format!("/v2/a/manifests/{}?{query}", image.digest);
    let answer = client.put(&path).header("content-type", OCI_MANIFEST).body(image.manifest.clone()).send().await.is(201);
    let said: Vec<_> = answer.headers.get_all("oci-tag").iter().flat_map(|line| line.to_str().unwrap().split(',')).map(str::trim).collect();
    assert_eq!(said, tags);
    assert_eq!(client.tags("a").await.len(), 13);
    client.pull_image("a", "t11", &image).await;

    let put = |query: String| client.put(&format!("/v2/a/manifests/{}?{query}", image.digest)).header("content-type", OCI_MANIFEST);
    let many: String = (0..200).map(|number| format!("&tag=x{number}")).collect();
    put(many).body(image.manifest.clone()).send().await.is(414);
    put("tag=-odd".into()).body(image.manifest.clone()).send().await.refuses(400, "TAG_INVALID");
}

#[tokio::test]
async fn a_digest_that_is_not_that_of_the_manifest_is_refused() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    for digest in [sha256(b"other"), sha512(b"other"), "sha256:abc".into()] {
        client.push_manifest("a", &digest, OCI_MANIFEST, image.manifest.clone()).await.refuses(400, "DIGEST_INVALID");
    }
    for tag in ["-a", ".a", &"a".repeat(129)] {
        client.push_manifest("a", tag, OCI_MANIFEST, image.manifest.clone()).await.refuses(404, "TAG_INVALID");
    }
    client.push_manifest("a", &"a".repeat(128), OCI_MANIFEST, image.manifest).await.is(201);
}

#[tokio::test]
async fn a_body_that_is_no_manifest_is_refused() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    for media_type in ["application/json", "text/plain", "application/vnd.docker.distribution.manifest.v1+prettyjws", "nonsense"] {
        client.push_manifest("a", "2", media_type, image.manifest.clone()).await.refuses(400, "MANIFEST_INVALID");
    }
    let untyped = client.put("/v2/a/manifests/2").body(image.manifest.clone());
    untyped.send().await.refuses(400, "MANIFEST_INVALID");
    for body in ["", "{", "[]", "null", "{}", "\"text\"", "{\"schemaVersion\":1}"] {
        client.push_manifest("a", "2", OCI_MANIFEST, body).await.refuses(400, "MANIFEST_INVALID");
    }
    client.push_manifest("a", "2", DOCKER_MANIFEST, image.manifest).await.refuses(400, "MANIFEST_INVALID");
    assert_eq!(client.tags("a").await, ["1"]);
}

#[tokio::test]
async fn a_manifest_of_four_mebibytes_is_taken_and_one_byte_more_is_not() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let mut largest = image.manifest.to_vec();
    largest.resize(LIMIT, b' ');
    let largest = Bytes::from(largest);
    client.push_manifest("a", "2", OCI_MANIFEST, largest.clone()).await.is(201);
    assert_eq!(client.manifest("a", "2").await.is(200).body, largest);
    let larger = Bytes::from([&largest[..], b" "].concat());
    client.push_manifest("a", "3", OCI_MANIFEST, larger.clone()).await.refuses(413, "MANIFEST_INVALID");
    let unannounced = client.put("/v2/a/manifests/3").header("content-type", OCI_MANIFEST).stream(vec![larger]);
    unannounced.send().await.refuses(413, "MANIFEST_INVALID");
}

#[tokio::test]
async fn every_missing_reference_is_named() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = image_of("never pushed");
    let answer = client.push_manifest("a", "1", OCI_MANIFEST, image.manifest.clone()).await.refuses(400, "MANIFEST_BLOB_UNKNOWN");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let named: Vec<_> = errors.iter().map(|error| error["detail"].as_str().unwrap()).collect();
    assert_eq!(named, [sha256(&image.config), sha256(&image.layer)]);
    client.push_blob("b", image.layer.clone()).await;
    client.push_blob("a", image.config.clone()).await;
    let answer = client.push_manifest("a", "1", OCI_MANIFEST, image.manifest).await.refuses(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 1, "a blob of another repository is none of this one's");
}

#[tokio::test]
async fn layers_that_must_not_be_handed_on_may_be_absent() {
    let mut registry = Setup::open().set("validation.manifests.urls.allow", json!(["^https://far\\.example/"])).start().await;
    let client = registry.client();
    let elsewhere = |media_type: &str, value: &mut Value| {
        let mut layer = descriptor(media_type, b"far away");
        layer["urls"] = json!(["https://far.example/away"]);
        value["layers"].as_array_mut().unwrap().push(layer);
    };
    let kinds =
        ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"];
    push_changed(&client, "one", |value| elsewhere(kinds[0], value)).await.is(201);
    // As in a stock registry, the foreign layers of an image of Docker's are those of its own type, of one of OCI those of that one's.
    push_changed(&client, "other", |value| elsewhere(kinds[1], value)).await.refuses(400, "MANIFEST_BLOB_UNKNOWN");
    registry.configure("validation.manifests.urls.allow", json!(["^https://near\\.example/"]));
    registry.reload().await;
    let refusal = push_changed(&client, "one", |value| elsewhere(kinds[0], value)).await.refuses(400, "MANIFEST_INVALID");
    let detail = refusal.json()["errors"][0]["detail"].clone();
    assert_eq!((&detail["digest"], &detail["url"]), (&json!(sha256(b"far away")), &json!("https://far.example/away")));
}

#[tokio::test]
async fn what_a_registry_does_not_know_is_kept() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let changes: [fn(&mut Value); 5] = [
        |value| value["artifactType"] = "application/vnd.example.sbom".into(),
        |value| value["config"]["data"] = "e30=".into(),
        |value| value["org.example.custom"] = json!({"deep": [1, 2.5, null]}),
        |value| value["layers"] = json!([]),
        |value| value["annotations"] = json!({"org.example.note": "é\u{1F600}"}),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let pushed = push_changed(&client, &number.to_string(), change).await.is(201);
        assert_eq!(sha256(&client.manifest("a", "changed").await.is(200).body), pushed.digest());
    }
    let unknown_config = |value: &mut Value| value["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into();
    push_changed(&client, "chart", unknown_config).await.is(201);
    let untyped = |value: &mut Value| drop(value.as_object_mut().unwrap().remove("mediaType"));
    push_changed(&client, "untyped", untyped).await.is(201);
    assert_eq!(client.manifest("a", "changed").await.header("content-type"), OCI_MANIFEST);
}

#[tokio::test]
async fn the_children_of_an_index_are_looked_for_as_what_they_are() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    client.push_manifest("a", "index", OCI_INDEX, index_of(OCI_INDEX, &[image.descriptor()])).await.is(201);
    client.push_manifest("a", "empty", OCI_INDEX, index_of(OCI_INDEX, &[])).await.is(201);

    let absent = index_of(OCI_INDEX, &[descriptor(OCI_MANIFEST, b"absent")]);
    client.push_manifest("a", "2", OCI_INDEX, absent).await.refuses(400, "MANIFEST_BLOB_UNKNOWN");
    client.push_blob("a", "only a blob").await;
    let blob_as_manifest = index_of(OCI_INDEX, &[descriptor(OCI_MANIFEST, b"only a blob")]);
    client.push_manifest("a", "2", OCI_INDEX, blob_as_manifest).await.refuses(400, "MANIFEST_BLOB_UNKNOWN");

    // What BuildKit writes as its cache.
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", b"only a blob");
    client.push_blob("a", "cache config").await;
    let config = descriptor("application/vnd.buildkit.cacheconfig.v0", b"cache config");
    client.push_manifest("a", "cache", OCI_INDEX, index_of(OCI_INDEX, &[layer, config])).await.is(201);
    let missing = index_of(OCI_INDEX, &[descriptor("application/vnd.oci.image.layer.v1.tar+gzip", b"absent")]);
    client.push_manifest("a", "2", OCI_INDEX, missing).await.refuses(400, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn an_old_client_gets_the_usual_image_of_a_list_by_tag_and_the_list_by_digest() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let (arm, amd) = (client.push_image("a", "arm", "arm").await.in_schema_2(), client.push_image("a", "amd", "amd").await.in_schema_2());
    let mut children = Vec::new();
    for (image, architecture) in [(&arm, "arm64"), (&amd, "amd64")] {
        client.push_manifest("a", &image.digest, DOCKER_MANIFEST, image.manifest.clone()).await.is(201);
        let mut child = image.descriptor();
        child["platform"] = json!({"os": "linux", "architecture": architecture});
        children.push(child);
    }
    let list = index_of(DOCKER_LIST, &children);
    client.push_manifest("a", "list", DOCKER_LIST, list.clone()).await.is(201);
    let get = |reference: &str, accept: &str| client.get(&format!("/v2/a/manifests/{reference}")).header("accept", accept);

    let answer = get("list", DOCKER_MANIFEST).send().await.is(200);
    assert_eq!((answer.digest(), answer.header("content-type"), &answer.body), (&*amd.digest, DOCKER_MANIFEST, &amd.manifest));
    assert_eq!(get(&sha256(&list), DOCKER_MANIFEST).send().await.is(200).body, list);
    for accept in [DOCKER_LIST, "*/*", &format!("{DOCKER_MANIFEST}, {DOCKER_LIST}"), OCI_MANIFEST, "application/json"] {
        assert_eq!(get("list", accept).send().await.is(200).body, list, "{accept}");
    }
    let lines = get("list", DOCKER_MANIFEST).header("accept", DOCKER_LIST);
    assert_eq!(lines.send().await.is(200).body, list, "several lines of Accept are one list");
    assert_eq!(client.get("/v2/a/manifests/list").send().await.is(200).body, list);
    let oci = index_of(OCI_INDEX, &children);
    client.push_manifest("a", "oci", OCI_INDEX, oci.clone()).await.is(201);
    assert_eq!(get("oci", DOCKER_MANIFEST).send().await.is(200).body, oci);
}

#[tokio::test]
async fn a_manifest_that_the_client_has_is_not_sent_again() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    for tag in [format!("\"{}\"", image.digest), format!("W/\"{}\"", image.digest), "\"x\", *".into()] {
        let answer = client.get("/v2/a/manifests/1").header("if-none-match", &tag).send().await.is(304);
        assert_eq!((answer.body.len(), answer.header("etag")), (0, &*format!("\"{}\"", image.digest)));
    }
    client.get("/v2/a/manifests/1").header("if-none-match", "\"x\"").send().await.is(200);
    // Older containerd asks for a range of everything.
    client.get("/v2/a/manifests/1").header("range", "bytes=0-").send().await.is(200);
}

#[tokio::test]
async fn a_deleted_manifest_is_gone_at_once_with_its_tags_and_no_others() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let one = client.push_image("a", "1", "one").await;
    client.push_manifest("a", "uno", OCI_MANIFEST, one.manifest.clone()).await.is(201);
    let two = client.push_image("a", "2", "two").await;
    let path = format!("/v2/a/manifests/{}", one.digest);
    client.delete(&path).send().await.is(202);
    for reference in [&*one.digest, "1", "uno"] {
        client.manifest("a", reference).await.refuses(404, "MANIFEST_UNKNOWN");
    }
    client.delete(&path).send().await.refuses(404, "MANIFEST_UNKNOWN");
    assert_eq!(client.tags("a").await, ["2"]);
    client.pull_image("a", "2", &two).await;
    client.push_image("a", "1", "one").await;
    client.pull_image("a", &one.digest, &one).await;
}

#[tokio::test]
async fn a_pushed_tag_moves_and_what_it_pointed_to_stays() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let one = client.push_image("a", "latest", "one").await;
    let two = client.push_image("a", "latest", "two").await;
    client.pull_image("a", "latest", &two).await;
    client.pull_image("a", &one.digest, &one).await;
}
