//! The list of tags, page by page.

use crate::harness::{Answer, Client, OCI_MANIFEST, Setup};

/// The address that a page names as the next one.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?.to_str().unwrap();
    assert!(link.ends_with(">; rel=\"next\""), "{link}");
    Some(link.trim_start_matches('<').split_once('>').unwrap().0.to_owned())
}

/// Follows the pages of a listing from an address to the end.
pub(crate) async fn pages(client: &Client, first: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut address = Some(first.to_owned());
    while let Some(target) = address {
        let answer = client.get(&target).send().await.is(200);
        pages.push(serde_json::from_value(answer.json()[field].clone()).unwrap());
        address = next(&answer);
        assert!(pages.len() < 100);
    }
    pages
}

async fn tagged(client: &Client, tags: &[&str]) {
    let image = client.push_image("a", tags[0], "one").await;
    for tag in &tags[1..] {
        client.push_manifest("a", tag, OCI_MANIFEST, image.manifest.clone()).await.is(201);
    }
}

#[tokio::test]
async fn tags_are_listed_in_the_order_of_their_bytes() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    tagged(&client, &["b", "B", "a-1", "a", "_x", "9", "A.b", "10"]).await;
    let answer = client.get("/v2/a/tags/list").send().await.is(200);
    assert_eq!(answer.json(), serde_json::json!({"name": "a", "tags": ["10", "9", "A.b", "B", "_x", "a", "a-1", "b"]}));
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.has("link"));
}

#[tokio::test]
async fn pages_of_tags_are_linked_and_miss_none() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    tagged(&client, &["a", "b", "c", "d", "e"]).await;
    assert_eq!(pages(&client, "/v2/a/tags/list?n=2", "tags").await, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    assert_eq!(pages(&client, "/v2/a/tags/list?n=5", "tags").await, [["a", "b", "c", "d", "e"]]);
    assert_eq!(pages(&client, "/v2/a/tags/list?n=1000000", "tags").await.len(), 1);
    assert_eq!(pages(&client, "/v2/a/tags/list?last=c", "tags").await, [["d", "e"]]);
    assert_eq!(pages(&client, "/v2/a/tags/list?n=1&last=bb", "tags").await, [["c"], ["d"], ["e"]]);
    assert_eq!(pages(&client, "/v2/a/tags/list?last=z", "tags").await, [Vec::<String>::new()]);
    assert_eq!(pages(&client, "/v2/a/tags/list?n=0", "tags").await, [Vec::<String>::new()]);
    client.head("/v2/a/tags/list?n=2").send().await.is(200);
}

#[tokio::test]
async fn a_page_size_that_is_none_is_refused() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    tagged(&client, &["a"]).await;
    for n in ["-1", "x", "1.5", "99999999999999999999999", "%00", "0x1"] {
        client.get(&format!("/v2/a/tags/list?n={n}")).send().await.refuses(400, "PAGINATION_NUMBER_INVALID");
    }
    client.get("/v2/a/tags/list?last=%00").send().await.is(400);
}

#[tokio::test]
async fn the_tags_of_an_unknown_repository_are_unknown() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    for query in ["", "?n=1", "?last=a"] {
        client.get(&format!("/v2/absent/tags/list{query}")).send().await.refuses(404, "NAME_UNKNOWN");
    }
}

#[tokio::test]
async fn a_deleted_tag_is_gone_and_its_manifest_stays() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    client.push_manifest("a", "2", OCI_MANIFEST, image.manifest.clone()).await.is(201);
    client.delete("/v2/a/manifests/1").send().await.is(202);
    client.manifest("a", "1").await.refuses(404, "MANIFEST_UNKNOWN");
    client.delete("/v2/a/manifests/1").send().await.refuses(404, "MANIFEST_UNKNOWN");
    assert_eq!(client.tags("a").await, ["2"]);
    client.delete("/v2/a/manifests/2").send().await.is(202);
    assert!(client.tags("a").await.is_empty());
    client.pull_image("a", &image.digest, &image).await;
}
