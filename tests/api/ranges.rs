//! Parts of blobs, and requests that depend on what the client has.

use crate::harness::{Answer, Client, Running, Setup, sha256};

const CONTENT: &str = "0123456789";

async fn blob() -> (Running, Client, String) {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let path = format!("/v2/a/blobs/{}", client.push_blob("a", CONTENT).await);
    (registry, client, path)
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    headers.iter().fold(client.get(path), |request, (name, value)| request.header(name, value)).send().await
}

#[tokio::test]
async fn one_part_is_sent_as_such() {
    let (_registry, client, path) = blob().await;
    for (range, expected, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=0-", CONTENT, "bytes 0-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", CONTENT, "bytes 0-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = get(&client, &path, &[("range", range)]).await.is(206);
        assert_eq!((answer.header("content-range"), &answer.body[..]), (content_range, expected.as_bytes()), "{range}");
        assert_eq!(answer.header("content-length"), expected.len().to_string());
        assert_eq!(answer.digest(), sha256(CONTENT.as_bytes()));
        let head = client.head(&path).header("range", range).send().await;
        assert!(head.status == 200 || head.status == 206, "{head:?}");
    }
}

#[tokio::test]
async fn a_part_beyond_the_end_is_refused_with_the_length_that_there_is() {
    let (_registry, client, path) = blob().await;
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=10-11,12-"] {
        let answer = get(&client, &path, &[("range", range)]).await.refuses(416, "RANGE_INVALID");
        assert_eq!(answer.header("content-range"), "bytes */10");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    }
    let empty = format!("/v2/a/blobs/{}", client.push_blob("a", "").await);
    get(&client, &empty, &[("range", "bytes=0-")]).await.refuses(416, "RANGE_INVALID");
}

#[tokio::test]
async fn several_parts_come_as_one_multipart_body() {
    let (_registry, client, path) = blob().await;
    let answer = get(&client, &path, &[("range", "bytes=0-1, 4-5, -2")]).await.is(206);
    let boundary = answer.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(answer.header("content-length"), body.len().to_string());
    let (parts, end) = body.rsplit_once(&format!("\r\n--{boundary}--\r\n")).unwrap();
    assert_eq!(end, "");
    let parts = parts.strip_prefix(&format!("--{boundary}\r\n")).unwrap();
    let parts: Vec<_> = parts.split(&format!("\r\n--{boundary}\r\n")).map(|part| part.split_once("\r\n\r\n").unwrap()).collect();
    let expected = [("bytes 0-1/10", "01"), ("bytes 4-5/10", "45"), ("bytes 8-9/10", "89")];
    assert_eq!(parts.len(), expected.len());
    for ((head, bytes), (range, content)) in parts.into_iter().zip(expected) {
        assert_eq!(head, format!("Content-Range: {range}\r\nContent-Type: application/octet-stream"));
        assert_eq!(bytes, content);
    }
}

#[tokio::test]
async fn what_is_no_range_or_asks_for_bytes_twice_is_answered_whole() {
    let (_registry, client, path) = blob().await;
    let many: Vec<String> = (0..2000).map(|_| "0-0".to_owned()).collect();
    for range in ["bytes=", "bytes=a-b", "lines=1-2", "bytes", "bytes=0-4,4-6", &format!("bytes={}", many.join(","))] {
        assert_eq!(get(&client, &path, &[("range", range)]).await.is(200).body, CONTENT, "{range}");
    }
}

#[tokio::test]
async fn a_blob_that_the_client_has_is_not_sent_again() {
    let (_registry, client, path) = blob().await;
    let tag = format!("\"{}\"", sha256(CONTENT.as_bytes()));
    for known in [&*tag, "*", &format!("\"x\", {tag}"), &format!("W/{tag}")] {
        let answer = get(&client, &path, &[("if-none-match", known)]).await.is(304);
        assert_eq!((answer.header("etag"), answer.body.len()), (&*tag, 0));
        client.head(&path).header("if-none-match", known).send().await.is(304);
    }
    get(&client, &path, &[("if-none-match", "\"x\"")]).await.is(200);
    get(&client, &path, &[("if-match", &tag)]).await.is(200);
    get(&client, &path, &[("if-match", "*")]).await.is(200);
    get(&client, &path, &[("if-match", "\"x\"")]).await.is(412);
}

#[tokio::test]
async fn a_part_is_sent_only_of_what_the_client_began_with() {
    let (_registry, client, path) = blob().await;
    let tag = format!("\"{}\"", sha256(CONTENT.as_bytes()));
    get(&client, &path, &[("range", "bytes=1-2"), ("if-range", &tag)]).await.is(206);
    for other in ["\"x\"", &format!("W/{tag}"), "Sat, 21 Nov 2026 00:00:00 GMT"] {
        get(&client, &path, &[("range", "bytes=1-2"), ("if-range", other)]).await.is(200);
    }
}

#[tokio::test]
async fn the_parts_of_a_large_blob_fit_together() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let content: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let path = format!("/v2/a/blobs/{}", client.push_blob("a", content.clone()).await);
    let mut gathered = Vec::new();
    while gathered.len() < content.len() {
        let range = format!("bytes={}-{}", gathered.len(), gathered.len() + 700_000);
        gathered.extend_from_slice(&get(&client, &path, &[("range", &range)]).await.is(206).body);
    }
    assert!(gathered == content);
}
