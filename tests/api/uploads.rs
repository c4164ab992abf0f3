//! Uploads: every way in which clients push a blob.

use bytes::Bytes;
use uuid::Uuid;

use crate::harness::{Client, Setup, eventually, pipe, sha256, sha512, with};

async fn pulls(client: &Client, repository: &str, content: &[u8]) {
    assert_eq!(client.get(&format!("/v2/{repository}/blobs/{}", sha256(content))).send().await.is(200).body, content);
}

#[tokio::test]
async fn a_blob_comes_with_the_closing_put() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let begun = client.post("/v2/a/blobs/uploads/").send().await.is(202);
    assert_eq!((begun.header("range"), begun.header("content-length")), ("0-0", "0"));
    assert!(begun.header("docker-upload-uuid").parse::<Uuid>().is_ok());
    let digest = sha256(b"content");
    let made = client.put(&with(begun.location(), &format!("digest={digest}"))).body("content").send().await.is(201);
    assert_eq!((made.digest(), made.header("content-length")), (&*digest, "0"));
    assert_eq!(made.location(), format!("{}/v2/a/blobs/{digest}", client.base));
    pulls(&client, "a", b"content").await;
    client.get(begun.location()).send().await.refuses(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_blob_comes_with_the_post() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    for (path, content) in [("/v2/a/blobs/uploads/", "one"), ("/v2/a/blobs/uploads", "two")] {
        let digest = sha256(content.as_bytes());
        let made = client.post(&format!("{path}?digest={digest}")).body(content).send().await.is(201);
        assert_eq!(made.digest(), digest);
        pulls(&client, "a", content.as_bytes()).await;
    }
    client.post(&format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x"))).body("y").send().await.refuses(400, "DIGEST_INVALID");
    assert_eq!(std::fs::read_dir(registry.root().join("repositories/a/_uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_blob_comes_in_one_streamed_patch() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    // As the Docker engine does: no type, no length, no range.
    let pieces = vec![Bytes::from_static(b"one "), Bytes::from_static(b"two "), Bytes::from_static(b"three")];
    let patched = client.patch(&location).stream(pieces).send().await.is(202);
    assert_eq!(patched.header("range"), "0-12");
    let digest = sha256(b"one two three");
    client.put(&with(patched.location(), &format!("digest={digest}"))).send().await.is(201);
    pulls(&client, "a", b"one two three").await;
}

#[tokio::test]
async fn a_blob_comes_in_ranged_patches_and_a_last_put() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let mut location = client.begin("a").await;
    for (range, bytes, stands) in [("0-3", "0123", "0-3"), ("4-5", "45", "0-5"), ("bytes 6-6/*", "6", "0-6")] {
        let request = client.patch(&location).header("content-range", range).header("content-type", "application/octet-stream");
        let answer = request.body(bytes).send().await.is(202);
        assert_eq!(answer.header("range"), stands);
        location = answer.location().to_owned();
        let status = client.get(&location).send().await.is(204);
        assert_eq!((status.header("range"), status.header("location").is_empty()), (stands, false));
    }
    let closing = client.put(&with(&location, &format!("digest={}", sha256(b"0123456789")))).header("content-range", "7-9");
    closing.body("789").send().await.is(201);
    pulls(&client, "a", b"0123456789").await;
}

#[tokio::test]
async fn bytes_out_of_order_are_refused_and_the_upload_stands_where_it_stood() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    client.patch(&location).header("content-range", "5-9").body("56789").send().await.refuses(416, "RANGE_INVALID");
    let location = client.patch(&location).header("content-range", "0-4").body("01234").send().await.is(202).location().to_owned();
    for range in ["0-4", "4-8", "6-10"] {
        client.patch(&location).header("content-range", range).body("56789").send().await.refuses(416, "RANGE_INVALID");
        let closing = client.put(&with(&location, &format!("digest={}", sha256(b"x")))).header("content-range", range);
        closing.body("56789").send().await.refuses(416, "RANGE_INVALID");
    }
    assert_eq!(client.head(&location).send().await.is(204).header("range"), "0-4");
    client.put(&with(&location, &format!("digest={}", sha256(b"0123456789")))).body("56789").send().await.is(201);
}

#[tokio::test]
async fn a_range_that_is_none_or_not_that_of_the_body_is_refused() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    for range in ["a-b", "5", "9-5", "-", "0-18446744073709551615", "bytes"] {
        client.patch(&location).header("content-range", range).body("x").send().await.refuses(400, "RANGE_INVALID");
    }
    client.patch(&location).header("content-range", "0-9").body("short").send().await.refuses(400, "SIZE_INVALID");
    client.patch(&location).header("content-type", "text/plain").body("x").send().await.refuses(415, "BLOB_UPLOAD_INVALID");
    assert_eq!(client.get(&location).send().await.is(204).header("range"), "0-0");
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    let location = client.patch(&location).body("bytes").send().await.is(202).location().to_owned();
    client.delete(&location).send().await.is(204);
    for method in ["GET", "HEAD", "PATCH", "DELETE"] {
        client.request(method, &location).send().await.is(404);
    }
    let put = client.put(&with(&location, &format!("digest={}", sha256(b"bytes"))));
    put.send().await.refuses(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(std::fs::read_dir(registry.root().join("repositories/a/_uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn content_that_is_not_what_the_digest_names_ends_the_upload() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    client.put(&with(&location, &format!("digest={}", sha256(b"x")))).body("y").send().await.refuses(400, "DIGEST_INVALID");
    client.get(&location).send().await.refuses(404, "BLOB_UPLOAD_UNKNOWN");
    for content in [&b"x"[..], b"y"] {
        client.get(&format!("/v2/a/blobs/{}", sha256(content))).send().await.refuses(404, "BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn a_closing_put_without_a_usable_digest_leaves_the_upload() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    for query in ["digest=", "digest=sha256:abc", "digest=md5:d41d8cd98f00b204e9800998ecf8427e", "other=1"] {
        client.put(&with(&location, query)).body("x").send().await.refuses(400, "DIGEST_INVALID");
    }
    client.put(&with(&location, &format!("digest={}", sha256(b"x")))).body("x").send().await.is(201);
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let digest = client.push_blob("a", "").await;
    let answer = client.get(&format!("/v2/a/blobs/{digest}")).send().await.is(200);
    assert_eq!((answer.header("content-length"), answer.body.len()), ("0", 0));
    assert_eq!(client.head(&format!("/v2/a/blobs/{digest}")).send().await.is(200).header("content-length"), "0");
}

#[tokio::test]
async fn a_client_may_name_the_algorithm_it_will_close_with() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let begun = client.post("/v2/a/blobs/uploads/?digest-algorithm=sha512").send().await.is(202);
    let location = client.patch(begun.location()).body("con").send().await.is(202).location().to_owned();
    let digest = sha512(b"content");
    assert_eq!(client.put(&with(&location, &format!("digest={digest}"))).body("tent").send().await.is(201).digest(), digest);
    client.post("/v2/a/blobs/uploads/?digest-algorithm=md5").send().await.refuses(400, "DIGEST_INVALID");
    let wrong = client.post(&format!("/v2/a/blobs/uploads/?digest={}", sha512(b"x"))).body("y").send().await;
    wrong.refuses(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_state_is_needed_by_none_and_forged_by_none() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    let (bare, state) = location.split_once("?_state=").unwrap();
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE, state).unwrap();
    let fields: serde_json::Value = serde_json::from_slice(&decoded[32..]).unwrap();
    assert_eq!((&fields["Name"], &fields["Offset"]), (&"a".into(), &0.into()));
    assert_eq!(fields["UUID"], bare.rsplit_once('/').unwrap().1);
    assert!(fields["StartedAt"].as_str().unwrap().ends_with('Z'));

    let other = client.begin("a").await;
    let foreign = other.split_once("?_state=").unwrap().1;
    for forged in ["", "x", "AAAA", foreign, &state.replace(&state[..4], "AAAA")] {
        client.patch(&format!("{bare}?_state={forged}")).body("x").send().await.refuses(404, "BLOB_UPLOAD_INVALID");
    }
    client.patch(bare).body("one").send().await.is(202);
    // The state of before the bytes came.
    client.patch(&location).body("two").send().await.refuses(416, "RANGE_INVALID");
    client.put(&with(bare, &format!("digest={}", sha256(b"one")))).send().await.is(201);
}

#[tokio::test]
async fn an_upload_belongs_to_its_repository() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    let bare = location.split_once('?').unwrap().0.replace("/v2/a/", "/v2/b/");
    for method in ["GET", "PATCH", "DELETE"] {
        client.request(method, &bare).send().await.refuses(404, "BLOB_UPLOAD_UNKNOWN");
    }
    for id in ["x", "00000000-0000-0000-0000-000000000000", "%2e%2e%2fa", "%00", "0", &"a".repeat(300)] {
        client.get(&format!("/v2/a/blobs/uploads/{id}")).send().await.is(404);
    }
}

#[tokio::test]
async fn an_upload_is_carried_on_after_a_restart() {
    let mut registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    let location = client.patch(&location).body("before ").send().await.is(202).location().to_owned();
    registry.restart().await;
    let client = registry.client();
    let path = format!("/v2/{}", location.split_once("/v2/").unwrap().1);
    assert_eq!(client.get(&path).send().await.is(204).header("range"), "0-6");
    client.put(&with(&path, &format!("digest={}", sha256(b"before after")))).body("after").send().await.is(201);
    pulls(&client, "a", b"before after").await;
}

#[tokio::test]
async fn two_writers_of_one_upload_never_mix_their_bytes() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    let bare = location.split_once('?').unwrap().0.to_owned();
    let (pieces, body) = pipe();
    let first = tokio::spawn(client.patch(&bare).body(body).send());
    pieces.send(Bytes::from(vec![b'1'; 512 * 1024])).unwrap();
    eventually(async || client.get(&bare).send().await.is(204).header("range") != "0-0").await;
    client.patch(&bare).body("2").send().await.refuses(416, "RANGE_INVALID");
    client.delete(&bare).send().await.refuses(416, "RANGE_INVALID");
    drop(pieces);
    first.await.unwrap().is(202);
    let content = vec![b'1'; 512 * 1024];
    client.put(&with(&bare, &format!("digest={}", sha256(&content)))).send().await.is(201);
    pulls(&client, "a", &content).await;
}
