//! What the metrics say, and to whom.

use serde_json::json;

use crate::harness::{ALICE, BOB, Client, OCI_INDEX, Setup, eventually, pipe};

/// The value of a series; `None` where it is not there.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

async fn scrape(client: &Client) -> String {
    let answer = client.get("/metrics").send().await.is(200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn with_debug(setup: Setup) -> Setup {
    setup.set("http.debug", json!({"addr": "127.0.0.1:0", "prometheus": {"enabled": true}}))
}

#[tokio::test]
async fn a_push_and_a_pull_are_counted_under_the_names_of_registry_2() {
    let registry = with_debug(Setup::open()).start().await;
    let (client, debug) = (registry.client(), registry.debug_client());
    let image = client.push_image("a/b", "1", "one").await;
    client.pull_image("a/b", "1", &image).await;
    client.pull_image("a/b", "1", &image).await;
    client.get("/v2/a/b/manifests/none").send().await.is(404);
    client.catalog().await;
    let ends = "breakwater_certificate_expiry_timestamp_seconds";
    eventually(async || value(&scrape(&debug).await, ends).is_some_and(|ends| ends > 0.0)).await;
    let text = scrape(&debug).await;
    for (series, least) in [
        ("registry_http_requests_total{code=\"201\",handler=\"manifest\",method=\"put\"}", 1.0),
        ("registry_http_requests_total{code=\"404\",handler=\"manifest\",method=\"get\"}", 1.0),
        ("registry_http_requests_total{code=\"200\",handler=\"catalog\",method=\"get\"}", 1.0),
        ("registry_http_requests_total{code=\"202\",handler=\"blob_upload\",method=\"post\"}", 2.0),
        ("registry_http_requests_total{code=\"201\",handler=\"blob_upload_chunk\",method=\"put\"}", 2.0),
        ("registry_http_request_duration_seconds_count{handler=\"blob\",method=\"get\"}", 2.0),
        ("registry_http_request_size_bytes_sum{handler=\"blob_upload_chunk\"}", image.layer.len() as f64),
        ("registry_http_response_size_bytes_sum{handler=\"blob\"}", image.layer.len() as f64),
        ("registry_http_response_size_bytes_sum{handler=\"manifest\"}", image.manifest.len() as f64),
        ("registry_storage_action_seconds_count{action=\"PutContent\",driver=\"filesystem\"}", 1.0),
        ("registry_storage_action_seconds_count{action=\"Move\",driver=\"filesystem\"}", 2.0),
        ("breakwater_network_bytes_total{direction=\"received\"}", image.layer.len() as f64),
        ("breakwater_network_bytes_total{direction=\"sent\"}", image.layer.len() as f64),
        ("registry_storage_cache_total{type=\"Hit\"}", 1.0),
        ("registry_storage_cache_requests_total", 2.0),
        ("breakwater_connections_open", 1.0),
        ("breakwater_storage_free_bytes", 1.0),
        ("process_open_fds", 1.0),
    ] {
        assert!(value(&text, series).is_some_and(|found| found >= least), "{series}\n{text}");
    }
    assert_eq!(value(&text, "registry_http_in_flight_requests{handler=\"blob\"}"), Some(0.0));
    assert!(!text.contains("a/b"), "a repository is no label");
}

#[tokio::test]
async fn a_download_is_counted_by_what_was_sent_even_if_its_client_goes_away() {
    let registry = with_debug(Setup::open().plain()).start().await;
    let (client, debug) = (registry.client(), registry.debug_client());
    let digest = client.push_blob("a", vec![7; 32 << 20]).await;
    {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(registry.address).await.unwrap();
        stream.write_all(format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 1024]).await.unwrap();
        let text = scrape(&debug).await;
        assert_eq!(value(&text, "registry_http_in_flight_requests{handler=\"blob\"}"), Some(1.0), "{text}");
    }
    let sum = "registry_http_response_size_bytes_sum{handler=\"blob\"}";
    eventually(async || value(&scrape(&debug).await, "registry_http_in_flight_requests{handler=\"blob\"}") == Some(0.0)).await;
    let sent = value(&scrape(&debug).await, sum).unwrap();
    assert!(sent > 0.0 && sent < f64::from(16 << 20), "{sent}");
}

#[tokio::test]
async fn logins_tokens_and_limits_are_counted() {
    let limits = json!({"exempt": [], "writes": {"rate": "1/h", "burst": 1}, "manifestsize": "1KiB"});
    let registry = with_debug(Setup::tokens().set("limits", limits)).start().await;
    let debug = registry.debug_client();
    let client = registry.client().login(ALICE, &["repository:a:pull,push"]).await;
    registry.client().basic(("alice", "wrong")).token(&[]).await.is(401);
    client.push_manifest("a", "1", OCI_INDEX, vec![b' '; 2000]).await.is(413);
    client.push_manifest("a", "1", OCI_INDEX, "{}").await.is(429);
    let text = scrape(&debug).await;
    for series in [
        "breakwater_logins_total{outcome=\"allowed\"}",
        "breakwater_logins_total{outcome=\"refused\"}",
        "breakwater_tokens_issued_total{grant=\"password\"}",
        "breakwater_limited_total{limit=\"writes\"}",
        "breakwater_limited_total{limit=\"manifestsize\"}",
    ] {
        assert_eq!(value(&text, series), Some(1.0), "{series}\n{text}");
    }
}

#[tokio::test]
async fn connections_and_bodies_that_are_cut_off_are_counted() {
    let limits = json!({"exempt": [], "connections": {"peraddress": 2}, "timeouts": {"handshake": "1s", "stall": "1s"}});
    let registry = with_debug(Setup::open().set("limits", limits)).start().await;
    let (client, debug) = (registry.client(), registry.debug_client());
    let location = client.begin("a").await;
    let (_sender, body) = pipe();
    client.patch(&location).body(body).send().await.refuses(400, "SIZE_INVALID");
    let counted = async |limit: &str| value(&scrape(&debug).await, &format!("breakwater_limited_total{{limit=\"{limit}\"}}"));
    assert_eq!(counted("slow_body").await, Some(1.0));
    let silent = tokio::net::TcpStream::connect(registry.address).await.unwrap();
    eventually(async || counted("handshake").await == Some(1.0)).await;
    drop(silent);
    let crowd: Vec<_> = futures_util::future::join_all((0..3).map(|_| tokio::net::TcpStream::connect(registry.address))).await;
    eventually(async || counted("connections").await.is_some_and(|count| count > 0.0)).await;
    drop(crowd);
}

#[tokio::test]
async fn without_a_word_in_the_configuration_there_are_no_metrics_beside_the_api() {
    let registry = Setup::basic().start().await;
    registry.client().get("/metrics").send().await.refuses(404, "UNSUPPORTED");
    registry.alice().get("/metrics").send().await.refuses(404, "UNSUPPORTED");
}

#[tokio::test]
async fn metrics_are_for_the_networks_that_are_named() {
    let inside = Setup::basic().set("metrics", json!({"from": ["127.0.0.0/8"], "path": "/m"})).start().await;
    inside.client().get("/m").send().await.is(200);
    inside.client().get("/metrics").send().await.is(404);
    let outside = Setup::basic().set("metrics", json!({"from": ["192.0.2.0/24"]})).start().await;
    outside.alice().get("/metrics").send().await.refuses(404, "UNSUPPORTED");
}

#[tokio::test]
async fn metrics_are_for_the_users_that_are_named_whatever_the_api_asks_for() {
    for setup in [Setup::basic(), Setup::tokens()] {
        let registry = setup.set("metrics", json!({"users": ["alice"]})).start().await;
        for client in [registry.client(), registry.client().basic(("alice", "wrong")), registry.client().bearer("x.y.z")] {
            let answer = client.get("/metrics").send().await.refuses(401, "UNAUTHORIZED");
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"metrics\"");
        }
        registry.client().basic(BOB).get("/metrics").send().await.refuses(403, "DENIED");
        scrape(&registry.alice()).await;
    }
}
