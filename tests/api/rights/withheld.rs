//! Lists of repositories that leave out what may not be pulled.

use serde_json::json;

use super::{ADMIN, bearer_of, rule, rules};
use crate::harness::{BOB, Client, Running, Setup};
use crate::tags::pages;

const ALL: [&str; 7] = ["a/open", "b/closed", "c/open", "d/closed", "e/open", "open", "z/closed"];

async fn filled() -> Running {
    let all = json!({"who": "user:admin", "repositories": "**", "actions": ["*"]});
    let lister = json!({"who": "user:alice", "repositories": "a/open", "actions": ["pull"], "catalog": true});
    let robots = json!({"who": "robot:ci", "repositories": "c/open", "actions": ["pull"], "catalog": true});
    let access = rules(&[rule("user:bob", "*/open", &["pull"]), rule("anonymous", "open", &["pull"]), all, lister, robots]);
    let registry = Setup::tokens().set("access", access).peopled().await;
    let admin = registry.client().basic(ADMIN);
    for name in ALL {
        admin.push_image(name, "1", name).await;
    }
    registry
}

async fn with_token(client: &Client) -> Client {
    bearer_of(client, &["registry:catalog:*"]).await
}

#[tokio::test]
async fn the_catalog_is_what_may_be_pulled() {
    let registry = filled().await;
    let nobody = registry.client();
    let (user, secret) = registry.robot("ci", &["*/open"], &["pull"]).await;
    let bob = ["a/open", "c/open", "e/open", "open"];
    let below_its_ceiling = ["a/open", "c/open", "e/open"];
    for (who, client, expected) in [
        ("bob", nobody.basic(BOB), &bob[..]),
        ("admin", nobody.basic(ADMIN), &ALL),
        ("one who may list all", registry.alice(), &ALL),
        ("a robot that may list all of what it was made for", nobody.basic((&user, &secret)), &below_its_ceiling),
        ("a stranger", nobody.basic(super::DAVE), &["open"]),
    ] {
        assert_eq!(client.catalog().await, expected, "{who}");
        assert_eq!(with_token(&client).await.catalog().await, expected, "{who}, by token");
    }
    nobody.get("/v2/_catalog").send().await.refuses(401, "UNAUTHORIZED");
    assert_eq!(with_token(&nobody).await.catalog().await, ["open"]);
}

#[tokio::test]
async fn pages_and_their_links_name_nothing_hidden() {
    let registry = filled().await;
    let bob = registry.client().basic(BOB);
    for client in [bob.clone(), with_token(&bob).await] {
        assert_eq!(pages(&client, "/v2/_catalog?n=1", "repositories").await, [["a/open"], ["c/open"], ["e/open"], ["open"]]);
        assert_eq!(pages(&client, "/v2/_catalog?n=2", "repositories").await, [["a/open", "c/open"], ["e/open", "open"]]);
        // Where a page begins says nothing of what lies there.
        for last in ["b/closed", "b/absent", "b", "c/a"] {
            assert_eq!(
                pages(&client, &format!("/v2/_catalog?last={last}&n=1"), "repositories").await,
                [["c/open"], ["e/open"], ["open"]],
                "{last}"
            );
        }
        for last in ["open", "z/closed", "z/absent"] {
            let answer = client.get(&format!("/v2/_catalog?last={last}&n=1")).send().await.is(200);
            assert_eq!(answer.json(), json!({"repositories": []}));
            assert!(!answer.has("link"), "what is left is hidden: {answer:?}");
        }
        for query in ["", "?n=1", "?n=3", "?last=a/open&n=2"] {
            let answer = client.get(&format!("/v2/_catalog{query}")).send().await.is(200);
            assert!(!format!("{:?} {:?}", answer.headers, answer.body).contains("closed"), "{answer:?}");
        }
    }
}
