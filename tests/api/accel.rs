//! Blobs that a proxy in front sends, told by `X-Accel-Redirect`.

use serde_json::json;

use crate::harness::{Answer, Client, Setup, sha256, sha512};

const FORWARDED: (&str, &str) = ("x-forwarded-for", "203.0.113.9");

fn behind_nginx(setup: Setup) -> Setup {
    setup.set("http.accelredirect", "/data/")
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    headers.iter().fold(client.get(path), |request, (name, value)| request.header(name, value)).send().await
}

fn redirect(answer: &Answer) -> Option<&str> {
    answer.headers.get("x-accel-redirect").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_trusted_proxy_is_told_the_file_instead_of_being_sent_the_bytes() {
    let registry = behind_nginx(Setup::basic()).start().await;
    let client = registry.alice();
    let digest = client.push_blob("a/b", "content").await;
    let path = format!("/v2/a/b/blobs/{digest}");
    for headers in [&[FORWARDED][..], &[FORWARDED, ("range", "bytes=2-3")], &[FORWARDED, ("if-none-match", "\"x\"")]] {
        let answer = get(&client, &path, headers).await.is(200);
        let file = redirect(&answer).unwrap().strip_prefix("/data/").unwrap();
        assert_eq!(std::fs::read(registry.path().join("data").join(file)).unwrap(), b"content");
        assert_eq!((answer.body.len(), answer.digest()), (0, &*digest));
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        assert!(!answer.headers.contains_key("accept-ranges"), "nginx would say it twice");
        assert!(answer.header("cache-control").starts_with("max-age=31536000"));
    }
}

#[tokio::test]
async fn a_blob_is_named_by_where_it_lies_whatever_it_was_asked_for_by() {
    let registry = behind_nginx(Setup::open()).start().await;
    let client = registry.client();
    let digest = sha512(b"content");
    client.post(&format!("/v2/a/blobs/uploads/?digest={digest}")).body("content").send().await.is(201);
    let answer = get(&client, &format!("/v2/a/blobs/{digest}"), &[FORWARDED]).await.is(200);
    assert_eq!(answer.digest(), digest);
    let canonical = sha256(b"content").replace("sha256:", "");
    let expected = format!("/data/docker/registry/v2/blobs/sha256/{}/{canonical}/data", &canonical[..2]);
    assert_eq!(redirect(&answer), Some(&*expected));
}

#[tokio::test]
async fn who_is_no_trusted_proxy_gets_the_bytes() {
    let nobody = Setup::open();
    let another = behind_nginx(Setup::open()).set("http.trustedproxies", json!(["192.0.2.0/24"]));
    // Without the key; from a peer that is not trusted; from a client on this machine, which no proxy stands before.
    for (setup, headers) in [(nobody, &[FORWARDED][..]), (another, &[FORWARDED]), (behind_nginx(Setup::open()), &[])] {
        let registry = setup.start().await;
        let client = registry.client();
        let digest = client.push_blob("a", "content").await;
        let answer = get(&client, &format!("/v2/a/blobs/{digest}"), headers).await.is(200);
        assert_eq!((redirect(&answer), &answer.body[..]), (None, &b"content"[..]), "{headers:?}");
    }
}

#[tokio::test]
async fn a_head_and_what_holds_for_one_tag_only_are_answered_from_here() {
    let registry = behind_nginx(Setup::open()).start().await;
    let client = registry.client();
    let digest = client.push_blob("a", "content").await;
    let (path, tag) = (format!("/v2/a/blobs/{digest}"), format!("\"{digest}\""));
    let head = client.head(&path).header(FORWARDED.0, FORWARDED.1).send().await.is(200);
    assert_eq!((redirect(&head), head.header("content-length")), (None, "7"));
    for (name, value, status) in [("if-match", &*tag, 200), ("if-match", "\"x\"", 412), ("if-none-match", &tag, 304)] {
        let answer = get(&client, &path, &[FORWARDED, (name, value)]).await.is(status);
        assert_eq!(redirect(&answer), None, "{name}: {value}");
    }
}

#[tokio::test]
async fn who_may_not_pull_is_told_of_no_file() {
    let registry = behind_nginx(Setup::basic()).start().await;
    let digest = registry.alice().push_blob("a", "content").await;
    let refused = get(&registry.client(), &format!("/v2/a/blobs/{digest}"), &[FORWARDED]).await.is(401);
    assert_eq!(redirect(&refused), None);
    let elsewhere = get(&registry.alice(), &format!("/v2/b/blobs/{digest}"), &[FORWARDED]).await.refuses(404, "BLOB_UNKNOWN");
    assert_eq!(redirect(&elsewhere), None);
}
