//! Blobs: pulling, mounting and deleting them.

use crate::harness::{Setup, sha256, sha512, with};

#[tokio::test]
async fn a_blob_is_pulled_as_it_was_pushed_with_the_headers_of_content_that_never_changes() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let digest = client.push_blob("a/b", "content").await;
    let path = format!("/v2/a/b/blobs/{digest}");
    for request in [client.get(&path), client.head(&path)] {
        let answer = request.send().await.is(200);
        assert_eq!(answer.digest(), digest);
        assert_eq!(answer.header("content-length"), "7", "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert!(answer.header("cache-control").starts_with("max-age=31536000"));
    }
    assert_eq!(client.get(&path).send().await.body, "content");
}

#[tokio::test]
async fn nothing_under_v2_is_ever_compressed() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let text = "a".repeat(100_000);
    let digest = client.push_blob("a", text.clone()).await;
    client.push_image("a", "1", "one").await;
    for path in [&format!("/v2/a/blobs/{digest}"), "/v2/a/manifests/1", "/v2/a/tags/list", "/v2/_catalog"] {
        // The harness looks at each answer for a content coding.
        let answer = client.get(path).header("accept-encoding", "gzip, br, zstd, deflate").send().await.is(200);
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    }
}

#[tokio::test]
async fn a_blob_that_is_not_here_is_unknown() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    client.push_blob("a", "content").await;
    for path in [format!("/v2/a/blobs/{}", sha256(b"other")), format!("/v2/b/blobs/{}", sha256(b"content"))] {
        let answer = client.get(&path).send().await.refuses(404, "BLOB_UNKNOWN");
        assert!(answer.json()["errors"][0]["detail"].is_string());
        client.head(&path).send().await.is(404);
        client.delete(&path).send().await.refuses(404, "BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn a_digest_that_is_none_is_refused() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let upper = sha256(b"x").to_uppercase().replace("SHA256", "sha256");
    for digest in ["sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256", "latest", &upper, &format!("{}0", sha256(b"x"))] {
        client.get(&format!("/v2/a/blobs/{digest}")).send().await.refuses(400, "DIGEST_INVALID");
    }
}

#[tokio::test]
async fn the_digest_of_a_manifest_is_no_blob() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    client.get(&format!("/v2/a/blobs/{}", image.digest)).send().await.refuses(404, "BLOB_UNKNOWN");
    client.push_blob("a", image.manifest.clone()).await;
    client.get(&format!("/v2/a/blobs/{}", image.digest)).send().await.is(200);
}

#[tokio::test]
async fn a_deleted_blob_is_gone_at_once_and_can_be_pushed_again() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let digest = client.push_blob("a", "content").await;
    let path = format!("/v2/a/blobs/{digest}");
    client.delete(&path).send().await.is(202);
    client.head(&path).send().await.is(404);
    client.delete(&path).send().await.refuses(404, "BLOB_UNKNOWN");
    client.push_blob("a", "content").await;
    client.get(&path).send().await.is(200);
}

#[tokio::test]
async fn each_name_of_a_blob_is_answered_as_it_was_asked_for() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let (short, long) = (sha256(b"content"), sha512(b"content"));
    let location = client.begin("a").await;
    let answer = client.put(&with(&location, &format!("digest={long}"))).body("content").send().await.is(201);
    assert_eq!(answer.digest(), long);
    assert!(answer.location().ends_with(&format!("/v2/a/blobs/{long}")));
    for digest in [&short, &long] {
        let answer = client.get(&format!("/v2/a/blobs/{digest}")).send().await.is(200);
        assert_eq!((answer.digest(), answer.header("etag"), &answer.body[..]), (&**digest, &*format!("\"{digest}\""), &b"content"[..]));
    }
    client.delete(&format!("/v2/a/blobs/{long}")).send().await.is(202);
    client.get(&format!("/v2/a/blobs/{long}")).send().await.is(404);
    client.get(&format!("/v2/a/blobs/{short}")).send().await.is(200);
}

#[tokio::test]
async fn a_mount_makes_a_blob_anothers_without_moving_bytes() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let digest = client.push_blob("from/here", "content").await;
    for query in [format!("mount={digest}&from=from/here"), format!("mount={digest}&from=from%2Fhere"), format!("mount={digest}")] {
        let answer = client.post(&format!("/v2/to/here/blobs/uploads/?{query}")).send().await.is(201);
        assert_eq!(answer.digest(), digest);
        assert!(answer.location().ends_with(&format!("/v2/to/here/blobs/{digest}")), "{answer:?}");
        client.get(&format!("/v2/to/here/blobs/{digest}")).send().await.is(200);
        client.delete(&format!("/v2/to/here/blobs/{digest}")).send().await.is(202);
    }
}

#[tokio::test]
async fn a_mount_that_cannot_be_begins_an_upload() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let (known, unknown) = (client.push_blob("a", "content").await, sha256(b"unknown"));
    for query in [
        format!("mount={unknown}&from=a"),
        format!("mount={unknown}"),
        format!("mount={known}&from=absent"),
        format!("mount={known}&from=NOT%20a%20name"),
        "mount=sha256:zz&from=a".to_owned(),
    ] {
        let answer = client.post(&format!("/v2/b/blobs/uploads/?{query}")).send().await.is(202);
        client.put(&with(answer.location(), &format!("digest={unknown}"))).body("unknown").send().await.is(201);
        client.delete(&format!("/v2/b/blobs/{unknown}")).send().await.is(202);
    }
}
