//! The events of stock registries and ours, side by side: one session with each, and what an endpoint is told of it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Client, DOCKER_MANIFEST, OCI_INDEX, Received, Receiver, Setup, image_of, index_of, sha256, with};
use crate::trial::{REGISTRY_2, REGISTRY_3, Stock};

fn notifications(receiver: &Receiver) -> Value {
    let endpoint = json!({
        "name": "one", "url": receiver.url(), "timeout": "10s", "headers": {"X-Key": ["b", "c"]},
        "ignore": {"mediatypes": ["application/vnd.oci.image.config.v1+json"], "actions": []},
    });
    json!({"events": {"includereferences": true}, "endpoints": [endpoint]})
}

async fn start(program: &str, receiver: &Receiver) -> Option<Stock> {
    Stock::start(program, &json!({"notifications": notifications(receiver)})).await
}

/// How many events the session is told in by registry 3.
const EVENTS: usize = 20;

/// Everything that is told, done once. Answers that the stock registries give otherwise are not looked at.
async fn session(http: &reqwest::Client, base: &str) {
    let image = image_of("one").in_schema_2();
    let (layer, digest) = (sha256(&image.layer), &image.digest);
    let send = async |method: &str, target: &str, headers: &[(&str, &str)], body: bytes::Bytes| {
        let url = if target.starts_with('/') { format!("{base}{target}") } else { target.to_owned() };
        let mut request = http.request(method.parse().unwrap(), url).header("user-agent", "probe/1").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    let none = bytes::Bytes::new;
    for blob in [&image.config, &image.layer] {
        let begun = send("POST", "/v2/a/b/blobs/uploads/", &[], none()).await;
        let location = with(begun.headers()["location"].to_str().unwrap(), &format!("digest={}", sha256(blob)));
        assert_eq!(send("PUT", &location, &[("content-type", "application/octet-stream")], blob.clone()).await.status(), 201);
    }
    send("POST", &format!("/v2/c/blobs/uploads/?mount={layer}&from=a/b"), &[], none()).await;
    let kind = [("content-type", DOCKER_MANIFEST)];
    for reference in ["v1", "v2", digest] {
        send("PUT", &format!("/v2/a/b/manifests/{reference}"), &kind, image.manifest.clone()).await;
    }
    let mut child = image.descriptor();
    child["platform"] = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    child["annotations"] = json!({"b": "2", "a": "1"});
    let index = index_of(OCI_INDEX, &[child]);
    send("PUT", "/v2/a/b/manifests/index", &[("content-type", OCI_INDEX)], index).await;
    let accept = ("accept", DOCKER_MANIFEST);
    let etag = format!("\"{digest}\"");
    send("GET", "/v2/a/b/manifests/v1", &[accept], none()).await;
    send("HEAD", "/v2/a/b/manifests/v1", &[accept], none()).await;
    send("GET", &format!("/v2/a/b/manifests/{digest}"), &[accept], none()).await;
    send("GET", "/v2/a/b/manifests/v1", &[accept, ("if-none-match", &etag)], none()).await;
    send("GET", "/v2/a/b/manifests/none", &[accept], none()).await;
    let blob = format!("/v2/a/b/blobs/{layer}");
    let etag = format!("\"{layer}\"");
    for headers in [&[][..], &[("range", "bytes=0-2")], &[("range", "bytes=5000-6000")], &[("if-none-match", &etag)]] {
        send("GET", &blob, headers, none()).await;
    }
    send("HEAD", &blob, &[], none()).await;
    send("GET", "/v2/a/b/tags/list", &[], none()).await;
    send("DELETE", "/v2/a/b/manifests/v2", &[], none()).await;
    send("DELETE", &format!("/v2/a/b/manifests/{digest}"), &[], none()).await;
    send("DELETE", &blob, &[], none()).await;
    send("POST", &format!("/v2/d/blobs/uploads/?mount={layer}&from=c"), &[], none()).await;
}

/// A request as a text, with the parts that differ from one run to the next named instead; and with the line structure of the body.
fn shape(received: &Received, address: SocketAddr) -> String {
    let event = received.event();
    let text = String::from_utf8(received.body.clone()).unwrap();
    let mut text = text.replace(&address.to_string(), "REGISTRY").replace(&format!("localhost:{}", address.port()), "REGISTRY");
    let request = &event["request"];
    for value in
        [&event["id"], &event["timestamp"], &request["id"], &request["addr"], &event["source"]["addr"], &event["source"]["instanceID"]]
    {
        let value = value.as_str().unwrap_or_else(|| panic!("{event}"));
        assert!(!value.is_empty(), "{event}");
        text = text.replace(value, "DIFFERS");
    }
    format!("{}\n{}\n{}\n{text}", received.target, received.header("content-type"), received.header("x-key"))
}

async fn ours() -> Vec<String> {
    let receiver = Receiver::start().await;
    let registry = Setup::open().plain().set("notifications", notifications(&receiver)).start().await;
    let client: Client = registry.client();
    let http = reqwest::Client::builder().no_proxy().resolve("localhost", registry.address).build().unwrap();
    session(&http, &client.base).await;
    receiver.requests(EVENTS).await.iter().map(|one| shape(one, registry.address)).collect()
}

#[tokio::test]
async fn an_endpoint_is_told_what_registry_3_tells_byte_for_byte() {
    let receiver = Receiver::start().await;
    let Some(stock) = start(REGISTRY_3, &receiver).await else { return };
    session(&reqwest::Client::builder().no_proxy().build().unwrap(), &stock.base()).await;
    let theirs: Vec<_> = receiver.requests(EVENTS).await.iter().map(|one| shape(one, stock.address)).collect();
    let ours = ours().await;
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!((theirs.len(), ours.len()), (EVENTS, EVENTS));
}

#[tokio::test]
async fn an_endpoint_is_told_what_registry_2_tells_but_for_what_registry_3_has_changed() {
    let receiver = Receiver::start().await;
    let Some(stock) = start(REGISTRY_2, &receiver).await else { return };
    session(&reqwest::Client::builder().no_proxy().build().unwrap(), &stock.base()).await;
    // It removes no tag by its name: the delete of the manifest takes both with it, and tells so.
    let theirs = receiver.requests(EVENTS).await;
    assert_eq!(theirs[0].header("content-type"), "application/vnd.docker.distribution.events.v1+json");
    let mut theirs: Vec<_> = theirs.iter().map(|one| fields(&one.event())).collect();
    let ours = Receiver::start().await;
    let registry = Setup::open().plain().set("notifications", notifications(&ours)).start().await;
    let http = reqwest::Client::builder().no_proxy().resolve("localhost", registry.address).build().unwrap();
    session(&http, &registry.client().base).await;
    let mut ours: Vec<_> = ours.requests(EVENTS).await.iter().map(|one| fields(&one.event())).collect();
    assert_eq!(theirs[..15], ours[..15]);
    theirs[15..].sort();
    ours[15..].sort();
    assert_eq!(theirs[15..], ours[15..]);
}

/// What both lines of versions say of an event; an empty descriptor is none.
fn fields(event: &Value) -> String {
    let target = &event["target"];
    let text = |name: &str| target[name].as_str().unwrap_or_default().to_owned();
    let [kind, digest, repository, from, tag] = ["mediaType", "digest", "repository", "fromRepository", "tag"].map(text);
    let (action, method) = (&event["action"], &event["request"]["method"]);
    let references = target["references"].as_array().map_or(0, Vec::len);
    let path = text("url").splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    format!("{action} {method} {kind} {digest} {} {repository} {from} {tag} {path} {references}", target["length"])
}
