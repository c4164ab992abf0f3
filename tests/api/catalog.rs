//! The list of repositories, page by page.

use crate::harness::{Client, Setup};
use crate::tags::pages;

async fn filled(client: &Client, names: &[&str]) {
    for name in names {
        client.push_image(name, "1", "one").await;
    }
}

#[tokio::test]
async fn repositories_are_listed_in_the_order_of_the_tree() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    filled(&client, &["a-b", "a/b/c", "b", "a", "a/b"]).await;
    assert_eq!(client.catalog().await, ["a", "a/b", "a/b/c", "a-b", "b"]);
    assert_eq!(client.get("/v2/_catalog").send().await.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_repository_is_one_when_it_has_a_tag_or_a_manifest() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    client.push_blob("only/blobs", "x").await;
    client.begin("only/uploads").await;
    let image = client.push_image("tagged", "1", "one").await;
    client.push_image("untagged", "1", "two").await;
    client.delete("/v2/untagged/manifests/1").send().await.is(202);
    assert_eq!(client.catalog().await, ["tagged", "untagged"]);
    client.delete(&format!("/v2/tagged/manifests/{}", image.digest)).send().await.is(202);
    assert_eq!(client.catalog().await, ["untagged"]);
}

#[tokio::test]
async fn pages_of_repositories_are_linked_and_miss_none() {
    let registry = Setup::open().start().await;
    let client = registry.client();
    filled(&client, &["a", "a/b", "a-b", "b", "c"]).await;
    assert_eq!(pages(&client, "/v2/_catalog?n=2", "repositories").await, [vec!["a", "a/b"], vec!["a-b", "b"], vec!["c"]]);
    assert_eq!(pages(&client, "/v2/_catalog?last=a/b", "repositories").await, [["a-b", "b", "c"]]);
    assert_eq!(pages(&client, "/v2/_catalog?n=1&last=b", "repositories").await, [["c"]]);
    assert_eq!(pages(&client, "/v2/_catalog?last=zzz", "repositories").await, [Vec::<String>::new()]);
    assert_eq!(pages(&client, "/v2/_catalog?n=0", "repositories").await, [Vec::<String>::new()]);
}

#[tokio::test]
async fn a_page_is_at_most_as_large_as_configured() {
    let registry = Setup::open().set("catalog.maxentries", 2).start().await;
    let client = registry.client();
    filled(&client, &["a", "b", "c"]).await;
    for n in ["3", "-1", "x"] {
        client.get(&format!("/v2/_catalog?n={n}")).send().await.refuses(400, "PAGINATION_NUMBER_INVALID");
    }
    assert_eq!(pages(&client, "/v2/_catalog", "repositories").await, [vec!["a", "b"], vec!["c"]]);
}
