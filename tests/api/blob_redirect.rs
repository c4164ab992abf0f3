//! Blobs that clients are sent elsewhere for, by `middleware.storage`.

use serde_json::{Value, json};

use crate::harness::{Setup, sha256};

fn redirecting(steps: Value) -> Setup {
    Setup::open().set("middleware", json!({"storage": steps}))
}

/// Where the bytes lie, from the root of the data.
fn place(content: &[u8]) -> String {
    let hex = sha256(content).replace("sha256:", "");
    format!("/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

#[tokio::test]
async fn whoever_may_have_a_blob_is_sent_where_it_lies() {
    let place = place(b"content");
    let redirect = |base: &str| json!({"name": "redirect", "options": {"baseurl": base}});
    let rewrite =
        json!({"name": "rewrite", "options": {"scheme": "http", "host": "cdn.example.org:8080", "trimpathprefix": "/deep/docker"}});
    for (steps, expected) in [
        (json!([redirect("https://files.example.com")]), format!("https://files.example.com{place}")),
        (json!([redirect("https://files.example.com:8443/deep/")]), format!("https://files.example.com:8443/deep{place}")),
        (json!([redirect("https://one.example.com"), redirect("https://two.example.com")]), format!("https://two.example.com{place}")),
        (json!([redirect("https://files.example.com/deep"), rewrite]), format!("http://cdn.example.org:8080{}", &place["/docker".len()..])),
    ] {
        let registry = redirecting(steps).start().await;
        let client = registry.client();
        let digest = client.push_blob("a/b", "content").await;
        for method in ["GET", "HEAD"] {
            let answer = client.request(method, &format!("/v2/a/b/blobs/{digest}")).send().await.is(307);
            assert_eq!((answer.location(), answer.digest(), answer.body.len()), (&*expected, &*digest, 0));
        }
        client.get(&format!("/v2/other/blobs/{digest}")).send().await.refuses(404, "BLOB_UNKNOWN");
        assert_eq!(std::fs::read(registry.path().join("data").join(&place[1..])).unwrap(), b"content");
    }
}

#[tokio::test]
async fn redirects_are_switched_off_by_storage_or_by_the_step() {
    let step = json!({"name": "redirect", "options": {"baseurl": "https://files.example.com"}});
    let mut off = step.clone();
    off["disabled"] = true.into();
    for setup in [redirecting(json!([step])).set("storage.redirect", json!({"disable": true})), redirecting(json!([off]))] {
        let registry = setup.start().await;
        let client = registry.client();
        let digest = client.push_blob("a", "content").await;
        assert_eq!(client.get(&format!("/v2/a/blobs/{digest}")).send().await.is(200).body, "content");
    }
}
