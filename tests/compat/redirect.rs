//! Where registry 3 and ours send clients for blobs, by the same steps of `middleware.storage`.

use serde_json::{Value, json};

use crate::harness::{Setup, sha256, with};
use crate::trial::{REGISTRY_3, Stock};

/// Pushes a blob; where a pull of it is sent.
async fn location(base: &str, http: &reqwest::Client) -> String {
    let digest = sha256(b"content");
    let begun = http.post(format!("{base}/v2/a/blobs/uploads/")).send().await.unwrap();
    let upload = with(begun.headers()["location"].to_str().unwrap(), &format!("digest={digest}"));
    assert_eq!(http.put(upload).body("content").send().await.unwrap().status(), 201);
    let mut places = Vec::new();
    for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
        let answer = http.request(method, format!("{base}/v2/a/blobs/{digest}")).send().await.unwrap();
        assert_eq!(answer.status(), 307);
        places.push(answer.headers()["location"].to_str().unwrap().to_owned());
    }
    assert_eq!(places[0], places[1]);
    places.remove(0)
}

#[tokio::test]
async fn clients_are_sent_to_the_same_address() {
    let redirect = |base: &str| json!({"name": "redirect", "options": {"baseurl": base}});
    let rewrite = |options: Value| json!({"name": "rewrite", "options": options});
    for steps in [
        json!([redirect("https://files.example.com")]),
        json!([redirect("https://files.example.com:8443/deep/")]),
        json!([redirect("http://files.example.com/deep?x=1#y")]),
        json!([redirect("https://one.example.com"), redirect("https://two.example.com")]),
        json!([redirect("https://files.example.com/a"), rewrite(json!({"host": "cdn.example.org:8080", "trimpathprefix": "/a/docker"}))]),
        json!([redirect("https://files.example.com"), rewrite(json!({"scheme": "http", "trimpathprefix": "/none"}))]),
    ] {
        let section = json!({"storage": steps});
        let Some(stock) = Stock::start(REGISTRY_3, &json!({"middleware": section})).await else { return };
        let registry = Setup::open().plain().set("middleware", section.clone()).start().await;
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.resolve("localhost", registry.address).build().unwrap();
        assert_eq!(location(&registry.client().base, &http).await, location(&stock.base(), &http).await, "{section}");
    }
}
