//! What `validation` and `policy` let in: the same pushes to registry 3 and to ours, under the same settings.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{DOCKER_MANIFEST, Image, OCI_INDEX, OCI_MANIFEST, Setup, descriptor, image_of, index_of, sha256, with};
use crate::trial::{REGISTRY_3, Stock};

const NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const NONDISTRIBUTABLE_ZSTD: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const GOOD: &str = "https://store.example.com/layer";
const BAD: &str = "https://elsewhere.example.org/layer";

/// A push: what it is called in the table, its type and its body.
type Push = (&'static str, &'static str, Bytes);

/// What is sent under each setting. The blobs of `image_of("one")` and its manifest are there.
fn pushes(image: &Image) -> Vec<Push> {
    let docker = image.in_schema_2();
    let layer = |of: &Image, kind: &str, content: &[u8], urls: &[&str]| {
        let mut value = of.value();
        let mut layer = descriptor(kind, content);
        if !urls.is_empty() {
            layer["urls"] = json!(urls);
        }
        value["layers"] = json!([layer]);
        Bytes::from(value.to_string())
    };
    let config = |of: &Image, kind: &str| {
        let mut value = of.value();
        value["config"]["mediaType"] = kind.into();
        Bytes::from(value.to_string())
    };
    let child = |architecture: &str, content: &[u8]| {
        let mut child = descriptor(OCI_MANIFEST, content);
        child["platform"] = json!({"os": "linux", "architecture": architecture});
        child
    };
    let (here, absent) = (image.layer.clone(), Bytes::from_static(b"far away"));
    vec![
        ("an image", OCI_MANIFEST, image.manifest.clone()),
        ("an image in schema 2", DOCKER_MANIFEST, docker.manifest.clone()),
        ("absent, with a good address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &absent, &[GOOD])),
        ("absent, with a bad address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &absent, &[BAD])),
        ("absent, with a good and a bad address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &absent, &[GOOD, BAD])),
        ("absent, with no address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &absent, &[])),
        ("absent, with an address of no web", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &absent, &["ftp://store.example.com/layer"])),
        ("absent, with a part of an address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &absent, &["https://store.example.com/#x"])),
        ("absent in zstd, with a good address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE_ZSTD, &absent, &[GOOD])),
        ("here in zstd, with a bad address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE_ZSTD, &here, &[BAD])),
        ("here, with no address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &here, &[])),
        ("here, with a good address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &here, &[GOOD])),
        ("here, with a bad address", OCI_MANIFEST, layer(image, NONDISTRIBUTABLE, &here, &[BAD])),
        ("an ordinary layer here, with a good address", OCI_MANIFEST, layer(image, LAYER, &here, &[GOOD])),
        ("an ordinary layer here, with a bad address", OCI_MANIFEST, layer(image, LAYER, &here, &[BAD])),
        ("an ordinary layer absent, with a good address", OCI_MANIFEST, layer(image, LAYER, &absent, &[GOOD])),
        ("a file here, with a bad address", OCI_MANIFEST, layer(image, "application/vnd.example.file", &here, &[BAD])),
        ("foreign, absent, with a good address", DOCKER_MANIFEST, layer(&docker, FOREIGN, &absent, &[GOOD])),
        ("foreign, absent, with a bad address", DOCKER_MANIFEST, layer(&docker, FOREIGN, &absent, &[BAD])),
        ("foreign, absent, with no address", DOCKER_MANIFEST, layer(&docker, FOREIGN, &absent, &[])),
        ("foreign, here, with no address", DOCKER_MANIFEST, layer(&docker, FOREIGN, &here, &[])),
        ("a plugin", DOCKER_MANIFEST, config(&docker, "application/vnd.docker.plugin.v1+json")),
        ("a chart", OCI_MANIFEST, config(image, "application/vnd.cncf.helm.config.v1+json")),
        ("a whole index", OCI_INDEX, index_of(OCI_INDEX, &[child("amd64", &image.manifest)])),
        ("an index without its arm64", OCI_INDEX, index_of(OCI_INDEX, &[child("amd64", &image.manifest), child("arm64", b"x")])),
        ("an index without its amd64", OCI_INDEX, index_of(OCI_INDEX, &[child("amd64", b"x")])),
    ]
}

/// What the pushes are answered, with the name of each.
async fn answers(http: &reqwest::Client, base: &str, image: &Image) -> Vec<(&'static str, u16, Value)> {
    for blob in [&image.config, &image.layer] {
        let begun = http.post(format!("{base}/v2/a/blobs/uploads/")).send().await.unwrap();
        let location = with(begun.headers()["location"].to_str().unwrap(), &format!("digest={}", sha256(blob)));
        assert_eq!(http.put(location).body(blob.clone()).send().await.unwrap().status(), 201);
    }
    let mut answers = Vec::new();
    for (name, kind, body) in pushes(image) {
        let url = format!("{base}/v2/a/manifests/{}", sha256(&body));
        let answer = http.put(&url).header("content-type", kind).body(body.clone()).send().await.unwrap();
        let status = answer.status().as_u16();
        let code = answer.json::<Value>().await.map_or(Value::Null, |body| body["errors"][0]["code"].clone());
        if status == 201 {
            let pulled = http.get(&url).header("accept", kind).send().await.unwrap();
            assert_eq!((pulled.status().as_u16(), pulled.bytes().await.unwrap()), (200, body), "{name}");
        }
        answers.push((name, status, code));
    }
    answers
}

/// Where ours differs, and what it answers instead of registry 3.
fn is_known_difference(name: &str, theirs: (u16, &Value), ours: (u16, &Value)) -> bool {
    let invalid = ours == (400, &json!("MANIFEST_INVALID"));
    match name {
        // It looks at the addresses of no layer in zstd, and wants each to be here.
        "absent in zstd, with a good address" => theirs == (400, &json!("MANIFEST_BLOB_UNKNOWN")) && (ours.0 == 201 || invalid),
        "here in zstd, with a bad address" => theirs.0 == 201 && invalid,
        // It refuses all of them, with 500; here such a layer is like any that has no address.
        "foreign, here, with no address" => theirs.0 == 500 && ours.0 == 201,
        "foreign, absent, with no address" => theirs.0 == 500 && ours == (400, &json!("MANIFEST_BLOB_UNKNOWN")),
        // What is wrong with a manifest is no fault of the server.
        _ => theirs.0 == 500 && invalid,
    }
}

async fn compared(settings: Value) -> Vec<(&'static str, u16)> {
    let image = image_of("one");
    let setup = settings.as_object().unwrap().iter().fold(Setup::open().plain(), |setup, (key, value)| setup.set(key, value.clone()));
    let registry = setup.start().await;
    let http = reqwest::Client::builder().no_proxy().resolve("localhost", registry.address).build().unwrap();
    let ours = answers(&http, &registry.client().base, &image).await;
    if let Some(stock) = Stock::start(REGISTRY_3, &settings).await {
        let theirs = answers(&http, &stock.base(), &image).await;
        for ((name, status, code), (_, our_status, our_code)) in theirs.iter().zip(&ours) {
            let (theirs, ours) = ((*status, code), (*our_status, our_code));
            assert!(theirs == ours || is_known_difference(name, theirs, ours), "{settings}: {name}: {theirs:?}, ours {ours:?}");
        }
    }
    ours.into_iter().map(|(name, status, _)| (name, status)).collect()
}

/// The names of what was refused.
fn refused(answers: &[(&'static str, u16)]) -> Vec<&'static str> {
    answers.iter().filter(|(_, status)| *status != 201).map(|(name, _)| *name).collect()
}

/// What has an address that may nowhere be one, or is missing without any.
const ALWAYS: [&str; 5] = [
    "absent, with no address",
    "absent, with an address of no web",
    "absent, with a part of an address",
    "an ordinary layer absent, with a good address",
    "foreign, absent, with no address",
];
const GAPS: [&str; 2] = ["an index without its arm64", "an index without its amd64"];

fn with_always(others: &[&'static str]) -> Vec<&'static str> {
    let order: Vec<_> = pushes(&image_of("one")).iter().map(|push| push.0).collect();
    let mut names: Vec<_> = ALWAYS.iter().chain(others).copied().collect();
    names.sort_by_key(|name| order.iter().position(|other| other == name).unwrap());
    names
}

const BAD_ADDRESSES: [&str; 6] = [
    "absent, with a bad address",
    "absent, with a good and a bad address",
    "here in zstd, with a bad address",
    "here, with a bad address",
    "an ordinary layer here, with a bad address",
    "foreign, absent, with a bad address",
];

#[tokio::test]
async fn without_a_list_no_layer_may_have_an_address() {
    let good = [
        "absent, with a good address",
        "absent in zstd, with a good address",
        "here, with a good address",
        "an ordinary layer here, with a good address",
        "foreign, absent, with a good address",
    ];
    let none = with_always(&[&BAD_ADDRESSES[..], &good, &GAPS].concat());
    assert_eq!(refused(&compared(json!({})).await), none);
    assert_eq!(refused(&compared(json!({"validation": {"enabled": false}})).await), none, "`enabled: false` alone changes nothing");
    assert_eq!(refused(&compared(json!({"validation": {"enabled": true, "disabled": true}})).await), none);
}

#[tokio::test]
async fn addresses_are_held_against_the_lists() {
    let some = with_always(&[&BAD_ADDRESSES[..], &GAPS].concat());
    for lists in [
        json!({"allow": [r"^https://[a-z]+\.example\.com/", "^nothing$"]}),
        json!({"deny": ["^nothing$", "elsewhere"]}),
        json!({"allow": ["^https://"], "deny": ["elsewhere"]}),
    ] {
        assert_eq!(refused(&compared(json!({"validation": {"manifests": {"urls": lists}}})).await), some, "{lists}");
    }
}

#[tokio::test]
async fn without_validation_only_what_is_missing_is_refused() {
    assert_eq!(refused(&compared(json!({"validation": {"disabled": true}})).await), with_always(&[]));
}

#[tokio::test]
async fn an_index_may_have_the_gaps_that_are_allowed() {
    let amd64 = json!([{"architecture": "amd64", "os": "linux"}]);
    for (indexes, gaps) in [
        (json!({"platforms": "none"}), &[][..]),
        (json!({"platforms": "list", "platformlist": amd64}), &GAPS[1..]),
        (json!({"platforms": "List", "platformlist": []}), &GAPS),
        (json!({"platforms": "all", "platformlist": amd64}), &GAPS),
    ] {
        let settings = json!({"validation": {"manifests": {"urls": {"allow": ["."]}, "indexes": indexes}}});
        assert_eq!(refused(&compared(settings).await), with_always(gaps), "{indexes}");
    }
}

#[tokio::test]
async fn only_the_classes_that_are_listed_are_taken() {
    let validation = json!({"disabled": true});
    for (classes, others) in
        [(json!([]), &[][..]), (json!(["image"]), &["a plugin", "a chart"][..]), (json!(["image", "plugin"]), &["a chart"])]
    {
        let settings = json!({"validation": validation, "policy": {"repository": {"classes": classes}}});
        assert_eq!(refused(&compared(settings).await), with_always(others), "{classes}");
    }
    let plugins = compared(json!({"validation": validation, "policy": {"repository": {"classes": ["plugin"]}}})).await;
    let taken: Vec<_> = plugins.iter().filter(|(_, status)| *status == 201).map(|(name, _)| *name).collect();
    assert_eq!(taken, ["a plugin", "a whole index", "an index without its arm64", "an index without its amd64"]);
}
