//! Rules for callers from some networks.

use serde_json::{Value, json};

use super::{bearer_of, rule, rules};
use crate::harness::{BOB, Client, Running, Setup};

const TAGS: &str = "/v2/team/app/tags/list";

/// One rule for callers from a network.
fn rule_from(who: &str, repositories: &str, actions: &[&str], network: &str) -> Value {
    json!({"who": who, "repositories": repositories, "actions": actions, "from": [network]})
}

/// Bob may pull from a network; who the trusted proxies are may be said.
async fn from(network: &str, proxies: Option<Value>) -> Running {
    let access = rules(&[rule("user:alice", "**", &["*"]), rule_from("user:bob", "team/**", &["pull"], network)]);
    let setup = Setup::tokens().set("access", access);
    let setup = if let Some(proxies) = proxies { setup.set("http.trustedproxies", proxies) } else { setup };
    let registry = setup.start().await;
    registry.alice().push_image("team/app", "1", "one").await;
    registry
}

async fn status(client: &Client, header: Option<(&str, &str)>) -> u16 {
    let request = client.get(TAGS);
    let request = if let Some((name, value)) = header { request.header(name, value) } else { request };
    request.send().await.status
}

#[tokio::test]
async fn a_trusted_proxy_says_where_a_caller_is() {
    let registry = from("10.0.0.0/8", None).await;
    let bob = registry.client().basic(BOB);
    for (header, expected) in [
        (None, 404),
        (Some(("x-forwarded-for", "10.1.2.3")), 200),
        (Some(("x-forwarded-for", "192.0.2.1, 10.1.2.3")), 200),
        (Some(("x-forwarded-for", "10.1.2.3, 192.0.2.1")), 404),
        (Some(("x-forwarded-for", "11.1.2.3")), 404),
        (Some(("x-real-ip", "10.1.2.3")), 200),
        (Some(("forwarded", "for=10.1.2.3")), 200),
    ] {
        assert_eq!(status(&bob, header).await, expected, "{header:?}");
    }
}

#[tokio::test]
async fn nobody_else_says_so() {
    let proxies = || Some(json!(["192.0.2.0/24"]));
    let registry = from("10.0.0.0/8", proxies()).await;
    let bob = registry.client().basic(BOB);
    for header in [None, Some(("x-forwarded-for", "10.1.2.3")), Some(("forwarded", "for=10.1.2.3")), Some(("x-real-ip", "10.1.2.3"))] {
        assert_eq!(status(&bob, header).await, 404, "{header:?}");
    }
    // And what it passes on is not its own, so that nothing behind it is local.
    let registry = from("127.0.0.0/8", proxies()).await;
    let bob = registry.client().basic(BOB);
    for (header, expected) in [(None, 200), (Some(("x-forwarded-for", "127.0.0.1")), 404), (Some(("x-forwarded-proto", "https")), 404)] {
        assert_eq!(status(&bob, header).await, expected, "{header:?}");
    }
}

#[tokio::test]
async fn a_token_opens_nothing_from_elsewhere() {
    let registry = from("10.0.0.0/8", None).await;
    let bob = registry.client().basic(BOB);
    let inside = Some(("x-forwarded-for", "10.1.2.3"));
    let asked = "/auth/token?scope=repository:team/app:pull";
    let issued = bob.get(asked).header("x-forwarded-for", "10.1.2.3").send().await.is(200).json();
    let token = bob.bearer(issued["token"].as_str().unwrap());
    assert_eq!((status(&token, inside).await, status(&token, None).await), (200, 401));
    let outside = bearer_of(&bob, &["repository:team/app:pull"]).await;
    assert_eq!((status(&outside, inside).await, status(&outside, None).await), (401, 401));
}
