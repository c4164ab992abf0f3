//! Passwords, and how a registry asks for them.

use crate::harness::{ALICE, BOB, Setup, eventually, sha256};

#[tokio::test]
async fn basic_asks_for_a_password_with_its_realm() {
    let registry = Setup::basic().start().await;
    let client = registry.client();
    for path in ["/v2/", "/v2/a/tags/list", "/v2/_catalog", "/v2/nothing/here"] {
        let answer = client.get(path).send().await.refuses(401, "UNAUTHORIZED");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"Registry\"", "{path}");
    }
    client.get("/").send().await.is(200);
    client.get("/auth/token").send().await.is(404);
}

#[tokio::test]
async fn the_right_password_opens_everything_and_a_wrong_one_nothing() {
    let registry = Setup::basic().start().await;
    let alice = registry.alice();
    alice.get("/v2/").send().await.is(200);
    let image = alice.push_image("a/b", "1", "one").await;
    registry.client().basic(BOB).pull_image("a/b", "1", &image).await;
    for credentials in [("alice", "wrong"), ("nobody", "x"), ("", "x"), ("alice", ""), ("ALICE", ALICE.1)] {
        let answer = registry.client().basic(credentials).get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
        assert!(answer.has("www-authenticate"));
    }
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_and_never_anonymous() {
    for setup in [Setup::basic(), Setup::tokens()] {
        let registry = setup.start().await;
        let long = format!("Basic {}", "A".repeat(20_000));
        for value in ["Basic", "Basic ", "Basic !!!", "Basic YQ==", "Digest x", "Bearer", "Bearer ", "Bearer a.b.c", "x", &long] {
            for path in ["/v2/", "/v2/a/tags/list"] {
                registry.client().authorization(value).get(path).send().await.refuses(401, "UNAUTHORIZED");
            }
        }
        let twice = registry.alice().get("/v2/").header("authorization", "Basic YTpi");
        twice.send().await.refuses(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_challenge_names_what_the_request_needs() {
    let registry = Setup::tokens().start().await;
    let client = registry.client();
    let digest = sha256(b"x");
    let bare = format!("Bearer realm=\"{}/auth/token\",service=\"the-service\"", client.base);
    for (method, path, scope) in [
        ("GET", "/v2/", None),
        ("GET", "/v2/a/b/manifests/1", Some("repository:a/b:pull")),
        ("HEAD", "/v2/a/b/manifests/1", Some("repository:a/b:pull")),
        ("PUT", "/v2/a/b/manifests/1", Some("repository:a/b:pull,push")),
        ("DELETE", "/v2/a/b/manifests/1", Some("repository:a/b:delete")),
        ("GET", &*format!("/v2/a/blobs/{digest}"), Some("repository:a:pull")),
        ("DELETE", &*format!("/v2/a/blobs/{digest}"), Some("repository:a:delete")),
        ("POST", "/v2/a/blobs/uploads/", Some("repository:a:pull,push")),
        ("POST", &*format!("/v2/a/blobs/uploads/?mount={digest}&from=b%2Fc"), Some("repository:a:pull,push repository:b/c:pull")),
        ("POST", &*format!("/v2/a/blobs/uploads/?mount={digest}&from=B"), Some("repository:a:pull,push")),
        ("GET", "/v2/a/blobs/uploads/x", Some("repository:a:pull")),
        ("PATCH", "/v2/a/blobs/uploads/x", Some("repository:a:pull,push")),
        ("PUT", "/v2/a/blobs/uploads/x", Some("repository:a:pull,push")),
        ("DELETE", "/v2/a/blobs/uploads/x", Some("repository:a:delete")),
        ("GET", "/v2/a/tags/list", Some("repository:a:pull")),
        ("GET", &*format!("/v2/a/referrers/{digest}"), Some("repository:a:pull")),
        ("GET", "/v2/_catalog", Some("registry:catalog:*")),
    ] {
        let answer = client.request(method, path).send().await.is(401);
        let expected = scope.map_or_else(|| bare.clone(), |scope| format!("{bare},scope=\"{scope}\""));
        assert_eq!(answer.header("www-authenticate"), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn the_body_of_a_401_lists_what_was_needed() {
    let registry = Setup::tokens().start().await;
    let answer = registry.client().post("/v2/a/b/blobs/uploads/").send().await.refuses(401, "UNAUTHORIZED");
    let access = |action: &str| serde_json::json!({"Type": "repository", "Class": "", "Name": "a/b", "Action": action});
    assert_eq!(answer.json()["errors"][0]["detail"], serde_json::json!([access("pull"), access("push")]));
}

#[tokio::test]
async fn a_password_sent_unasked_is_taken_where_tokens_are() {
    let registry = Setup::tokens().start().await;
    let image = registry.alice().push_image("a", "1", "one").await;
    registry.alice().pull_image("a", "1", &image).await;
    registry.client().basic(("alice", "wrong")).get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_changed_password_file_counts_at_once_after_a_reload() {
    let registry = Setup::basic().start().await;
    registry.alice().get("/v2/").send().await.is(200);
    registry.write_users(&[("alice", "new"), ("carol", "c")]);
    registry.reload().await;
    registry.alice().get("/v2/").send().await.is(401);
    registry.client().basic(BOB).get("/v2/").send().await.is(401);
    for user in [("alice", "new"), ("carol", "c")] {
        registry.client().basic(user).get("/v2/").send().await.is(200);
    }
}

#[tokio::test]
async fn a_changed_password_file_is_noticed_without_being_told() {
    let registry = Setup::basic().start().await;
    registry.alice().get("/v2/").send().await.is(200);
    registry.write_users(&[("alice", "new")]);
    // It is looked at once a second at most.
    eventually(async || registry.alice().get("/v2/").send().await.status == 401).await;
    registry.client().basic(("alice", "new")).get("/v2/").send().await.is(200);
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_password_file_stops_the_start() {
    let mut registry = Setup::basic().start().await;
    registry.stop().await;
    std::fs::remove_file(registry.path().join("htpasswd")).unwrap();
    std::fs::create_dir(registry.path().join("htpasswd")).unwrap();
    let refusal = registry.refusal_of_a_second().await;
    assert!(refusal.contains("is a directory where auth.htpasswd.path must name a file"), "{refusal}");
}

#[tokio::test]
async fn a_missing_password_file_is_made() {
    let mut registry = Setup::basic().start().await;
    registry.stop().await;
    std::fs::remove_file(registry.path().join("htpasswd")).unwrap();
    registry.start_again().await;
    let made = std::fs::read_to_string(registry.path().join("htpasswd")).unwrap();
    assert!(made.starts_with("docker:$2y$"), "{made}");
    registry.client().get("/v2/").send().await.is(401);
}
