//! Requests that change nothing: every route, asked for properly and oddly.

use super::dice::Dice;
use super::images;
use super::seed::Known;
use super::step::{Step, Target};
use crate::harness::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, image_of, sha256, sha512};

/// Names of repositories that are not there, and texts that are no names.
const ODD_NAMES: [&str; 22] = [
    "absent",
    "absent/deep/er",
    "a",
    "a.b_c__d---e/0",
    "many",
    "seed",
    "seed/emptied",
    "Library/app",
    "library//app",
    "-a",
    "a_",
    "a..b",
    "a___b",
    "library/app/",
    "/library/app",
    "_uploads",
    "library/../library/app",
    "library/./app",
    "localhost:5000/library/app",
    "caf%C3%A9",
    "a%00b",
    "a%20b",
];

const ODD_TAGS: [&str; 14] = [
    "absent",
    "crashed",
    ".hidden",
    "-x",
    "a%2Fb",
    "%61bsent",
    "a%00b",
    "LATEST",
    "sha256-0123",
    "a+b",
    "latest@x",
    "%E2%82%AC",
    "a%3Ab",
    "_",
];

const ACCEPTS: [&str; 12] = [
    "*/*",
    "application/*",
    "application/json",
    DOCKER_MANIFEST,
    DOCKER_LIST,
    OCI_MANIFEST,
    OCI_INDEX,
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json;q=0.5, application/vnd.oci.image.manifest.v1+json, */*;q=0.1",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "text/html",
    "",
];

const RANGES: [&str; 24] = [
    "bytes=0-0",
    "bytes=2-5",
    "bytes=2-",
    "bytes=-3",
    "bytes=-30",
    "bytes=5-500",
    "bytes=10-",
    "bytes=9-",
    "bytes=-0",
    "bytes=5-2",
    "bytes=a-b",
    "bytes=-",
    "bytes=",
    "bytes",
    "lines=1-2",
    "Bytes=1-2",
    "bytes=1-2,4-5",
    "bytes=0-4,3-6",
    "bytes=0-0,99999999-",
    "bytes= 1 - 2",
    "bytes=0-99999999999999999999",
    "bytes=1000000-",
    "bytes=69990-70010",
    "bytes=1-2,",
];

const PAGES: [&str; 16] =
    ["0", "1", "2", "3", "7", "100", "1000", "1001", "99999999999999999999", "-1", "abc", "", "%00", "1.5", "0x1", "+2"];

const LASTS: [&str; 12] = ["", "t05", "t0", "zzz", "library/app", "library", "many/r03", "seed", "%00", "caf%C3%A9", "UPPER", "seed/many"];

/// Requests that chance brings about too seldom.
pub(super) fn certain() -> Vec<Step> {
    let manifest = Step::new("GET", "/v2/seed/image/manifests/schema2").header("Accept", DOCKER_MANIFEST);
    vec![
        manifest.clone().header("If-Match", "\"other\""),
        manifest.header("If-None-Match", "*"),
        Step::new("GET", "/v2/seed/list/manifests/list").header("Accept", "*/*;q=0.1").header("Accept", DOCKER_MANIFEST),
        Step::new("HEAD", "/v2/seed/list/manifests/list").header("Accept", DOCKER_MANIFEST),
        images::with_absent_layer("seed/image", &image_of("seed").in_schema_2()),
        Step::new("GET", "/v2/many/r00/tags/list?n=1"),
        Step::new("GET", "/v2/_catalog?n=1&last=many/r11"),
        Step::new("HEAD", "/"),
        Step::new("GET", "/v2/library/app/blobs/uploads/a=b"),
        Step::new("GET", "/v2/library/app/blobs/uploads/%2e%2e"),
        Step::new("GET", "/v2/library/app/manifests/crashed").header("Accept", "*/*"),
        Step::new("GET", "/v2/absent/tags/list?n=1"),
        Step::new("GET", "/v2/seed/list/manifests/list").header("Accept", format!("{DOCKER_MANIFEST}, */*")),
    ]
}

/// A request.
pub(super) fn read(dice: &mut Dice, known: &Known) -> Step {
    let step = match dice.below(100) {
        0..3 => Step::new("GET", dice.pick(&["/v2/", "/v2", "/v2/?x=1", "/v2//"])),
        3..13 => Step::new("GET", format!("/v2/_catalog{}{}", dice.pick(&["", "", "", "", "/"]), page(dice))),
        13..28 => tags(dice, known),
        28..58 => manifest(dice, known),
        58..84 => blob(dice, known),
        84..89 => upload(dice, known),
        89..92 => Step::new("GET", format!("/v2/{}/referrers/{}", name(dice, known), digest(dice))),
        92..96 => unknown(dice, known),
        _ => Step::to("GET", Target::Outside(dice.pick(&["/", "/v2/", "/x", "/v1/_ping", "/v2/library/tags/list", "//"]).to_owned())),
    };
    let step = method(dice, step);
    forwarded(dice, step)
}

/// Mostly as it is; sometimes another method, which does nothing there.
fn method(dice: &mut Dice, step: Step) -> Step {
    let method = match dice.below(100) {
        0..70 => return step,
        70..88 => "HEAD",
        88..92 => "OPTIONS",
        _ => match dice.pick(&["POST", "PUT", "PATCH", "DELETE", "FROB", "TRACE", "get", "PROPFIND"]) {
            // These would do something.
            "PUT" | "DELETE" if matches!(&step.target, Target::Path(path) if path.contains("/manifests/") || path.contains("/blobs/")) => {
                "POST"
            }
            "PATCH" if matches!(&step.target, Target::Path(path) if path.contains("/uploads/")) => "FROB",
            other => other,
        },
    };
    let is_begin = method == "POST" && matches!(&step.target, Target::Path(path) if path.contains("/uploads"));
    let method = if is_begin { "FROB" } else { method };
    Step { headers: step.headers, ..Step::to(method, step.target) }
}

/// Sometimes as a proxy passes it on.
fn forwarded(dice: &mut Dice, step: Step) -> Step {
    if !dice.chance(12) {
        return step;
    }
    match dice.below(7) {
        0 => step.header("X-Forwarded-Proto", "https"),
        1 => step.header("X-Forwarded-Proto", "https").header("X-Forwarded-Host", "front.test"),
        2 => step.header("X-Forwarded-Host", "front.test:8443, inner.test"),
        3 => step.header("Forwarded", "for=192.0.2.1;proto=https;host=front.test"),
        4 => step.header("Forwarded", "host=\"front.test:81\"").header("X-Forwarded-Host", "other.test"),
        5 => step.header("X-Forwarded-Proto", "https, http"),
        _ => step.header("X-Forwarded-For", "192.0.2.1").header("X-Real-IP", "192.0.2.2"),
    }
}

fn page(dice: &mut Dice) -> String {
    let (size, last) = (dice.pick(&PAGES), dice.pick(&LASTS));
    match dice.below(8) {
        0 => String::new(),
        1..4 => format!("?n={size}"),
        4 => format!("?last={last}"),
        5 | 6 => format!("?n={size}&last={last}"),
        _ => format!("?last={last}&n={size}&n=1&x"),
    }
}

/// Mostly a repository that is there.
fn name(dice: &mut Dice, known: &Known) -> String {
    match dice.below(20) {
        0..12 => known.tags[dice.below(known.tags.len())].0.clone(),
        12 => "x".repeat(255),
        13 => "x".repeat(256),
        14 => "x/".repeat(130) + "x",
        _ => dice.pick(&ODD_NAMES).to_owned(),
    }
}

/// A digest that names nothing, or is none.
pub(super) fn digest(dice: &mut Dice) -> String {
    let absent = sha256(b"absent");
    let hex = &absent[7..];
    match dice.below(16) {
        0..5 => absent,
        5 => sha512(b"absent"),
        6 => format!("sha384:{hex}{}", &hex[..32]),
        7 => format!("sha256:{}", hex.to_uppercase()),
        8 => format!("SHA256:{hex}"),
        9 => format!("sha256:{}", &hex[..63]),
        10 => format!("sha256:{hex}0"),
        11 => format!("md5:{}", &hex[..32]),
        12 => format!("sha256:{}", "z".repeat(64)),
        13 => dice.pick(&["sha256:", ":", "sha256", "a:b:c", "sha256%3A00"]).to_owned(),
        14 => format!("sha256%3A{hex}"),
        _ => format!("sha256:{}", "0".repeat(200)),
    }
}

fn tags(dice: &mut Dice, known: &Known) -> Step {
    let name = if dice.chance(30) { "seed/many".to_owned() } else { name(dice, known) };
    Step::new("GET", format!("/v2/{name}/tags/list{}{}", dice.pick(&["", "", "", "", "", "", "/"]), page(dice)))
}

fn manifest(dice: &mut Dice, known: &Known) -> Step {
    let (name, reference) = match dice.below(20) {
        0..8 => known.tags[dice.below(known.tags.len())].clone(),
        8..12 => ("seed/list".to_owned(), dice.pick(&["list", "index", "arm"]).to_owned()),
        12..15 => known.manifests[dice.below(known.manifests.len())].clone(),
        15 => (name(dice, known), digest(dice)),
        16 => (name(dice, known), "t".repeat(128 + dice.below(2))),
        17 => (name(dice, known), "latest".to_owned()),
        18 => ("library/app".to_owned(), dice.pick(&ODD_TAGS).to_owned()),
        _ => (name(dice, known), dice.pick(&ODD_TAGS).to_owned()),
    };
    let slash = if dice.chance(4) { "/" } else { "" };
    let mut step = Step::new("GET", format!("/v2/{name}/manifests/{reference}{slash}"));
    for _ in 0..dice.below(3) {
        step = step.header("Accept", dice.pick(&ACCEPTS));
    }
    if dice.chance(15) { conditional(dice, step, &reference) } else { step }
}

fn blob(dice: &mut Dice, known: &Known) -> Step {
    let (name, digest) = match dice.below(20) {
        0..15 => known.blobs[dice.below(known.blobs.len())].clone(),
        15 => known.manifests[dice.below(known.manifests.len())].clone(),
        16 => (name(dice, known), known.blobs[dice.below(known.blobs.len())].1.clone()),
        _ => (name(dice, known), digest(dice)),
    };
    let slash = if dice.chance(3) { "/" } else { "" };
    let mut step = Step::new("GET", format!("/v2/{name}/blobs/{digest}{slash}"));
    if dice.chance(45) {
        step = step.header("Range", dice.pick(&RANGES));
    }
    if dice.chance(25) { conditional(dice, step, &digest) } else { step }
}

fn conditional(dice: &mut Dice, step: Step, digest: &str) -> Step {
    match dice.below(11) {
        0 => step.header("If-None-Match", format!("\"{digest}\"")),
        1 => step.header("If-None-Match", digest),
        2 => step.header("If-None-Match", format!("W/\"{digest}\"")),
        3 => step.header("If-None-Match", format!("\"x\", \"{digest}\"")),
        4 => step.header("If-None-Match", "*"),
        5 => step.header("If-None-Match", "\"other\""),
        6 => step.header("If-Match", format!("\"{digest}\"")),
        7 => step.header("If-Match", "\"other\""),
        8 => step.header("If-Range", format!("\"{digest}\"")),
        9 => step.header("If-Range", "\"other\""),
        _ => step.header("If-Modified-Since", "Tue, 01 Jan 2030 00:00:00 GMT"),
    }
}

/// Asks after uploads that are not there, or that a stock registry left.
fn upload(dice: &mut Dice, known: &Known) -> Step {
    let name = if dice.chance(50) { "library/app".to_owned() } else { name(dice, known) };
    let id = dice.pick(&[
        "d61a397a-800f-427a-b0d2-5a98dcfe3b5a",
        "00000000-0000-0000-0000-000000000000",
        "D61A397A-800F-427A-B0D2-5A98DCFE3B5A",
        "d61a397a800f427ab0d25a98dcfe3b5a",
        "x",
        "a=b_c.d-e",
        "%2e%2e",
        "",
        "a%20b",
    ]);
    Step::new("GET", format!("/v2/{name}/blobs/uploads/{id}{}", dice.pick(&["", "", "/", "?_state=x", "?_state="])))
}

fn unknown(dice: &mut Dice, known: &Known) -> Step {
    let name = name(dice, known);
    let path = match dice.below(16) {
        0 => "/v2/_oci/ext/discover".to_owned(),
        1 => "/v2/x".to_owned(),
        2 => format!("/v2/{name}"),
        3 => format!("/v2/{name}/tags"),
        4 => format!("/v2/{name}/tags/list/x"),
        5 => format!("/v2/{name}/manifests/"),
        6 => format!("/v2/{name}/manifests"),
        7 => format!("/v2/{name}/blobs/"),
        8 => format!("/v2/{name}/blobs"),
        9 => "/v2/manifests/latest".to_owned(),
        10 => "/v2/_catalog/x".to_owned(),
        11 => "/v2/../v2/_catalog".to_owned(),
        12 => "/v2//_catalog".to_owned(),
        13 => "/v2/%5Fcatalog".to_owned(),
        14 => format!("/v2/{name}/blobs/uploads/x/y"),
        _ => format!("/v2/{name}/tags/other"),
    };
    Step::new("GET", path)
}
