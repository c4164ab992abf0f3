//! What the body of a pushed manifest holds, and how far an upload is, for the rows that go by that.

use std::fmt;

use breakwater::oci::Digest;
use serde::Deserialize as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::exchange::Exchange;
use super::wire::{Body, Reply};
use crate::harness::DOCKER_MANIFEST;

/// The fields of a manifest that a registry reads.
const READ: [&str; 8] = ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"];

/// Whether a field that a registry reads is given twice.
pub(super) fn gives_a_field_twice(exchange: &Exchange) -> bool {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes(exchange));
    let Ok(Keys(keys)) = Keys::deserialize(&mut deserializer) else { return false };
    READ.iter().any(|field| keys.iter().filter(|key| key == field).count() > 1)
}

/// Whether it has fields of an image and those of an index.
pub(super) fn is_image_and_index(exchange: &Exchange) -> bool {
    let value = value(exchange);
    let is_index = !value["manifests"].is_null() || asked_type(exchange).contains("list") || asked_type(exchange).contains("index");
    is_index && (!value["config"].is_null() || !value["layers"].is_null())
}

/// Whether a field that only the referrers API shows cannot be read.
pub(super) fn cannot_be_a_referrer(exchange: &Exchange) -> bool {
    let value = value(exchange);
    let is_bad_subject = !value["subject"].is_null() && !is_digest(&value["subject"]["digest"]);
    let is_bad_type = !matches!(value["artifactType"], Value::Null | Value::String(_));
    let notes = value["annotations"].as_object();
    is_bad_subject || is_bad_type || notes.is_some_and(|notes| notes.values().any(|note| !matches!(note, Value::Null | Value::String(_))))
}

/// Whether what a manifest points to is not all named by digests.
pub(super) fn points_nowhere(exchange: &Exchange) -> bool {
    let value = value(exchange);
    let lists = ["layers", "manifests"].map(|field| value[field].as_array().cloned().unwrap_or_default()).concat();
    let is_index = !value["manifests"].is_null();
    let config = (!is_index).then(|| value["config"].clone());
    lists.into_iter().chain(config).any(|descriptor| !is_digest(&descriptor["digest"]))
}

/// Whether it says that it is of another schema.
pub(super) fn is_of_another_schema(exchange: &Exchange) -> bool {
    value(exchange)["schemaVersion"] != 2
}

/// Whether it is announced as an artifact manifest, which no stock registry knows.
pub(super) fn is_artifact(exchange: &Exchange) -> bool {
    asked_type(exchange) == "application/vnd.oci.artifact.manifest.v1+json"
}

/// Whether a layer or a child of an index is a layer that need not be here, or a layer in an index.
pub(super) fn points_elsewhere(exchange: &Exchange) -> bool {
    let value = value(exchange);
    let is_of =
        |descriptor: &Value, kinds: &[&str]| kinds.iter().any(|kind| descriptor["mediaType"].as_str().unwrap_or_default().contains(kind));
    let any = |field: &str, kinds: &[&str]| value[field].as_array().into_iter().flatten().any(|descriptor| is_of(descriptor, kinds));
    let foreign: &[&str] = if asked_type(exchange) == DOCKER_MANIFEST { &[".foreign."] } else { &[".nondistributable."] };
    any("layers", foreign) || any("manifests", &[".layer."])
}

/// Whether a layer may be had elsewhere.
pub(super) fn has_urls(exchange: &Exchange) -> bool {
    value(exchange)["layers"].as_array().into_iter().flatten().any(|layer| !layer["urls"].is_null())
}

/// How far an upload is, by the state that an answer gives out.
pub(super) fn offset(reply: &Reply) -> u64 {
    let location = reply.header("location");
    let number = location.trim_end_matches(')').rsplit(' ').next().unwrap_or_default();
    number.parse().unwrap_or_default()
}

fn is_digest(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<Digest>().is_ok())
}

fn asked_type(exchange: &Exchange) -> String {
    exchange.sent.headers.iter().find(|(name, _)| name == "Content-Type").map(|(_, value)| value.to_lowercase()).unwrap_or_default()
}

fn value(exchange: &Exchange) -> Value {
    serde_json::from_slice(bytes(exchange)).unwrap_or_default()
}

fn bytes(exchange: &Exchange) -> &[u8] {
    match &exchange.sent.body {
        Body::Absent => &[],
        Body::Sized(bytes) | Body::Chunked(bytes) => bytes,
    }
}

/// The names in an object, each as often as it is given.
struct Keys(Vec<String>);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysOf)
    }
}

struct KeysOf;

impl<'de> Visitor<'de> for KeysOf {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}
