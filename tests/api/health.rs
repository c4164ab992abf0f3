//! What a failing health check comes to.

use serde_json::json;

use crate::harness::{Setup, eventually};

#[tokio::test]
async fn while_a_file_is_there_requests_are_refused_and_probes_say_so() {
    let check = json!({"file": [{"file": "DIR/down", "interval": "20ms"}]});
    let registry = Setup::open().set("health", check).set("http.debug", json!({"addr": "127.0.0.1:0"})).start().await;
    let (client, debug) = (registry.client(), registry.debug_client());
    let image = client.push_image("a", "1", "one").await;
    assert_eq!(debug.get("/debug/health").send().await.is(200).json(), json!({}));
    let path = registry.path().join("down");
    std::fs::write(&path, "").unwrap();
    eventually(async || client.get("/v2/").send().await.status == 503).await;
    client.get("/v2/a/%6danifests/1").send().await.refuses(503, "UNAVAILABLE");
    let refusal = client.get("/v2/a/manifests/1").send().await.refuses(503, "UNAVAILABLE").json();
    assert_eq!(refusal["errors"][0]["detail"], "health check failed: please see /debug/health");
    client.get("/readyz").send().await.refuses(503, "UNAVAILABLE");
    client.get("/healthz").send().await.is(200);
    let report = debug.get("/debug/health").send().await.is(503).json();
    assert_eq!(report, json!({(path.to_str().unwrap()): "file exists"}));
    std::fs::remove_file(&path).unwrap();
    eventually(async || client.get("/readyz").send().await.status == 200).await;
    client.pull_image("a", "1", &image).await;
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_or_answers_otherwise_fails_after_so_many_times() {
    let peer = Setup::open().plain().start().await;
    let address = peer.address;
    let checks = json!({
        "http": [{"uri": format!("http://{address}/v2/"), "interval": "20ms"}, {"uri": format!("http://{address}/no"), "statuscode": 404, "interval": "20ms"}],
        "tcp": [{"addr": address.to_string(), "interval": "20ms", "threshold": 3}],
    });
    let registry = Setup::open().set("health", checks).set("http.debug", json!({"addr": "127.0.0.1:0"})).start().await;
    let debug = registry.debug_client();
    registry.client().get("/readyz").send().await.is(200);
    drop(peer);
    eventually(async || debug.get("/debug/health").send().await.json().as_object().unwrap().len() == 3).await;
    let report = debug.get("/debug/health").send().await.is(503).json();
    assert!(report[address.to_string()].as_str().unwrap().contains("connection failed"), "{report}");
    registry.client().get("/v2/").send().await.refuses(503, "UNAVAILABLE");
}

#[tokio::test]
async fn what_a_check_is_asked_with_is_nobodys_to_see() {
    let checks = json!({"http": [{"uri": "http://u:TOPSECRET@127.0.0.1:1/x?token=TOPSECRET", "interval": "20ms"}]});
    let registry = Setup::open().set("health", checks).set("http.debug", json!({"addr": "127.0.0.1:0"})).start().await;
    let debug = registry.debug_client();
    eventually(async || debug.get("/debug/health").send().await.status == 503).await;
    let report = debug.get("/debug/health").send().await.json();
    assert!(!report.to_string().contains("TOPSECRET"), "{report}");
    assert!(report["http://127.0.0.1:1/x"].as_str().is_some_and(|text| text.contains("error while checking")), "{report}");
}

#[tokio::test]
async fn a_registry_is_taken_out_of_service_by_hand() {
    let registry = Setup::open().set("http.debug", json!({"addr": "127.0.0.1:0"})).start().await;
    let debug = registry.debug_client();
    debug.post("/debug/health/down").send().await.is(200);
    assert_eq!(debug.get("/debug/health").send().await.is(503).json(), json!({"manual_http_status": "manual check"}));
    registry.client().get("/v2/").send().await.is(503);
    debug.post("/debug/health/up").send().await.is(200);
    registry.client().get("/v2/").send().await.is(200);
    debug.get("/debug/health/down").send().await.is(404);
    for path in ["/debug/pprof/heap", "/debug/vars", "/metrics", "/v2/"] {
        debug.get(path).send().await.is(404);
    }
}
