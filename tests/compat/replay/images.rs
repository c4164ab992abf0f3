//! Pushes of manifests: good, odd and broken.

use bytes::Bytes;
use serde_json::{Value, json};

use super::dice::Dice;
use super::reads;
use super::scenes::push;
use super::step::{Act, Step};
use super::wire::Body;
use crate::harness::{DOCKER_LIST, DOCKER_MANIFEST, Image, OCI_INDEX, OCI_MANIFEST, image_of, index_of, sha256, sha512};

/// A push of a manifest.
pub(super) fn put(repository: &str, reference: &str, media_type: &str, bytes: impl Into<Bytes>) -> Step {
    Step::new("PUT", format!("/v2/{repository}/manifests/{reference}")).header("Content-Type", media_type).body(Body::Sized(bytes.into()))
}

/// An image, by two tags, in a repository of its own.
pub(super) fn pushed(dice: &mut Dice, repository: &str) -> (Vec<Step>, Image) {
    let image = image_of(repository);
    let image = if dice.chance(50) { image.in_schema_2() } else { image };
    (tagged(repository, &image), image)
}

/// The push of an image by two tags.
pub(super) fn tagged(repository: &str, image: &Image) -> Vec<Step> {
    let mut steps: Vec<Step> =
        [&image.config, &image.layer].into_iter().enumerate().flat_map(|(slot, blob)| push(repository, slot, blob)).collect();
    steps.extend(["latest", "second"].map(|tag| put(repository, tag, image.media_type, image.manifest.clone())));
    steps
}

/// The push of an image with a layer that is not here, and that may be had elsewhere though its type does not say so.
pub(super) fn with_absent_layer(repository: &str, image: &Image) -> Step {
    let mut value = image.value();
    value["layers"][0]["digest"] = sha256(b"absent").into();
    value["layers"][0]["urls"] = json!(["https://elsewhere.test/layer"]);
    let bytes = value.to_string();
    put(repository, &sha256(bytes.as_bytes()), image.media_type, bytes)
}

/// Several pushes, and what is asked after each.
pub(super) fn manifests(dice: &mut Dice, repository: &str) -> Vec<Act> {
    let (pushes, image) = pushed(dice, repository);
    // The tags that pushes go to; nothing asks again for what one of the two has by digest.
    let mend = ["latest", "pushed"].map(|tag| put(repository, tag, image.media_type, image.manifest.clone()));
    let mut acts = vec![Act::new(pushes, &[])];
    for _ in 0..3 {
        let mut steps = Vec::new();
        let (media_type, bytes) = manifest(dice, &image);
        let digest = sha256(&bytes);
        let media_type = header(dice, &media_type);
        let reference = match dice.below(20) {
            0..10 => "pushed".to_owned(),
            10..15 => digest.clone(),
            15 => sha256(b"another"),
            16 => reads::digest(dice),
            17 => sha512(&bytes),
            18 => dice.pick(&[".bad", "t%2Fx", "latest"]).to_owned(),
            _ => format!("{digest}?tag=one&tag=two"),
        };
        let mut step = put(repository, &reference, &media_type, bytes.clone());
        step.headers.retain(|(_, value)| !value.is_empty());
        if dice.chance(10) {
            step.body = Body::Chunked(bytes);
        }
        steps.push(step);
        let asked = dice.pick(&[reference.as_str(), digest.as_str(), "pushed"]);
        let get = Step::new(dice.pick(&["GET", "HEAD"]), format!("/v2/{repository}/manifests/{asked}"));
        steps.push(if dice.chance(80) { get.header("Accept", media_type) } else { get });
        if dice.chance(40) {
            steps.push(Step::new("GET", format!("/v2/{repository}/tags/list")));
        }
        acts.push(Act::new(steps, &mend));
    }
    acts
}

/// What the header says of a body of some type.
fn header(dice: &mut Dice, media_type: &str) -> String {
    match dice.below(30) {
        0 => String::new(),
        1 => format!("{media_type}; charset=utf-8"),
        2 => "application/json".to_owned(),
        3 => "application/vnd.docker.distribution.manifest.v1+prettyjws".to_owned(),
        4 => "application/vnd.oci.artifact.manifest.v1+json".to_owned(),
        5 => dice.pick(&[OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST]).to_owned(),
        6 => "no type".to_owned(),
        7 => media_type.to_uppercase(),
        _ => media_type.to_owned(),
    }
}

fn manifest(dice: &mut Dice, image: &Image) -> (String, Bytes) {
    match dice.below(10) {
        0..2 => (image.media_type.to_owned(), image.manifest.clone()),
        2 | 3 => index(dice, image),
        4 => (image.media_type.to_owned(), broken(dice, image)),
        _ => {
            let mut value = image.value();
            alter(dice, &mut value, image);
            (image.media_type.to_owned(), value.to_string().into())
        }
    }
}

fn broken(dice: &mut Dice, image: &Image) -> Bytes {
    let text = String::from_utf8(image.manifest.to_vec()).unwrap();
    match dice.below(12) {
        0 => Bytes::new(),
        1 => text[..text.len() / 2].to_owned().into(),
        2 => format!("{text} x").into(),
        3 => text.replacen('{', "{\"config\": {},", 1).into(),
        4 => text.replacen('{', "{\"mediaType\": \"x/y\",", 1).into(),
        5 => format!("\u{feff}{text}").into(),
        6 => vec![b' '; 4 * 1024 * 1024 + 1].into(),
        7 => text.to_uppercase().into(),
        _ => Bytes::from_static(["[]", "\"x\"", "1", "null", "{}", "\0"][dice.below(6)].as_bytes()),
    }
}

fn alter(dice: &mut Dice, value: &mut Value, image: &Image) {
    let absent = sha256(b"absent");
    match dice.below(36) {
        0 => value["layers"][0]["digest"] = absent.into(),
        1 => value["config"]["digest"] = absent.into(),
        2 => drop(value.as_object_mut().unwrap().remove("mediaType")),
        3 => value["mediaType"] = "application/vnd.example.other+json".into(),
        4 => value["mediaType"] = "".into(),
        5 => value["schemaVersion"] = [json!(1), json!(3), json!("2"), Value::Null][dice.below(4)].clone(),
        6 => drop(value.as_object_mut().unwrap().remove("schemaVersion")),
        7 => value["manifests"] = json!([image.descriptor()]),
        8 => drop(value.as_object_mut().unwrap().remove("config")),
        9 => drop(value.as_object_mut().unwrap().remove("layers")),
        10 => value["layers"] = json!([]),
        11 => value["layers"] = Value::Null,
        12 => value["layers"][0]["size"] = [json!(-1), json!(0), json!(1), json!(99), json!("7"), json!(1.5)][dice.below(6)].clone(),
        13 => value["layers"][0]["digest"] = reads::digest(dice).into(),
        14 => value["config"]["digest"] = "".into(),
        15 => value["layers"][0]["mediaType"] = "".into(),
        16 => value["subject"] = image.descriptor(),
        17 => value["subject"] = json!({"mediaType": OCI_MANIFEST, "digest": absent, "size": 7}),
        18 => value["subject"] = json!({"digest": "nonsense"}),
        19 => value["annotations"] = json!({"a": "b"}),
        20 => value["annotations"] = json!({"a": 1}),
        21 => value["artifactType"] = "application/vnd.example.thing".into(),
        22 => value["layers"][0]["data"] = "eA==".into(),
        23 => foreign(dice, value),
        24 => value["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into(),
        25 => value["layers"] = json!([value["layers"][0], value["layers"][0], {"mediaType": "x/y", "digest": absent, "size": 1}]),
        26 => value["layers"][0]["urls"] = json!(["https://elsewhere.test/layer"]),
        27 => value["layers"][0] = json!({"digest": value["layers"][0]["digest"]}),
        28 => value["config"] = json!({"digest": value["config"]["digest"], "size": null, "mediaType": null, "platform": {"os": null}}),
        29 => value["layers"][0]["mediaType"] = dice.pick(&["no type", "LAYER", "a/b; c=d"]).into(),
        30 => value["annotations"] = json!({"a": null}),
        31 => value["artifactType"] = json!(5),
        32 => value["subject"] = json!({"digest": absent}),
        33 => value["manifests"] = Value::Null,
        34 => value["config"]["annotations"] = json!({"a": "b", "c": null}),
        _ => value["other"] = json!({"deep": [1, 2, {"er": null}]}),
    }
}

/// A layer that is not here but elsewhere.
fn foreign(dice: &mut Dice, value: &mut Value) {
    value["layers"][0] = json!({
        "mediaType": dice.pick(&[
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        ]),
        "digest": sha256(b"elsewhere"),
        "size": 9,
        "urls": ["https://elsewhere.test/layer"],
    });
    if dice.chance(30) {
        value["layers"][0].as_object_mut().unwrap().remove("urls");
    }
}

fn index(dice: &mut Dice, image: &Image) -> (String, Bytes) {
    let media_type = dice.pick(&[OCI_INDEX, DOCKER_LIST]);
    let mut child = image.descriptor();
    if dice.chance(70) {
        child["platform"] = json!({"architecture": "amd64", "os": "linux"});
    }
    let absent =
        json!({"mediaType": OCI_MANIFEST, "digest": sha256(b"absent"), "size": 7, "platform": {"architecture": "arm", "os": "linux"}});
    let bytes = match dice.below(12) {
        0..3 => index_of(media_type, &[child]),
        3 => index_of(media_type, &[]),
        4 => index_of(media_type, &[child, absent]),
        5 => json!({"schemaVersion": 2, "mediaType": media_type}).to_string().into(),
        6 => json!({"schemaVersion": 2, "manifests": [child]}).to_string().into(),
        7 => json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [child], "layers": []}).to_string().into(),
        8 => json!({"schemaVersion": 2, "mediaType": media_type, "manifests": null}).to_string().into(),
        9 => json!({"schemaVersion": 2, "manifests": null}).to_string().into(),
        10 => {
            let children = [json!({"digest": child["digest"], "size": -1, "platform": {"os": null, "architecture": "arm"}})];
            index_of(media_type, &children)
        }
        _ => {
            let blob = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha256(&image.layer), "size": image.layer.len()});
            index_of(media_type, &[child, blob])
        }
    };
    (media_type.to_owned(), bytes)
}
