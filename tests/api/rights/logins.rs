//! What wrong passwords cost, and whom they cost nothing.

use serde_json::json;

use super::CAROL;
use crate::harness::{ALICE, Answer, BOB, Running, Setup};

const BASE: &str = "/v2/";
const REALM: &str = "/auth/token";
const ELSEWHERE: &str = "198.51.100.7";

async fn limited() -> Running {
    let limits = json!({"exempt": [], "logins": {"rate": "10/h", "burst": 3}});
    Setup::tokens().set("limits", limits).peopled().await
}

/// The answer to a password, sent from an address that a proxy names, or from here.
async fn answer(registry: &Running, user: (&str, &str), path: &str, address: Option<&str>) -> Answer {
    let request = registry.client().basic(user).get(path);
    let request = if let Some(address) = address { request.header("x-forwarded-for", address) } else { request };
    request.send().await
}

#[track_caller]
fn is_closed(answer: Answer) {
    let wait: u64 = answer.header("retry-after").parse().unwrap_or_else(|_| panic!("{answer:?}"));
    assert!((1..=360).contains(&wait), "{answer:?}");
    assert!(!answer.has("www-authenticate"), "{answer:?}");
    answer.refuses(429, "TOOMANYREQUESTS");
}

#[tokio::test]
async fn after_some_wrong_passwords_an_address_is_not_listened_to() {
    for (first, second) in [(BASE, REALM), (REALM, BASE)] {
        let registry = limited().await;
        // Remembered from here on.
        answer(&registry, ALICE, BASE, None).await.is(200);
        for user in ["alice", "nobody", "robot$ci"] {
            answer(&registry, (user, "wrong"), first, None).await.refuses(401, "UNAUTHORIZED");
        }
        for path in [first, second] {
            for user in ["alice", "nobody", "robot$ci"] {
                is_closed(answer(&registry, (user, "wrong"), path, None).await);
            }
            is_closed(answer(&registry, BOB, path, None).await);
            answer(&registry, ALICE, path, None).await.is(200);
            answer(&registry, CAROL, path, Some(ELSEWHERE)).await.is(200);
            answer(&registry, ("bob", "wrong"), BASE, Some(&format!("192.0.2.{}", path.len()))).await.is(401);
        }
    }
}

#[tokio::test]
async fn a_victim_is_not_locked_out_by_others() {
    let registry = limited().await;
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        for _ in 0..3 {
            answer(&registry, ("alice", "wrong"), BASE, Some(address)).await.is(401);
        }
        is_closed(answer(&registry, ALICE, BASE, Some(address)).await);
    }
    answer(&registry, ALICE, BASE, Some(ELSEWHERE)).await.is(200);
}

#[tokio::test]
async fn a_machine_token_is_listened_to_whoever_guesses_beside_it() {
    let registry = limited().await;
    let (robot, secret) = registry.robot("ci", &["**"], &["pull"]).await;
    for _ in 0..3 {
        answer(&registry, ("alice", "wrong"), BASE, None).await.is(401);
    }
    is_closed(answer(&registry, ALICE, BASE, None).await);
    for path in [BASE, REALM] {
        is_closed(answer(&registry, (&robot, "wrong"), path, None).await);
        answer(&registry, (&robot, &secret), path, None).await.is(200);
    }
}

#[tokio::test]
async fn answers_to_wrong_passwords_wait_longer_each_time() {
    let registry = Setup::tokens().set("limits.exempt", json!([])).peopled().await;
    for (user, path) in [("alice", BASE), ("robot$ci", BASE), ("nobody", REALM)] {
        let began = std::time::Instant::now();
        for _ in 0..4 {
            answer(&registry, (user, "wrong"), path, None).await.is(401);
        }
        // Nothing, then 100, 200 and 400 ms.
        assert!(began.elapsed().as_millis() >= 700, "{user}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn no_credentials_and_empty_ones_are_never_counted() {
    let registry = limited().await;
    for _ in 0..8 {
        answer(&registry, ("", ""), REALM, None).await.is(200);
        answer(&registry, ("", ""), BASE, None).await.refuses(401, "UNAUTHORIZED");
        registry.client().get(BASE).send().await.refuses(401, "UNAUTHORIZED");
        registry.client().bearer("a.b.c").get(BASE).send().await.refuses(401, "UNAUTHORIZED");
        registry.client().authorization("Basic !").get(BASE).send().await.refuses(401, "UNAUTHORIZED");
    }
    answer(&registry, BOB, BASE, None).await.is(200);
    // One half of them is a wrong password.
    for user in [("", "x"), ("alice", ""), ("", "y")] {
        answer(&registry, user, BASE, None).await.is(401);
    }
    is_closed(answer(&registry, ("alice", "wrong"), BASE, None).await);
}

#[tokio::test]
async fn what_an_untrusted_peer_forwards_is_its_own_address() {
    let limits = json!({"exempt": [], "logins": {"rate": "10/h", "burst": 3}});
    let registry = Setup::tokens().set("limits", limits).set("http.trustedproxies", json!(["192.0.2.0/24"])).start().await;
    for number in 1..=3 {
        answer(&registry, ("alice", "wrong"), BASE, Some(&format!("10.0.0.{number}"))).await.is(401);
    }
    is_closed(answer(&registry, ALICE, BASE, Some("10.0.0.4")).await);
}
