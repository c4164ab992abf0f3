//! What is written down of who was let in, and who was not.

use serde_json::{Value, json};

use super::{CAROL, DAVE, bearer_of};
use crate::harness::{ALICE, BOB, Running, Setup, eventually, image_of};

const MACHINE: &str = "192.0.2.77";

fn text(registry: &Running) -> String {
    std::fs::read_to_string(registry.path().join("audit.log")).unwrap()
}

fn entries(registry: &Running) -> Vec<Value> {
    text(registry).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for an entry with these fields.
async fn written(registry: &Running, fields: Value) {
    let matches = |entry: &Value| fields.as_object().unwrap().iter().all(|(name, value)| entry[name] == *value);
    eventually(async || entries(registry).iter().any(matches)).await;
}

#[tokio::test]
async fn each_decision_is_written_down_with_who_where_what_and_why() {
    let registry = Setup::tokens().ruled().peopled().await;
    let nobody = registry.client();
    let (robot, secret) = registry.robot("ci", &["team/app"], &["pull"]).await;
    let from =
        |user: (&str, &str), method: &str, path: &str| nobody.basic(user).request(method, path).header("x-forwarded-for", MACHINE).send();
    let login = |user: &str, decision: &str, reason: &str| json!({"event": "login", "user": user, "address": MACHINE, "repository": null, "decision": decision, "reason": reason});
    from(ALICE, "GET", "/v2/").await.is(200);
    written(&registry, login("alice", "allowed", "password")).await;
    from(("alice", "wr0ng-guess"), "GET", "/v2/").await.is(401);
    written(&registry, login("alice", "refused", "wrong credentials")).await;
    from((&robot, &secret), "GET", "/v2/").await.is(200);
    written(&registry, login("robot$ci", "allowed", "machine token")).await;
    from(("mallory", "wr0ng-guess"), "GET", "/auth/token").await.is(401);
    written(&registry, login("mallory", "refused", "wrong credentials")).await;
    for path in ["/v2/", "/auth/token"] {
        let malformed = nobody.authorization("Basic !").get(path).header("x-forwarded-for", MACHINE).send().await.is(401);
        let refused = json!({"event": "login", "user": "", "address": MACHINE, "decision": "refused", "reason": "malformed authorization", "request_id": malformed.header("x-request-id")});
        written(&registry, refused).await;
    }
    let issued = from(BOB, "GET", "/auth/token?scope=repository:team/app:pull,push").await.is(200);
    let token =
        json!({"event": "token", "user": "bob", "address": MACHINE, "repository": "repository:team/app:pull", "decision": "allowed"});
    written(&registry, token).await;
    let denied = |user: &str, repository: &str, reason: &str| json!({"event": "access", "user": user, "address": MACHINE, "repository": repository, "decision": "refused", "reason": reason});
    from(BOB, "POST", "/v2/team/app/blobs/uploads/").await.is(403);
    written(&registry, denied("bob", "team/app", "no right to do this")).await;
    let hidden = from(DAVE, "GET", "/v2/team/app/tags/list").await.is(404);
    written(&registry, denied("dave", "team/app", "no right to pull")).await;
    written(&registry, json!({"user": "dave", "event": "access", "request_id": hidden.header("x-request-id")})).await;
    let bearer = nobody.bearer(issued.json()["token"].as_str().unwrap());
    bearer.delete("/v2/team/app/manifests/1").header("x-forwarded-for", MACHINE).send().await.is(401);
    written(&registry, denied("bob", "team/app", "insufficient scope")).await;
    let one = nobody.basic(CAROL).push_image("team/app", "1", "one").await;
    let two = one.with(&image_of("one").referrer("application/x").value());
    nobody.basic(CAROL).push_manifest("team/app", "1", two.media_type, two.manifest).await.is(403);
    written(&registry, json!({"event": "access", "user": "carol", "repository": "team/app", "reason": "no right to do this"})).await;
    for entry in entries(&registry) {
        let times = entry["time"].as_str().unwrap();
        assert!(times.ends_with('Z') && entry["request_id"].as_str().unwrap().len() == 16, "{entry}");
    }
}

#[tokio::test]
async fn no_secret_is_written_down() {
    let registry = Setup::tokens().ruled().peopled().await;
    let nobody = registry.client();
    let (robot, secret) = registry.robot("ci", &["team/app"], &["pull"]).await;
    let wrong = "wr0ng-guess";
    let mut secrets = vec![wrong.to_owned(), secret.clone(), secret[4..].to_owned()];
    secrets.extend([ALICE, BOB, CAROL, DAVE].map(|(_, password)| password.to_owned()));
    for user in [ALICE, BOB, CAROL, DAVE, (&*robot, &*secret)] {
        let client = nobody.basic(user);
        let path = "/auth/token?offline_token=true&scope=repository:team/app:pull,push";
        let issued = client.get(path).send().await.is(200).json();
        let (token, refresh) = (issued["token"].as_str().unwrap(), issued["refresh_token"].as_str().unwrap());
        client.post("/v2/team/app/blobs/uploads/").send().await;
        nobody.bearer(token).delete("/v2/team/app/manifests/1").send().await.is(401);
        nobody.bearer(refresh).get("/v2/").send().await.is(401);
        let form = |refresh: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", refresh.to_owned())];
        for text in [refresh.to_owned(), format!("{refresh}x")] {
            let form = form(&text);
            let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
            nobody.post_form(&form).await;
        }
        nobody.post_form(&[("grant_type", "password"), ("username", user.0), ("password", wrong)]).await.is(401);
        nobody.basic((user.0, wrong)).get("/v2/").send().await.is(401);
        // In places where they do not belong.
        nobody.bearer(user.1).get("/v2/").send().await.is(401);
        nobody.authorization(&format!("Basic {}", user.1)).get("/v2/").send().await.is(401);
        nobody.authorization(&format!("Digest {wrong}")).get("/v2/").send().await.is(401);
        secrets.extend([token, refresh].map(str::to_owned));
        secrets.extend(token.split('.').skip(1).chain(refresh.split('.').skip(1)).filter(|part| part.len() > 8).map(str::to_owned));
    }
    // The last entry: all others lie before it.
    bearer_of(&nobody.basic(("admin", super::ADMIN.1)), &["repository:last:pull"]).await;
    written(&registry, json!({"repository": "repository:last:pull"})).await;
    let log = text(&registry);
    assert!(log.lines().count() > 30, "{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret}\n{log}");
    }
}
