//! Sequences that chance brings about too seldom for each seed to have them.

use bytes::Bytes;
use serde_json::json;

use super::images::{put, tagged, with_absent_layer};
use super::scenes::begin;
use super::step::{Act, State, Step};
use super::wire::Body;
use crate::harness::{DOCKER_MANIFEST, image_of, sha256};

const REPOSITORY: &str = "scene/certain";

/// All of them.
pub(super) fn acts() -> Vec<Act> {
    let image = image_of(REPOSITORY).in_schema_2();
    let pushes = tagged(REPOSITORY, &image);
    let changed = |field: &str, value| {
        let mut changed = image.value();
        changed[field] = value;
        changed.to_string()
    };
    let text = image.value().to_string();
    let broken = [
        text.replacen('{', "{\"mediaType\":\"x/y\",", 1),
        changed("manifests", json!([image.descriptor()])),
        changed("subject", json!({"digest": "nonsense"})),
        changed("artifactType", json!(5)),
        " ".repeat(4 * 1024 * 1024 + 1),
    ];
    let mut steps: Vec<Step> = broken.into_iter().map(|body| put(REPOSITORY, "latest", DOCKER_MANIFEST, body)).collect();
    steps.push(with_absent_layer(REPOSITORY, &image));
    let artifact = changed("mediaType", "application/vnd.oci.artifact.manifest.v1+json".into());
    steps.push(put(REPOSITORY, &sha256(artifact.as_bytes()), "application/vnd.oci.artifact.manifest.v1+json", artifact));
    steps.extend(["latest", "second"].map(|tag| Step::new("GET", format!("/v2/{REPOSITORY}/manifests/{tag}")).header("Accept", "*/*")));
    steps.extend(std::iter::repeat_n(Step::new("DELETE", format!("/v2/{REPOSITORY}/manifests/{}", image.digest)), 2));
    let mut acts = vec![Act::new(pushes.clone(), &[])];
    acts.extend(Act::each(steps, &pushes));
    acts.extend(uploads());
    acts
}

fn uploads() -> Vec<Act> {
    let again = begin(REPOSITORY, 0, "");
    let patch = Step::upload("PATCH", 0, State::Given, "").body(Body::Sized(Bytes::from_static(b"later")));
    // Whoever sends it does not look at what it is answered.
    let unread = Step { slot: None, ..patch };
    let unreadable = format!("digest=sha384:{}", "0".repeat(96));
    let end = Step::upload("PUT", 0, State::Given, unreadable).body(Body::Sized(Bytes::from_static(b"x")));
    let steps = vec![again.clone(), unread, Step::upload("DELETE", 0, State::Given, ""), again.clone(), end];
    Act::each(steps, &[again])
}
