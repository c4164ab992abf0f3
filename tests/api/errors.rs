//! The shape of refusals, and the methods of each route.

use serde_json::json;

use crate::harness::{Client, OCI_MANIFEST, Setup, sha256};

#[tokio::test]
async fn a_refusal_has_a_code_a_message_and_a_detail() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let digest = sha256(b"x");
    let cases = [
        ("GET", "/v2/A/tags/list".to_owned(), 404, json!({"code": "NAME_INVALID", "message": "invalid repository name"})),
        (
            "GET",
            "/v2/a/tags/list".to_owned(),
            404,
            json!({"code": "NAME_UNKNOWN", "message": "repository name not known to registry", "detail": {"name": "a"}}),
        ),
        (
            "GET",
            format!("/v2/a/blobs/{digest}"),
            404,
            json!({"code": "BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": digest}),
        ),
        (
            "GET",
            "/v2/a/manifests/1".to_owned(),
            404,
            json!({"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": "unknown tag=1"}),
        ),
        ("GET", "/v2/a/manifests/-1".to_owned(), 404, json!({"code": "TAG_INVALID", "message": "manifest tag did not match URI"})),
        ("GET", "/v2/a/nothing".to_owned(), 404, json!({"code": "UNSUPPORTED", "message": "The operation is unsupported."})),
    ];
    for (method, path, status, error) in cases {
        let answer = client.request(method, &path).send().await.is(status);
        assert_eq!(answer.json(), json!({"errors": [error]}));
        assert_eq!(answer.header("content-type"), "application/json");
        let head = client.head(&path).send().await.is(status);
        assert_eq!(head.header("content-length"), answer.header("content-length"));
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_know_is_answered_with_those_it_does() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let digest = sha256(b"x");
    for (path, allow) in [
        ("/v2/".to_owned(), "GET, HEAD"),
        ("/v2/_catalog".to_owned(), "GET, HEAD"),
        ("/v2/a/tags/list".to_owned(), "GET, HEAD"),
        (format!("/v2/a/referrers/{digest}"), "GET, HEAD"),
        ("/v2/a/manifests/1".to_owned(), "DELETE, GET, HEAD, PUT"),
        (format!("/v2/a/blobs/{digest}"), "DELETE, GET, HEAD"),
        ("/v2/a/blobs/uploads/".to_owned(), "POST"),
        ("/v2/a/blobs/uploads/1".to_owned(), "DELETE, GET, HEAD, PATCH, PUT"),
        ("/auth/token".to_owned(), "GET, POST"),
        ("/".to_owned(), "GET, HEAD"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            if !allow.split(", ").any(|allowed| allowed == method) {
                // Browsers ask so before they send what a page wants of another host.
                let answer = client.request(method, &path).send().await.is(if method == "OPTIONS" { 200 } else { 405 });
                assert_eq!(answer.header("allow"), allow, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_path_with_a_slash_too_many_leads_to_the_route() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let blob = sha256(&image.layer);
    for path in ["/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/1", &format!("/v2/a/blobs/{blob}")] {
        assert_eq!(client.get(&format!("{path}/?n=1")).send().await.is(301).location(), format!("{path}?n=1"));
        client.get(path).header("accept", "*/*").send().await.is(200);
    }
    assert_eq!(raw_location(&client, "/v2//_catalog").await, "/v2/_catalog");
    assert_eq!(raw_location(&client, "//elsewhere.test/v2/").await, "/elsewhere.test/v2/");
}

async fn raw_location(client: &Client, path: &str) -> String {
    client.get(&format!("{}{path}", client.base)).send().await.is(301).location().to_owned()
}

#[tokio::test]
async fn bodies_that_are_ours_end_with_the_line() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    client.push_image("a", "1", "one").await;
    for path in ["/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/2"] {
        assert!(client.get(path).send().await.body.ends_with(b"}\n"), "{path}");
    }
    assert_eq!(client.get("/v2/").send().await.body, "{}");
}

#[tokio::test]
async fn the_base_of_the_api_answers_with_an_empty_object() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    for path in ["/v2/", "/v2"] {
        let answer = client.get(path).send().await.is(200);
        assert_eq!((answer.json(), answer.header("content-type")), (json!({}), "application/json"));
    }
    client.get("/").send().await.is(200);
    client.get("/v1/_ping").send().await.is(404);
}

#[tokio::test]
async fn names_by_the_grammar_are_taken_and_no_others() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let longest = format!("{}/{}", "a".repeat(126), "b".repeat(128));
    for name in ["a/b/c/d/e/f/g", "a.b", "a_b", "a__b", "a---b", "0", "library/blobs", "a/manifests/b", "tags/list", &longest] {
        let path = format!("/v2/{name}/blobs/uploads/?mount={}&from=a", sha256(&image.layer));
        client.post(&path).send().await.is(201);
        client.get(&format!("/v2/{name}/blobs/{}", sha256(&image.layer))).send().await.is(200);
    }
    for name in ["A", "a_", "-a", "a..b", "a___b", "a%2F%2Fb", "_a", "a/_b", "a%20b", "%C3%A9", &format!("{longest}c")] {
        let answer = client.push_manifest(name, "1", OCI_MANIFEST, image.manifest.clone()).await;
        answer.refuses(404, "NAME_INVALID");
    }
}

#[tokio::test]
async fn request_ids_differ() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let (one, two) = (client.get("/v2/").send().await, client.get("/v2/").send().await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}
