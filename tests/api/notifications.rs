//! What endpoints are told: of what, in which form, and what becomes of it when they do not listen.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{ALICE, Client, OCI_INDEX, Received, Receiver, Running, Setup, eventually, image_of, index_of, sha256};

fn with(setup: Setup, endpoint: Value) -> Setup {
    let setup = setup.set("notifications", json!({"endpoints": [endpoint]}));
    setup.set("http.debug", json!({"addr": "127.0.0.1:0", "prometheus": {"enabled": true}}))
}

async fn telling(receiver: &Receiver) -> Running {
    with(Setup::open(), json!({"name": "one", "url": receiver.url()})).start().await
}

async fn shows(registry: &Running, line: &str) -> bool {
    let answer = registry.debug_client().get("/metrics").send().await.is(200);
    String::from_utf8(answer.body.to_vec()).unwrap().lines().any(|found| found == line)
}

/// Action, repository, tag and digest of each.
fn told(received: &[Received]) -> Vec<String> {
    let text = |event: &Value, name: &str| event["target"][name].as_str().unwrap_or("-").to_owned();
    let line = |event: Value| {
        let [repository, tag, digest] = ["repository", "tag", "digest"].map(|name| text(&event, name));
        format!("{} {repository} {tag} {digest}", event["action"].as_str().unwrap())
    };
    received.iter().map(|one| line(one.event())).collect()
}

#[tokio::test]
async fn each_thing_that_is_done_is_told_once_and_in_order() {
    let receiver = Receiver::start().await;
    let registry = telling(&receiver).await;
    let client = registry.client();
    let image = client.push_image("a/b", "v1", "one").await;
    let (config, layer) = (sha256(&image.config), sha256(&image.layer));
    client.post(&format!("/v2/c/blobs/uploads/?mount={layer}&from=a/b")).send().await.is(201);
    client.post(&format!("/v2/c/blobs/uploads/?mount={}&from=a/b", sha256(b"none"))).send().await.is(202);
    client.push_manifest("a/b", &format!("{}?tag=v2&tag=v3", image.digest), image.media_type, image.manifest.clone()).await.is(201);
    client.manifest("a/b", "v1").await.is(200);
    client.head(&format!("/v2/a/b/manifests/{}", image.digest)).send().await.is(200);
    client.get("/v2/a/b/manifests/v1").header("if-none-match", &format!("\"{}\"", image.digest)).send().await.is(304);
    client.get("/v2/a/b/manifests/none").send().await.is(404);
    client.get(&format!("/v2/a/b/blobs/{layer}")).header("range", "bytes=0-2").send().await.is(206);
    client.head(&format!("/v2/a/b/blobs/{config}")).send().await.is(200);
    client.delete("/v2/a/b/manifests/v2").send().await.is(202);
    client.delete(&format!("/v2/a/b/manifests/{}", image.digest)).send().await.is(202);
    client.delete(&format!("/v2/a/b/manifests/{}", image.digest)).send().await.is(404);
    client.delete(&format!("/v2/a/b/blobs/{layer}")).send().await.is(202);
    let received = receiver.requests(15).await;
    let digest = &image.digest;
    let expected = [
        format!("push a/b - {config}"),
        format!("push a/b - {layer}"),
        format!("push a/b v1 {digest}"),
        format!("mount c - {layer}"),
        format!("push a/b v2 {digest}"),
        format!("push a/b v3 {digest}"),
        format!("pull a/b v1 {digest}"),
        format!("pull a/b - {digest}"),
        format!("pull a/b - {layer}"),
        format!("pull a/b - {config}"),
        "delete a/b v2 ".to_owned(),
        format!("delete a/b - {digest}"),
        "delete a/b v1 ".to_owned(),
        "delete a/b v3 ".to_owned(),
        format!("delete a/b - {layer}"),
    ];
    assert_eq!(told(&received), expected);
    assert_eq!(received[3].event()["target"]["fromRepository"], "a/b");
    assert!(received.iter().all(|one| one.target == "POST /events?from=registry HTTP/1.1"), "{received:?}");
}

#[tokio::test]
async fn an_event_says_who_asked_for_what_and_where() {
    let receiver = Receiver::start().await;
    let setup = with(Setup::basic().set("http.host", "https://registry.example/"), json!({"name": "one", "url": receiver.url()}));
    let registry = setup.set("notifications.events", json!({"includereferences": true})).start().await;
    let client = registry.alice();
    // In one request each, as the location of an upload leads to the name that was configured.
    let child = image_of("child");
    for blob in [&"bytes".into(), &child.config, &child.layer] {
        let target = format!("/v2/a/b/blobs/uploads/?digest={}", sha256(blob));
        client.post(&target).header("content-type", "application/octet-stream").body(blob.clone()).send().await.is(201);
    }
    let digest = sha256(b"bytes");
    client.push_manifest("a/b", "1", child.media_type, child.manifest.clone()).await.is(201);
    let index = index_of(OCI_INDEX, &[child.descriptor()]);
    let request = client.put("/v2/a/b/manifests/2").header("content-type", OCI_INDEX).header("user-agent", "probe <1>");
    let answer = request.header("x-forwarded-for", "192.0.2.7").body(index.clone()).send().await.is(201);
    let received = receiver.requests(5).await;
    assert_eq!(received[0].header("content-type"), "application/vnd.docker.distribution.events.v2+json");
    assert!(received[0].body.starts_with(b"{\n   \"events\": [\n      {\n         \"id\": \""), "{received:?}");
    let (blob, pushed) = (received[0].event(), received[4].event());
    let url = format!("https://registry.example/v2/a/b/blobs/{digest}");
    let target =
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": 5, "length": 5, "repository": "a/b", "url": url});
    assert_eq!(blob["target"], target);
    assert_eq!((&blob["action"], &blob["actor"]), (&json!("push"), &json!({"name": ALICE.0})));
    let address: SocketAddr = blob["request"]["addr"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback(), "{blob}");
    assert_eq!(pushed["target"]["references"], json!([child.descriptor()]));
    assert_eq!(pushed["target"]["url"], format!("https://registry.example/v2/a/b/manifests/{}", sha256(&index)));
    let host = client.base.strip_prefix("https://").unwrap();
    let request =
        json!({"id": answer.header("x-request-id"), "addr": "192.0.2.7", "host": host, "method": "PUT", "useragent": "probe <1>"});
    assert_eq!(pushed["request"], request);
    assert_eq!(pushed["source"], blob["source"]);
    assert!(pushed["source"]["addr"].as_str().unwrap().ends_with(":0"), "the port is the configured one: {pushed}");
    for id in [&pushed["id"], &pushed["source"]["instanceID"]] {
        id.as_str().unwrap().parse::<Uuid>().unwrap();
    }
}

#[tokio::test]
async fn what_is_ignored_is_not_told() {
    let receiver = Receiver::start().await;
    let endpoint = json!({
        "name": "one", "url": receiver.url(), "headers": {"X-Key": ["b", "c"], "Authorization": ["Bearer t"]},
        "ignoredmediatypes": ["application/octet-stream"], "ignore": {"mediatypes": [OCI_INDEX], "actions": ["pull"]},
    });
    let other = json!({"name": "off", "url": receiver.url(), "disabled": true});
    let registry = Setup::open().set("notifications", json!({"endpoints": [endpoint, other]})).start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    client.push_manifest("a", "2", OCI_INDEX, index_of(OCI_INDEX, &[image.descriptor()])).await.is(201);
    client.pull_image("a", "1", &image).await;
    client.delete("/v2/a/manifests/1").send().await.is(202);
    let received = receiver.requests(2).await;
    assert_eq!(told(&received), [format!("push a 1 {}", image.digest), "delete a 1 ".to_owned()]);
    assert_eq!((received[0].header("x-key"), received[0].header("authorization")), ("b,c".to_owned(), "Bearer t".to_owned()));
}

#[tokio::test]
async fn what_does_not_arrive_is_sent_again_after_a_pause_and_in_order() {
    let receiver = Receiver::start().await;
    // No answer, refusals, and a redirect, which says that it has arrived.
    receiver.answer(&[0, 500, 404, 307]);
    let endpoint = json!({"name": "one", "url": receiver.url(), "timeout": "300ms", "threshold": 2, "backoff": "400ms"});
    let registry = with(Setup::open(), endpoint).start().await;
    let began = std::time::Instant::now();
    registry.client().push_image("a", "1", "one").await;
    let received = receiver.requests(6).await;
    assert!(began.elapsed().as_millis() >= 300 + 2 * 400, "{:?}", began.elapsed());
    assert!(received[..4].iter().all(|one| one.body == received[0].body), "one and the same until it arrives");
    let ids: Vec<_> = received[3..].iter().map(|one| one.event()["id"].to_string()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    for line in [
        "registry_notifications_events_total{endpoint=\"one\",type=\"Events\"} 3",
        "registry_notifications_events_total{endpoint=\"one\",type=\"Successes\"} 3",
        "registry_notifications_events_total{endpoint=\"one\",type=\"Failures\"} 2",
        "registry_notifications_events_total{endpoint=\"one\",type=\"Errors\"} 1",
        "registry_notifications_status_total{code=\"500 Internal Server Error\",endpoint=\"one\"} 1",
        "registry_notifications_status_total{code=\"307 Temporary Redirect\",endpoint=\"one\"} 1",
        "registry_notifications_pending_total{endpoint=\"one\"} 0",
    ] {
        eventually(async || shows(&registry, line).await).await;
    }
}

#[tokio::test]
async fn events_that_were_not_delivered_are_after_a_restart_and_others_wait_for_nobody() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    drop(receiver);
    let other = Receiver::start().await;
    let dead = json!({"name": "dead", "url": format!("http://{address}/"), "threshold": 1, "backoff": "50ms"});
    let setup = with(Setup::open(), dead.clone());
    let both = json!([dead, {"name": "alive", "url": other.url()}]);
    let mut registry = setup.set("notifications.endpoints", both).start().await;
    let image = registry.client().push_image("a", "1", "one").await;
    other.requests(3).await;
    assert!(shows(&registry, "registry_notifications_pending_total{endpoint=\"dead\"} 3").await);
    registry.restart().await;
    assert!(shows(&registry, "registry_notifications_pending_total{endpoint=\"dead\"} 3").await);
    registry.client().delete("/v2/a/manifests/1").send().await.is(202);
    let receiver = Receiver::at(address).await;
    let received = receiver.requests(4).await;
    let digests = [&image.config, &image.layer].map(|blob| format!("push a - {}", sha256(blob)));
    let expected = [&digests[..], &[format!("push a 1 {}", image.digest), "delete a 1 ".to_owned()]].concat();
    assert_eq!(told(&received), expected);
    other.requests(4).await;
    assert_eq!(other.received().len(), 4, "what has arrived is not sent again");
}

#[tokio::test]
async fn a_queue_whose_endpoint_is_gone_goes_with_the_next_start() {
    let receiver = Receiver::start().await;
    receiver.answer(&[500; 100]);
    let mut registry = with(Setup::open(), json!({"name": "a/b", "url": receiver.url(), "backoff": "1h", "threshold": 1})).start().await;
    registry.client().push_blob("a", "bytes").await;
    let queues = registry.path().join("data/breakwater/events");
    let names = || std::fs::read_dir(&queues).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    assert_eq!(names(), ["a%2Fb"]);
    registry.configure("notifications.endpoints", json!([{"name": "a/b", "url": receiver.url(), "disabled": true}]));
    registry.restart().await;
    assert_eq!(names(), ["a%2Fb"], "it is disabled only");
    registry.configure("notifications.endpoints", json!([]));
    registry.restart().await;
    assert!(names().is_empty());
}

#[tokio::test]
async fn an_event_is_signed_anew_with_each_attempt_under_one_id() {
    let receiver = Receiver::start().await;
    receiver.answer(&[500]);
    let endpoint = json!({"name": "one", "url": receiver.url(), "secret": "whsec_c2VzYW1l"});
    let registry = with(Setup::open(), endpoint).start().await;
    registry.client().push_blob("a", "bytes").await;
    let received = receiver.requests(2).await;
    for one in &received {
        let (id, timestamp) = (one.header("webhook-id"), one.header("webhook-timestamp"));
        assert_eq!(json!(id), one.event()["id"]);
        let text = [format!("{id}.{timestamp}.").as_bytes(), &one.body].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"sesame"), &text);
        assert_eq!(one.header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag)));
        let seconds: u64 = timestamp.parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(seconds) < 60, "{timestamp}");
    }
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
}

#[tokio::test]
async fn changed_endpoints_wait_for_a_restart() {
    let receiver = Receiver::start().await;
    let mut registry = telling(&receiver).await;
    registry.configure("notifications.endpoints", json!([{"name": "two", "url": receiver.url()}]));
    let state = registry.path().join("data/breakwater");
    let ask = move || breakwater::server::ask(&state, breakwater::server::Request::Reload);
    let reply = breakwater::blocking::run(ask).await.unwrap();
    let said = "a restart is needed for notifications.endpoints.0.name".to_owned();
    assert_eq!(reply, breakwater::server::Reply::Done(Some(said)));
    let client: Client = registry.client();
    client.push_blob("a", "bytes").await;
    receiver.requests(1).await;
}
