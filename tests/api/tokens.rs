//! The token realm in the box, as clients use it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{ALICE, Answer, BOB, Setup, encode, sha256};

/// The claims of a token, unverified.
fn claims(answer: &Answer) -> Value {
    let body = answer.json();
    assert_eq!(body["token"], body["access_token"]);
    part(body["token"].as_str().unwrap(), 1)
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn an_answer_of_the_realm_has_all_that_clients_read() {
    let registry = Setup::tokens().start().await;
    let answer = registry.alice().token(&["repository:a/b:pull,push"]).await.is(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert!(body["expires_in"].as_u64().unwrap() >= 60 && body["issued_at"].as_str().unwrap().ends_with('Z'), "{body}");
    assert!(body.get("refresh_token").is_none());
    let claims = claims(&answer);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("the-issuer"), &json!("alice")));
    assert!(claims["aud"] == "the-service" || claims["aud"] == json!(["the-service"]), "{claims}");
    assert_eq!(claims["access"], json!([{"type": "repository", "name": "a/b", "actions": ["pull", "push"]}]));
    assert!(claims["exp"].as_u64() > claims["iat"].as_u64() && claims["nbf"].is_u64() && claims["jti"].is_string(), "{claims}");
    let header = part(body["token"].as_str().unwrap(), 0);
    assert_eq!(header["alg"], "ES256");
    let keys = registry.client().get("/auth/jwks.json").send().await.is(200).json();
    assert_eq!(keys["keys"][0]["kid"], header["kid"]);
    assert!(keys["keys"][0].get("d").is_none(), "{keys}");
}

#[tokio::test]
async fn scopes_are_taken_in_every_form_that_clients_write() {
    let registry = Setup::tokens().start().await;
    let alice = registry.alice();
    let access = |name: &str, actions: &[&str]| json!({"type": "repository", "name": name, "actions": actions});
    for (scopes, expected) in [
        (&["repository:a:push,pull"][..], json!([access("a", &["pull", "push"])])),
        (&["repository:a:pull", "repository:b:pull"], json!([access("a", &["pull"]), access("b", &["pull"])])),
        (&["repository:a:pull repository:b:pull"], json!([access("a", &["pull"]), access("b", &["pull"])])),
        (&["repository:a:pull", "repository:a:pull,push", "repository:a:pull"], json!([access("a", &["pull", "push"])])),
        (&["registry:catalog:*"], json!([{"type": "registry", "name": "catalog", "actions": ["*"]}])),
        (&["repository:a:fly", "planet:mars:pull", "nonsense", "repository:BAD:pull", "::", "repository:a:"], json!([])),
        (&["", " "], json!([])),
        (&[], json!([])),
    ] {
        assert_eq!(claims(&alice.token(scopes).await.is(200))["access"], expected, "{scopes:?}");
    }
    let star = claims(&alice.token(&["repository:a:*"]).await.is(200));
    let actions: Vec<_> = star["access"][0]["actions"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(["pull", "push", "delete"].iter().all(|action| actions.contains(action)) || actions == ["*"], "{actions:?}");
}

#[tokio::test]
async fn nobody_gets_an_empty_token_and_a_wrong_password_gets_none() {
    let registry = Setup::tokens().start().await;
    for client in [registry.client(), registry.client().basic(("", ""))] {
        let answer = client.token(&["repository:a:pull"]).await.is(200);
        assert_eq!(claims(&answer)["access"], json!([]));
        let bearer = registry.client().bearer(answer.json()["token"].as_str().unwrap());
        let refused = bearer.get("/v2/a/tags/list").send().await.refuses(401, "UNAUTHORIZED");
        assert!(refused.header("www-authenticate").ends_with(",scope=\"repository:a:pull\",error=\"insufficient_scope\""), "{refused:?}");
    }
    for credentials in [("alice", "wrong"), ("nobody", "x")] {
        registry.client().basic(credentials).token(&[]).await.refuses(401, "UNAUTHORIZED");
        let form = [("grant_type", "password"), ("username", credentials.0), ("password", credentials.1)];
        registry.client().post_form(&form).await.refuses(401, "UNAUTHORIZED");
    }
    registry.client().authorization("Bearer x").token(&[]).await.refuses(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_realm_reads_a_password_as_every_other_route_does() {
    let registry = Setup::tokens().start().await;
    registry.write_users(&[("zoë", "paßwort")]);
    registry.reload().await;
    let encoded = base64::engine::general_purpose::STANDARD.encode("zoë:paßwort");
    let unpadded = encoded.trim_end_matches('=');
    for value in
        [format!("Basic {encoded}"), format!("basic  {unpadded}"), format!("Basic {}", encoded.replace('/', "_").replace('+', "-"))]
    {
        for path in ["/v2/", "/auth/token"] {
            registry.client().authorization(&value).get(path).send().await.is(200);
        }
    }
    for value in ["Basic", "Basic !", "Bearer x", "Digest x"] {
        registry.client().authorization(value).get("/auth/token").send().await.refuses(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_token_opens_what_it_names_and_nothing_else() {
    let registry = Setup::tokens().start().await;
    let image = registry.alice().push_image("a", "1", "one").await;
    registry.alice().push_image("ab", "1", "one").await;
    let pull = registry.client().login(ALICE, &["repository:a:pull"]).await;
    pull.pull_image("a", "1", &image).await;
    pull.get("/v2/").send().await.is(200);
    for (method, path) in [
        ("GET", "/v2/ab/manifests/1"),
        ("GET", "/v2/a/b/tags/list"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("PUT", "/v2/a/manifests/2"),
        ("DELETE", "/v2/a/manifests/1"),
        ("GET", "/v2/_catalog"),
    ] {
        let answer = pull.request(method, path).send().await.refuses(401, "UNAUTHORIZED");
        assert!(answer.header("www-authenticate").ends_with("error=\"insufficient_scope\""), "{answer:?}");
    }
    let push = registry.client().login(ALICE, &["repository:a:push"]).await;
    push.post("/v2/a/blobs/uploads/").send().await.is(401);
    registry.client().login(ALICE, &["repository:a:delete"]).await.delete("/v2/a/manifests/1").send().await.is(202);
    registry.client().login(ALICE, &["registry:catalog:*"]).await.get("/v2/_catalog").send().await.is(200);
}

#[tokio::test]
async fn a_mount_needs_the_right_to_pull_from_the_source() {
    let registry = Setup::tokens().start().await;
    let digest = registry.alice().push_blob("secret", "content").await;
    let scopes = ["repository:mine:pull,push", "repository:secret:pull"];
    let without = registry.client().login(ALICE, &scopes[..1]).await;
    for query in [format!("mount={digest}&from=secret"), format!("mount={digest}")] {
        without.post(&format!("/v2/mine/blobs/uploads/?{query}")).send().await.is(202);
    }
    let with = registry.client().login(ALICE, &scopes).await;
    for query in [format!("mount={digest}&from=secret"), format!("mount={digest}")] {
        with.post(&format!("/v2/mine/blobs/uploads/?{query}")).send().await.is(201);
    }
}

#[tokio::test]
async fn the_realm_takes_oauth2_forms() {
    let registry = Setup::tokens().start().await;
    let client = registry.client();
    let password = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1), ("service", "the-service")];
    let answer = client.post_form(&[&password[..], &[("scope", "repository:a:pull repository:b:push,pull")]].concat()).await.is(200);
    assert_eq!(answer.json()["scope"], "repository:a:pull repository:b:pull,push");
    assert!(answer.json().get("refresh_token").is_none());
    let answer = client.post_form(&[&password[..], &[("access_type", "offline"), ("client_id", "x")]].concat()).await.is(200);
    let refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let form = [("grant_type", "refresh_token"), ("refresh_token", &*refresh), ("scope", "repository:a:pull")];
    let again = client.post_form(&form).await.is(200);
    assert_eq!((&claims(&again)["sub"], again.json()["refresh_token"].is_string()), (&json!("alice"), true));
    for form in [&[("grant_type", "authorization_code")][..], &[], &[("grant_type", "")]] {
        client.post_form(form).await.is(400);
    }
    for token in ["", "x", &refresh[1..], &format!("{refresh}x"), again.json()["token"].as_str().unwrap()] {
        client.post_form(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await.refuses(401, "UNAUTHORIZED");
    }
    client.bearer(&refresh).get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_refresh_token_dies_with_the_password_and_with_the_user() {
    let registry = Setup::tokens().start().await;
    let refresh_of = async |user| {
        let answer = registry.client().basic(user).get("/auth/token?offline_token=true").send().await.is(200);
        answer.json()["refresh_token"].as_str().unwrap().to_owned()
    };
    let (alice, bob) = (refresh_of(ALICE).await, refresh_of(BOB).await);
    let refreshed = async |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        registry.client().post_form(&form).await.status
    };
    assert_eq!((refreshed(&alice).await, refreshed(&bob).await), (200, 200));
    registry.write_users(&[("alice", "another")]);
    registry.reload().await;
    assert_eq!((refreshed(&alice).await, refreshed(&bob).await), (401, 401));
    // The same password, hashed anew, is another entry.
    registry.write_users(&[ALICE, BOB]);
    registry.reload().await;
    assert_eq!((refreshed(&alice).await, refreshed(&bob).await), (401, 401));
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_refused_and_says_so() {
    let registry = Setup::tokens().start().await;
    let other = Setup::tokens().start().await;
    let foreign = other.alice().token(&["repository:a:pull"]).await.json()["token"].as_str().unwrap().to_owned();
    let own = registry.alice().token(&["repository:a:pull"]).await.json()["token"].as_str().unwrap().to_owned();
    let (head, signature) = own.rsplit_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let body = head.split_once('.').unwrap().1;
    let flipped = format!("{head}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    for token in [&*foreign, &flipped, &format!("{none}.{body}."), &format!("{none}.{body}.{signature}"), "x.y.z", &"A".repeat(7000)] {
        for path in ["/v2/", "/v2/a/tags/list"] {
            let answer = registry.client().bearer(token).get(path).send().await.refuses(401, "UNAUTHORIZED");
            assert!(answer.header("www-authenticate").ends_with("error=\"invalid_token\""), "{answer:?}");
        }
    }
    registry.client().bearer(&own).get("/v2/").send().await.is(200);
}

#[tokio::test]
async fn the_docker_engine_logs_in_and_pushes() {
    let registry = Setup::tokens().start().await;
    registry.client().get("/v2/").send().await.is(401);
    let query = "account=alice&client_id=docker&offline_token=true&service=the-service";
    let login = registry.alice().get(&format!("/auth/token?{query}")).send().await.is(200).json();
    registry.client().bearer(login["token"].as_str().unwrap()).get("/v2/").send().await.is(200);
    let refresh = login["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "docker"), ("service", "the-service")];
    let token = registry.client().post_form(&[&form[..], &[("scope", "repository:a:push,pull")]].concat()).await.is(200).json();
    let client = registry.client().bearer(token["access_token"].as_str().unwrap());
    let image = client.push_image("a", "1", "one").await.in_schema_2();
    client.push_manifest("a", "2", image.media_type, image.manifest.clone()).await.is(201);
    client.head("/v2/a/manifests/2").send().await.is(200);
    let scopes = ["repository:b:push,pull", "repository:a:pull"];
    let mount = registry.client().login(ALICE, &scopes).await;
    let query = format!("from=a&mount={}", sha256(&image.layer));
    mount.post(&format!("/v2/b/blobs/uploads/?{query}")).send().await.is(201);
}

#[tokio::test]
async fn containerd_reads_the_challenge_of_the_request_it_makes() {
    let registry = Setup::tokens().start().await;
    let image = registry.alice().push_image("a", "1", "one").await;
    let challenge = registry.client().head("/v2/a/manifests/1").send().await.is(401);
    assert!(challenge.header("www-authenticate").contains("scope=\"repository:a:pull\""));
    let form = [
        ("grant_type", "password"),
        ("client_id", "containerd-client"),
        ("username", ALICE.0),
        ("password", ALICE.1),
        ("scope", "repository:a:pull repository:a:pull,push"),
    ];
    let token = registry.client().post_form(&form).await.is(200).json();
    let client = registry.client().bearer(token["access_token"].as_str().unwrap());
    let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, */*";
    assert_eq!(client.head("/v2/a/manifests/1").header("accept", accept).send().await.is(200).digest(), image.digest);
    client.pull_image("a", &image.digest, &image).await;
}

#[tokio::test]
async fn skopeo_asks_for_its_own_scopes_and_a_star_to_delete() {
    let registry = Setup::tokens().start().await;
    let image = registry.alice().push_image("a", "1", "one").await;
    for (scope, method, status) in [("pull", "GET", 200), ("pull,push", "GET", 200), ("*", "DELETE", 202)] {
        let scope = encode(&format!("repository:a:{scope}"));
        let token = registry.alice().get(&format!("/auth/token?account=alice&scope={scope}&service=the-service")).send().await.is(200);
        let client = registry.client().bearer(token.json()["token"].as_str().unwrap());
        client.request(method, &format!("/v2/a/manifests/{}", image.digest)).send().await.is(status);
    }
}
