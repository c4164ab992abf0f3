//! What slow, many and large requests come to.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{OCI_INDEX, Setup, pipe};

/// Longer than any timeout of these tests.
const PATIENCE: Duration = Duration::from_secs(20);

fn impatient() -> Setup {
    Setup::open().plain().set("limits", json!({"timeouts": {"handshake": "1s", "header": "1s", "idle": "1s", "stall": "1s"}}))
}

/// Whether the server ends a connection on which this was sent, and what it said.
async fn ends(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap_or_else(|_| panic!("the connection stays open")).ok();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_end_and_a_connection_without_requests_are_cut_off() {
    let registry = impatient().start().await;
    for bytes in [&b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"[..], b"GET", b""] {
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        let said = ends(&mut stream, bytes).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let said = ends(&mut stream, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let mut setup = impatient();
    setup.is_tls = true;
    let registry = setup.set("http.tls", json!({"certificate": "DIR/tls.crt", "key": "DIR/tls.key"})).start().await;
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    assert_eq!(ends(&mut stream, b"\x16\x03\x01").await, "");
}

#[tokio::test]
async fn a_body_that_stands_still_ends_and_its_upload_can_go_on() {
    let registry = impatient().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    let (sender, body) = pipe();
    sender.send(Bytes::from_static(b"some")).unwrap();
    client.patch(&location).body(body).send().await.refuses(400, "SIZE_INVALID");
    drop(sender);
    let status = client.get(location.split('?').next().unwrap()).send().await.is(204);
    assert_eq!(status.header("range"), "0-3");
    client.patch(status.location()).body("thing").send().await.is(202);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let registry = impatient().start().await;
    let digest = registry.client().push_blob("a", vec![7; 64 << 20]).await;
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    stream.write_all(format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    // Nothing is read until the server has gone: then what lies in the socket's buffers is all there is.
    let gone = async {
        let mut probe = [0; 1];
        loop {
            stream.ready(tokio::io::Interest::WRITABLE).await.unwrap();
            if stream.try_write(b"\r\n").is_err() {
                return stream.read(&mut probe).await;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("the server waits for ever")).ok();
}

#[tokio::test]
async fn connections_have_their_seats() {
    let limits = json!({"connections": {"total": 3, "peraddress": 2}, "exempt": []});
    let registry = Setup::open().plain().set("limits", limits).start().await;
    let request = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        open.push(stream);
    }
    let mut third = TcpStream::connect(registry.address).await.unwrap();
    // The server may close before it has read what was sent.
    let _ = third.write_all(request).await;
    assert_eq!(timeout(PATIENCE, third.read(&mut [0; 64])).await.unwrap().unwrap_or_default(), 0);
    open.pop();
    crate::harness::eventually(async || {
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        stream.write_all(request).await.is_ok() && stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0)
    })
    .await;
}

#[tokio::test]
async fn the_limit_of_manifests_can_be_chosen() {
    let registry = Setup::open().set("limits", json!({"manifestsize": "1KiB"})).start().await;
    let manifest = |length: usize| {
        let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
        format!("{empty}{}", " ".repeat(length - empty.len()))
    };
    registry.client().push_manifest("a", "1", OCI_INDEX, manifest(1024)).await.is(201);
    let refused = registry.client().push_manifest("a", "2", OCI_INDEX, manifest(1025)).await.refuses(413, "MANIFEST_INVALID");
    assert_eq!(refused.json()["errors"][0]["detail"]["limit"], 1024);
}

#[tokio::test]
async fn a_blob_past_the_limit_is_refused_and_leaves_nothing() {
    let registry = Setup::open().set("limits", json!({"blobsize": "1MiB"})).start().await;
    let client = registry.client();
    client.push_blob("a", vec![1; 1 << 20]).await;
    let location = client.begin("a").await;
    let refused = client.patch(&location).body(vec![1; (1 << 20) + 1]).send().await.refuses(413, "SIZE_INVALID");
    assert_eq!(refused.json()["errors"][0]["detail"]["limit"], 1 << 20);
    client.get(location.split('?').next().unwrap()).send().await.refuses(404, "BLOB_UPLOAD_UNKNOWN");
    let location = client.begin("a").await;
    let next = client.patch(&location).body(vec![1; 1 << 20]).send().await.is(202).location().to_owned();
    client.patch(&next).body("x").send().await.refuses(413, "SIZE_INVALID");
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_no_uploads_but_serves_and_deletes() {
    let mut registry = Setup::open().start().await;
    let image = registry.client().push_image("a", "1", "one").await;
    registry.stop().await;
    // More than any disk of a test has free.
    registry.setup = registry.setup.clone().set("limits", json!({"reserve": "1000000GiB"}));
    registry.start_again().await;
    let client = registry.client();
    let refused = client.post("/v2/a/blobs/uploads/").send().await;
    assert_eq!(refused.status, 507);
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("nearly full"), "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["code"], "UNAVAILABLE");
    client.pull_image("a", "1", &image).await;
    client.delete("/v2/a/manifests/1").send().await.is(202);
}

#[tokio::test]
async fn requests_are_limited_by_identity_first_and_by_address_for_nobody() {
    let limits = json!({"exempt": [], "reads": {"rate": "1/h", "burst": 4}, "writes": {"rate": "1/h", "burst": 2}});
    let registry = Setup::tokens().set("limits", limits).start().await;
    let alice = registry.alice();
    let location = alice.begin("a").await;
    alice.begin("a").await;
    let refused = alice.post("/v2/a/blobs/uploads/").send().await.refuses(429, "TOOMANYREQUESTS");
    assert!((3000..=3600).contains(&refused.header("retry-after").parse::<u64>().unwrap()), "{refused:?}");
    // An upload under way goes on, whatever is used up.
    let digest = crate::harness::sha256(b"some");
    let next = alice.patch(&location).body("some").send().await.is(202).location().to_owned();
    alice.put(&crate::harness::with(&next, &format!("digest={digest}"))).send().await.is(201);
    for left in (0..4).rev() {
        let answer = alice.get("/v2/a/manifests/1").send().await.refuses(404, "MANIFEST_UNKNOWN");
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), ("4;w=14400", left.to_string().as_str()));
        alice.head("/v2/a/manifests/1").send().await.is(404);
    }
    let refused = alice.get("/v2/a/manifests/1").send().await.refuses(429, "TOOMANYREQUESTS");
    assert_eq!((refused.header("ratelimit-limit"), refused.header("ratelimit-remaining")), ("4;w=14400", "0"));
    // Another user from the same address has an allowance of her own, and so has nobody.
    registry.client().basic(crate::harness::BOB).get("/v2/a/manifests/1").send().await.is(404);
    for _ in 0..4 {
        registry.client().get("/v2/").send().await.is(401);
    }
    registry.client().get("/v2/").send().await.refuses(429, "TOOMANYREQUESTS");
}

#[tokio::test]
async fn loopback_is_not_limited_by_itself() {
    let limits = json!({"reads": {"rate": "1/h", "burst": 1}});
    let registry = Setup::basic().set("limits", limits).start().await;
    for _ in 0..5 {
        let answer = registry.alice().get("/v2/a/manifests/1").send().await.is(404);
        assert!(!answer.has("ratelimit-limit"));
    }
}
