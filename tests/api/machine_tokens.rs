//! Machine tokens and signing keys, changed beside a server that runs.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use breakwater::auth::{MachineTokenFile, TokenPurpose};
use breakwater::server::{Reply, Request};

use crate::harness::{ALICE, Running, Setup, eventually};

fn state(registry: &Running) -> PathBuf {
    registry.path().join("data/breakwater")
}

/// As the commands do: changes the file, and tells the server.
async fn change(registry: &Running, change: impl FnOnce(&mut MachineTokenFile) -> Option<String> + Send + 'static) -> Option<String> {
    let state = state(registry);
    breakwater::blocking::run(move || {
        let changed = change(&mut MachineTokenFile::open(&state).unwrap());
        assert_eq!(breakwater::server::ask(&state, Request::Tokens).unwrap(), Reply::Done(None));
        changed
    })
    .await
}

async fn create(registry: &Running, action: &str) -> String {
    let purpose = TokenPurpose::new("ci", vec!["team/**".into()], &[action.to_owned()], None).unwrap();
    change(registry, |file| file.create(purpose, 1).unwrap().map(|secret| secret.to_string())).await.unwrap()
}

#[tokio::test]
async fn a_machine_token_is_a_password_until_it_is_revoked() {
    for setup in [Setup::basic(), Setup::tokens()] {
        let is_realm = setup.config["tokenservice"].is_object();
        let registry = setup.start().await;
        let secret = create(&registry, "push").await;
        let robot = registry.client().basic(("robot$ci", &secret));
        robot.get("/v2/").send().await.is(200);
        let image = robot.push_image("team/app", "1", "one").await;
        robot.pull_image("team/app", "1", &image).await;
        robot.post("/v2/other/blobs/uploads/").send().await.refuses(404, "NAME_UNKNOWN");
        robot.delete("/v2/team/app/manifests/1").send().await.refuses(403, "DENIED");
        let mut clients = vec![robot];
        if is_realm {
            clients.push(registry.client().login(("robot$ci", &secret), &["repository:team/app:pull,push,delete"]).await);
            clients[1].push_image("team/app", "2", "two").await;
            clients[1].delete("/v2/team/app/manifests/1").send().await.refuses(401, "UNAUTHORIZED");
        }
        let last_use = |file: &mut MachineTokenFile| file.last_use(file.get("ci").unwrap()).map(|last| last.to_string());
        // Told to, the server writes the last use down.
        change(&registry, |_| None).await;
        assert!(change(&registry, last_use).await.is_some());
        change(&registry, |file| file.revoke("ci").unwrap().then(String::new)).await.unwrap();
        for client in clients {
            client.get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
            client.get("/v2/team/app/tags/list").send().await.refuses(401, "UNAUTHORIZED");
        }
        registry.alice().get("/v2/").send().await.is(200);
    }
}

#[tokio::test]
async fn a_token_is_revoked_at_once_even_where_last_uses_cannot_be_written_down() {
    let registry = Setup::tokens().start().await;
    let secret = create(&registry, "push").await;
    let robot = registry.client().basic(("robot$ci", &secret));
    std::fs::create_dir_all(state(&registry).join("machine-tokens.used.json/in-the-way")).unwrap();
    robot.get("/v2/").send().await.is(200);
    let state = state(&registry);
    breakwater::blocking::run(move || {
        MachineTokenFile::open(&state).unwrap().revoke("ci").unwrap();
        // Whatever it answers, it has looked.
        breakwater::server::ask(&state, Request::Tokens).unwrap();
    })
    .await;
    robot.get("/v2/").send().await.is(401);
}

#[tokio::test]
async fn a_server_that_is_not_told_notices_a_token_by_itself() {
    let registry = Setup::basic().start().await;
    let purpose = TokenPurpose::new("ci", vec!["**".into()], &["pull".into()], None).unwrap();
    let secret = MachineTokenFile::open(&state(&registry)).unwrap().create(purpose, 1).unwrap().unwrap();
    eventually(async || registry.client().basic(("robot$ci", &secret)).get("/v2/").send().await.status == 200).await;
}

#[tokio::test]
async fn a_rotated_key_interrupts_nobody() {
    let registry = Setup::tokens().start().await;
    let alice = registry.client().basic(ALICE);
    let login = alice.get("/auth/token?offline_token=true&scope=repository:a:pull,push").send().await.is(200).json();
    let bearer = registry.client().bearer(login["token"].as_str().unwrap());
    bearer.push_image("a", "1", "one").await;
    let keys = async || registry.client().get("/auth/jwks.json").send().await.is(200).json()["keys"].as_array().unwrap().clone();
    let before = keys().await;
    let path = state(&registry).join("token.pem");
    breakwater::auth::rotate(&path, Duration::from_secs(600), SystemTime::now()).unwrap();
    eventually(async || keys().await.len() == 2).await;
    let after = keys().await;
    assert_eq!((&after[1]["kid"], after.len()), (&before[0]["kid"], 2));
    bearer.push_image("a", "2", "two").await;
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", login["refresh_token"].as_str().unwrap()), ("scope", "repository:a:pull")];
    let renewed = registry.client().post_form(&form).await.is(200).json();
    registry.client().bearer(renewed["token"].as_str().unwrap()).get("/v2/a/tags/list").send().await.is(200);
    // Retired at once, the old key verifies nothing any more.
    breakwater::auth::rotate(&path, Duration::ZERO, SystemTime::now()).unwrap();
    eventually(async || keys().await.len() == 1).await;
    bearer.get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
}
