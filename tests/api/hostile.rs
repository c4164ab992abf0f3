//! What no well-meaning client sends. Never a 5xx, a hang or a panic; and nothing is lost.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{OCI_MANIFEST, Running, Setup, exchange, raw, sha256, with};

/// The statuses of the answers in what came back over one connection.
fn statuses(text: &str) -> Vec<u16> {
    let heads = text.match_indices("HTTP/1.").filter(|(at, _)| *at == 0 || !text[..*at].ends_with(' '));
    heads.filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok()).collect()
}

/// Sends text and checks that all that comes back is a refusal, or nothing.
async fn refused(registry: &Running, request: &str) {
    let answer = raw(registry.address, request.as_bytes()).await;
    let found = statuses(&answer);
    assert!(found.len() <= 1 && found.iter().all(|status| (400..500).contains(status)), "{request:?}: {answer}");
}

async fn is_well(registry: &Running) {
    registry.client().get("/v2/").send().await.is(200);
}

#[tokio::test]
async fn requests_that_http_forbids_are_refused() {
    let registry = Setup::open().plain().start().await;
    for request in [
        "GET /v2/ HTTP/1.1\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a\"b\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        "GET /v2/ HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET  /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "\0\0\0\0",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\n\r\nx",
        "GET /v2/a/tags/list HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    ] {
        refused(&registry, request).await;
    }
    refused(&registry, &format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1 << 20))).await;
    refused(&registry, &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1 << 20))).await;
    let mut many = "GET /v2/ HTTP/1.1\r\nHost: a\r\n".to_owned();
    (0..5000).for_each(|number| write!(many, "x-{number}: 1\r\n").unwrap());
    refused(&registry, &format!("{many}\r\n")).await;
    is_well(&registry).await;
}

#[tokio::test]
async fn a_connection_without_an_end_is_not_waited_for_after_a_refusal() {
    let registry = Setup::open().plain().start().await;
    for request in [
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "POST /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        // The client keeps its side open: the server has to end.
        let answer = exchange(registry.address, request.as_bytes(), false).await;
        assert_eq!(statuses(&answer), [400], "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_store() {
    let registry = Setup::open().plain().start().await;
    registry.client().push_image("a", "1", "one").await;
    let id = "00000000-0000-4000-8000-000000000000";
    for path in [
        "/v2/../../../etc/passwd".to_owned(),
        "/v2/..%2f..%2f..%2fetc/tags/list".to_owned(),
        "/v2/%2e%2e/%2e%2e/manifests/1".to_owned(),
        "/v2/a/../b/manifests/1".to_owned(),
        "/v2/a/manifests/..".to_owned(),
        "/v2/a/manifests/%2e%2e%2fcurrent".to_owned(),
        "/v2/a/manifests/..%2f..%2f..".to_owned(),
        "/v2/a/blobs/sha256:../../../../etc/passwd".to_owned(),
        format!("/v2/a/blobs/uploads/../{id}"),
        format!("/v2/a/blobs/uploads/%2e%2e%2f{id}"),
        "/v2/a%00b/tags/list".to_owned(),
        "/v2/_staging/tags/list".to_owned(),
        "/v2/a/_manifests/tags/list".to_owned(),
        "/v2/%/tags/list".to_owned(),
        "/v2/%zz/tags/list".to_owned(),
        "/v2/%ff%fe/tags/list".to_owned(),
        "/v2/a/tags/list?last=%ff&n=%".to_owned(),
        "/v2/a\\..\\b/tags/list".to_owned(),
        "//v2//a//tags/list".to_owned(),
        "/v2/a/manifests/".to_owned(),
        "/v2//manifests/1".to_owned(),
    ] {
        for method in ["GET", "PUT", "DELETE", "POST", "PATCH"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let answer = raw(registry.address, request.as_bytes()).await;
            let found = statuses(&answer);
            let is_listing = path.contains("last=") && method == "GET";
            assert!(found.len() == 1 && (is_listing || (300..500).contains(&found[0])), "{method} {path}: {answer}");
            assert!(!answer.contains("root:") && !answer.contains("docker/registry"), "{method} {path}: {answer}");
        }
    }
    assert_eq!(registry.client().catalog().await, ["a"]);
}

#[tokio::test]
async fn broken_json_is_an_invalid_manifest() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let whole = String::from_utf8(image.manifest.to_vec()).unwrap();
    let deep = "[".repeat(100_000);
    let bodies = [
        format!("{{\"schemaVersion\":2,\"x\":{deep}"),
        format!("{{\"schemaVersion\":2,\"config\":{}", "{\"a\":".repeat(50_000)),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("sha256:", "md5:"),
        whole.replace("\"size\":", "\"size\":1e999, \"x\":"),
        whole.replace("\"layers\"", "\"config\": {}, \"layers\""),
        whole.replace("\"layers\": [", "\"layers\": [null,"),
        whole.replace(OCI_MANIFEST, "a b\\u0000"),
        "\u{feff}{}".to_owned(),
    ];
    for body in bodies {
        client.push_manifest("a", "2", OCI_MANIFEST, body).await.refuses(400, "MANIFEST_INVALID");
    }
    client.push_manifest("a", "2", OCI_MANIFEST, vec![0xff; 100]).await.refuses(400, "MANIFEST_INVALID");
    client.pull_image("a", "1", &image).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_can_go_on() {
    let registry = Setup::open().plain().start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    let bare = location.split_once('?').unwrap().0.to_owned();
    let path = bare.strip_prefix(&client.base).unwrap();
    let content = vec![b'x'; 600_000];
    for head in ["Content-Length: 600000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        let head = format!("PATCH {path} HTTP/1.1\r\nHost: localhost\r\nContent-Range: 0-599999\r\n{head}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        if head.contains("chunked") {
            stream.write_all(b"493e0\r\n").await.unwrap();
        }
        stream.write_all(&content[..300_000]).await.unwrap();
        drop(stream);
    }
    // When the server notices is its own affair: until then it may still write, and where it stands moves.
    let mut last = None;
    for _ in 0..1000 {
        let range = client.get(&bare).send().await.is(204).header("range").to_owned();
        let stands = if range == "0-0" { 0 } else { range.trim_start_matches("0-").parse::<usize>().unwrap() + 1 };
        let request = client.patch(&bare).header("content-range", &format!("{stands}-{}", content.len() - 1));
        let answer = request.body(content[stands..].to_vec()).send().await;
        let is_done = answer.status == 202;
        last = Some(answer);
        if is_done {
            break;
        }
    }
    last.unwrap().is(202);
    client.put(&with(&bare, &format!("digest={}", sha256(&content)))).send().await.is(201);
}

#[tokio::test]
async fn a_client_that_has_enough_of_a_range_may_hang_up() {
    // As containerd 2 does, which asks for all the rest with each of its ranges.
    let registry = Setup::open().plain().start().await;
    let client = registry.client();
    let digest = client.push_blob("a", vec![1; 4 << 20]).await;
    for start in 0..16 {
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: a\r\nRange: bytes={start}-\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 30];
        stream.read_exact(&mut head).await.unwrap();
        assert!(head.starts_with(b"HTTP/1.1 206 Partial Content"));
    }
    is_well(&registry).await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refused_body() {
    let registry = Setup::basic().plain().start().await;
    let body = "x".repeat(1 << 20);
    let refused = format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(registry.address, format!("{refused}{last}").as_bytes(), false).await;
    assert_eq!(statuses(&answer), [401, 200], "{answer}");
}

#[tokio::test]
async fn a_client_that_stops_reading_harms_nobody() {
    let registry = Setup::open().plain().start().await;
    let client = registry.client();
    let digest = client.push_blob("a", vec![1; 8 << 20]).await;
    for _ in 0..8 {
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 100]).await.unwrap();
    }
    assert_eq!(client.get(&format!("/v2/a/blobs/{digest}")).send().await.is(200).body.len(), 8 << 20);
}

/// Requests that look almost like those of the API.
fn requests() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("a".to_owned()),
        Just("manifests".to_owned()),
        Just("blobs".to_owned()),
        Just("uploads".to_owned()),
        Just("tags".to_owned()),
        Just("list".to_owned()),
        Just("referrers".to_owned()),
        Just("_catalog".to_owned()),
        Just("latest".to_owned()),
        Just(sha256(b"x")),
        Just("sha512:zz".to_owned()),
        Just("00000000-0000-4000-8000-000000000000".to_owned()),
        Just(String::new()),
        "[!-~&&[^ ?#]]{0,12}",
        "%[0-9a-f]{2}",
    ];
    let method = prop_oneof!["GET|HEAD|PUT|POST|PATCH|DELETE", "[A-Z]{1,12}"];
    let query =
        prop_oneof![Just(String::new()), "\\?(n|last|digest|mount|from|_state|tag|artifactType|digest-algorithm)=[!-~&&[^ #]]{0,20}"];
    let header = prop_oneof![
        "Range: (bytes=)?[0-9,-]{0,12}",
        "Content-Range: [ -~]{0,12}",
        "Content-Type: [ -~]{0,40}",
        "Accept: [ -~]{0,40}",
        "Authorization: (Basic|Bearer)? [!-~]{0,30}",
        "If-None-Match: [ -~]{0,20}",
        "X-Forwarded-(For|Host|Proto): [ -~]{0,20}",
        "Forwarded: [ -~]{0,30}",
        "Expect: 100-continue",
    ];
    let body = prop_oneof![Just(String::new()), "[ -~]{0,40}", Just("{\"schemaVersion\":2,\"manifests\":[]}".to_owned())];
    let parts = (method, prop::collection::vec(word, 0..7), query, prop::collection::vec(header, 0..3), body);
    parts.prop_map(|(method, words, query, headers, body)| {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        let path = words.join("/");
        format!("{method} /v2/{path}{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    })
}

#[tokio::test]
async fn no_request_of_a_thousand_odd_ones_is_answered_with_a_fault_of_ours() {
    let registry = Setup::open().plain().start().await;
    let image = registry.client().push_image("a", "latest", "one").await;
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = requests();
    for _ in 0..1000 {
        let request = strategy.new_tree(&mut runner).unwrap().current();
        let answer = raw(registry.address, request.as_bytes()).await;
        assert!(statuses(&answer).iter().all(|status| *status < 500), "{request:?}: {answer}");
        assert!(!answer.is_empty() || !request.starts_with("GET "), "{request:?}");
    }
    is_well(&registry).await;
    registry.client().push_image("a", "latest", "one").await;
    registry.client().pull_image("a", "latest", &image).await;
}
