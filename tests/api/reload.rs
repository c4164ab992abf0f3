//! What a running registry takes up of a changed configuration, and what it refuses.

use breakwater::server::{Reply, Request, ask};
use serde_json::json;

use crate::harness::{ALICE, OCI_MANIFEST, Running, Setup, eventually};

/// As `breakwater reload` asks.
async fn ask_to_reload(registry: &Running) -> Reply {
    let state = registry.path().join("data/breakwater");
    breakwater::blocking::run(move || ask(&state, Request::Reload)).await.unwrap()
}

fn with_metrics(setup: Setup) -> Setup {
    setup.set("http.debug", json!({"addr": "127.0.0.1:0", "prometheus": {"enabled": true}}))
}

async fn shows(registry: &Running, line: &str) -> bool {
    let answer = registry.debug_client().get("/metrics").send().await.is(200);
    String::from_utf8(answer.body.to_vec()).unwrap().lines().any(|found| found == line)
}

#[tokio::test]
async fn limits_headers_and_what_may_be_deleted_change_without_a_restart() {
    let mut registry = with_metrics(Setup::basic().set("limits", json!({"exempt": []}))).start().await;
    let alice = registry.alice();
    let image = alice.push_image("a", "1", "one").await;
    registry.configure("http.headers", json!({"X-Cluster": ["blue"]}));
    registry.configure("storage.delete.enabled", false);
    registry.configure("limits.manifestsize", "1KiB");
    registry.configure("limits.reads", json!({"rate": "1/h", "burst": 2}));
    assert_eq!(ask_to_reload(&registry).await, Reply::Done(None));
    alice.push_manifest("a", "2", OCI_MANIFEST, vec![b' '; 2000]).await.refuses(413, "MANIFEST_INVALID");
    alice.delete("/v2/a/manifests/1").send().await.refuses(405, "UNSUPPORTED");
    let answer = alice.get("/v2/a/manifests/1").send().await.is(200);
    assert_eq!((answer.digest(), answer.header("x-cluster")), (image.digest.as_str(), "blue"));
    alice.get("/v2/").send().await.is(200);
    alice.get("/v2/").send().await.refuses(429, "TOOMANYREQUESTS");
    // What was counted stays counted, unless the limits are others.
    registry.configure("http.headers", json!({"X-Cluster": ["green"]}));
    assert_eq!(ask_to_reload(&registry).await, Reply::Done(None));
    alice.get("/v2/").send().await.refuses(429, "TOOMANYREQUESTS");
    registry.configure("limits.reads", json!({"rate": "1000/s", "burst": 2000}));
    assert_eq!(ask_to_reload(&registry).await, Reply::Done(None));
    alice.get("/v2/").send().await.is(200);
    assert!(shows(&registry, "breakwater_config_last_reload_successful 1").await);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_taken_up() {
    let mut registry = Setup::basic().start().await;
    registry.configure("http.addr", "127.0.0.1:1");
    registry.configure("http.headers", json!({"X-Cluster": ["blue"]}));
    assert_eq!(ask_to_reload(&registry).await, Reply::Done(Some("a restart is needed for http.addr".to_owned())));
    assert_eq!(registry.alice().get("/v2/").send().await.is(200).header("x-cluster"), "blue");
    assert_eq!(ask_to_reload(&registry).await, Reply::Done(Some("a restart is needed for http.addr".to_owned())), "it still is");
    registry.configure("http.addr", "127.0.0.1:0");
    assert_eq!(ask_to_reload(&registry).await, Reply::Done(None));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_refused_whole() {
    let mut registry = with_metrics(Setup::basic()).start().await;
    let before = registry.setup.clone();
    registry.configure("http.headers", json!({"X-Cluster": ["blue"]}));
    registry.configure("limits.manifestsize", "many");
    let Reply::Failed(why) = ask_to_reload(&registry).await else { panic!("taken up") };
    assert!(why.contains("limits.manifestsize") && why.contains("is not a size"), "{why}");
    assert_eq!(registry.alice().get("/v2/").send().await.is(200).header("x-cluster"), "");
    assert!(shows(&registry, "breakwater_config_last_reload_successful 0").await);
    assert!(registry.try_reload().await.is_err());
    // The old text again, which nobody asks to be read.
    registry.setup = before.clone();
    registry.configure("version", "0.1");
    eventually(async || shows(&registry, "breakwater_config_last_reload_successful 1").await).await;
    registry.configure("limits.manifestsize", "many");
    assert!(registry.try_reload().await.is_err());
    registry.setup = before;
    registry.configure("http.headers", json!({"X-Cluster": ["green"]}));
    assert_eq!(registry.try_reload().await, Ok(()));
    assert_eq!(registry.alice().get("/v2/").send().await.is(200).header("x-cluster"), "green");
    assert!(shows(&registry, "breakwater_config_last_reload_successful 1").await);
}

#[tokio::test]
async fn a_bad_password_file_or_certificate_fails_the_reload_and_the_old_one_stays() {
    let registry = Setup::basic().start().await;
    registry.replace("tls.crt", "nothing");
    let Reply::Failed(why) = ask_to_reload(&registry).await else { panic!("taken up") };
    assert!(why.contains("tls.crt"), "{why}");
    registry.client().basic(ALICE).get("/v2/").send().await.is(200);
    registry.certificate.issue(registry.path());
    registry.replace("htpasswd", "a line without a colon\n");
    let Reply::Failed(why) = ask_to_reload(&registry).await else { panic!("taken up") };
    assert!(why.contains("htpasswd"), "{why}");
    registry.write_users(&[ALICE]);
    assert_eq!(ask_to_reload(&registry).await, Reply::Done(None));
    registry.client().basic(ALICE).get("/v2/").send().await.is(200);
}

#[tokio::test]
async fn a_prefix_and_a_host_that_wait_for_a_restart_are_in_no_location() {
    let mut registry = Setup::basic().start().await;
    registry.configure("http.prefix", "/deep/");
    registry.configure("http.host", "https://new.example");
    let Reply::Done(Some(note)) = ask_to_reload(&registry).await else { panic!("no restart is needed") };
    assert_eq!(note, "a restart is needed for http.host, http.prefix");
    let alice = registry.alice();
    let location = alice.begin("a").await;
    assert!(location.starts_with(&format!("{}/v2/a/blobs/uploads/", alice.base)), "{location}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_fails_each_reload_until_it_can() {
    let registry = with_metrics(Setup::basic()).start().await;
    registry.replace("tls.key", "nothing");
    for _ in 0..3 {
        assert!(registry.try_reload().await.unwrap_err().contains("tls.key"));
    }
    assert!(shows(&registry, "breakwater_config_last_reload_successful 0").await);
    registry.certificate.issue(registry.path());
    assert_eq!(registry.try_reload().await, Ok(()));
}

#[tokio::test]
async fn a_certificate_that_was_bad_for_a_while_leaves_no_failure_behind() {
    let registry = with_metrics(Setup::basic()).start().await;
    registry.replace("tls.key", "nothing");
    eventually(async || shows(&registry, "breakwater_config_last_reload_successful 0").await).await;
    registry.certificate.issue(registry.path());
    eventually(async || shows(&registry, "breakwater_config_last_reload_successful 1").await).await;
}

#[tokio::test]
async fn stricter_limits_of_logins_hold_after_a_reload() {
    let mut registry = Setup::tokens().set("limits", json!({"exempt": [], "logins": {"rate": "1000/s", "burst": 1000}})).start().await;
    registry.configure("limits.logins", json!({"rate": "1/h", "burst": 1}));
    assert_eq!(registry.try_reload().await, Ok(()));
    let wrong = registry.client().basic(("bob", "wrong"));
    wrong.token(&[]).await.is(401);
    for _ in 0..3 {
        wrong.token(&[]).await.is(429);
    }
}

#[tokio::test]
async fn a_changed_file_is_taken_up_by_itself() {
    let mut registry = Setup::basic().start().await;
    registry.configure("http.headers", json!({"X-Cluster": ["blue"]}));
    let alice = registry.alice();
    eventually(async || alice.get("/v2/").send().await.is(200).header("x-cluster") == "blue").await;
}
