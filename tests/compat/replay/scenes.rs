//! Sequences that write, each in a repository of its own, so that a difference in one does not make others.

use bytes::Bytes;

use super::dice::Dice;
use super::images;
use super::reads;
use super::seed::Known;
use super::step::{Act, State, Step};
use super::wire::Body;
use crate::harness::{encode, sha256, sha512};

/// The sequence of a number.
pub(super) fn scene(dice: &mut Dice, known: &Known, number: usize) -> Vec<Act> {
    let repository = format!("scene/r{number}");
    match number % 6 {
        0 | 1 => upload(dice, &repository),
        2 | 3 => images::manifests(dice, &repository),
        4 => vec![Act::new(mount(dice, known, &repository), &[])],
        _ => deletes(dice, &repository),
    }
}

/// Begins an upload.
pub(super) fn begin(repository: &str, slot: usize, query: &str) -> Step {
    Step::new("POST", format!("/v2/{repository}/blobs/uploads/{query}")).begins(slot)
}

/// Pushes a blob.
pub(super) fn push(repository: &str, slot: usize, bytes: &Bytes) -> [Step; 2] {
    let digest = sha256(bytes);
    let put = Step::upload("PUT", slot, State::Given, format!("digest={digest}")).body(Body::Sized(bytes.clone()));
    [begin(repository, slot, ""), put]
}

fn piece(dice: &mut Dice) -> Bytes {
    let length = [0, 1, 5, 10, 1000, 40_000][dice.below(6)];
    (0..length).map(|_| u8::try_from(dice.below(256)).unwrap()).collect()
}

fn wrapped(dice: &mut Dice, bytes: &Bytes) -> Body {
    if dice.chance(50) { Body::Sized(bytes.clone()) } else { Body::Chunked(bytes.clone()) }
}

/// One upload, from one of its beginnings to one of its ends, and what is asked after it.
fn upload(dice: &mut Dice, repository: &str) -> Vec<Act> {
    let query = dice.pick(&["", "", "", "", "", "", "?x=y", "?digest-algorithm=sha512", "?digest-algorithm=md5"]);
    let mut steps = vec![begin(repository, 0, query), begin(repository, 1, "")];
    let mut content = Vec::new();
    for _ in 0..1 + dice.below(5) {
        steps.push(middle(dice, repository, &mut content));
    }
    let mut acts = Act::each(steps, &[begin(repository, 0, ""), begin(repository, 1, "")]);
    let (end, named, bytes) = end(dice, repository, &content);
    let mut steps = vec![end];
    for _ in 0..2 + dice.below(3) {
        steps.push(match dice.below(8) {
            0 => Step::new("GET", format!("/v2/{repository}/blobs/{named}")),
            1 => Step::new("HEAD", format!("/v2/{repository}/blobs/{named}")),
            2 => Step::upload("GET", 0, State::Given, ""),
            3 => Step::upload("GET", 0, State::Missing, ""),
            4 => Step::upload("DELETE", 0, State::Given, ""),
            5 => Step::upload("PATCH", 0, State::Given, "").body(Body::Sized("x".into())),
            6 => Step::upload("PUT", 0, State::Given, format!("digest={named}")),
            _ => Step::new("GET", format!("/v2/{repository}/tags/list")),
        });
    }
    // What is asked after the end is asked of the blob, and of another upload.
    let put = Step::upload("PUT", 0, State::Given, format!("digest={named}")).body(Body::Sized(bytes));
    acts.extend(Act::each(steps, &[begin(repository, 0, ""), put, begin(repository, 0, "")]));
    acts
}

fn middle(dice: &mut Dice, repository: &str, content: &mut Vec<u8>) -> Step {
    let bytes = piece(dice);
    let (start, end) = (content.len(), content.len() + bytes.len().max(1) - 1);
    let patch = |state| Step::upload("PATCH", 0, state, "");
    let ranged = |text: String| patch(State::Given).header("Content-Range", text).body(Body::Sized(bytes.clone()));
    match dice.below(24) {
        0..5 => {
            content.extend_from_slice(&bytes);
            patch(State::Given).body(wrapped(dice, &bytes))
        }
        5..8 if !bytes.is_empty() => {
            content.extend_from_slice(&bytes);
            ranged(format!("{start}-{end}")).header("Content-Type", "application/octet-stream")
        }
        8 => {
            content.extend_from_slice(&bytes);
            patch(State::Given).header("Content-Type", "application/octet-stream").body(wrapped(dice, &bytes))
        }
        9 => ranged(format!("{}-{}", start + 3, end + 3)),
        10 => ranged(format!("{start}-{}", end + 5)),
        11 => {
            let text = dice.pick(&["a-b", "5", "", "bytes 0-4/*", "-", "0-", "5-2", "0-99999999999999999999", "0 - 4"]);
            ranged(text.to_owned())
        }
        12 => patch(State::Given).header("Content-Type", dice.pick(&["text/plain", "application/json"])).body(Body::Sized(bytes)),
        13 | 14 => Step::upload(dice.pick(&["GET", "HEAD"]), 0, State::Given, ""),
        15 => Step::upload(dice.pick(&["GET", "HEAD"]), 0, State::Missing, ""),
        16 => patch(State::Missing).body(Body::Sized(bytes)),
        17 => patch(State::Forged(dice.pick(&["x", "e30=", "%20", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAe30="]).to_owned())),
        18 => patch(State::Of(1)).body(Body::Sized(bytes)),
        19 => patch(State::In(format!("{repository}/other"))).body(Body::Sized(bytes)),
        20 => Step::upload(dice.pick(&["OPTIONS", "FROB", "POST"]), 0, State::Given, ""),
        21 => Step::upload("GET", 0, State::Of(1), ""),
        22 => Step::upload("DELETE", 1, State::Forged("x".to_owned()), ""),
        _ => Step::upload("GET", 0, State::In(format!("{repository}/other")), ""),
    }
}

/// The end of an upload, the digest that it names, and the bytes of that digest.
fn end(dice: &mut Dice, repository: &str, content: &[u8]) -> (Step, String, Bytes) {
    let last = piece(dice);
    let whole = Bytes::from([content, &last].concat());
    let digest = sha256(&whole);
    let put = |digest: &str| Step::upload("PUT", 0, State::Given, format!("digest={digest}"));
    let all = put(&digest).body(Body::Sized(last.clone()));
    let step = match dice.below(20) {
        0..4 => return (put(&sha256(content)), sha256(content), content.to_vec().into()),
        4..7 => all,
        7 => put(&digest).body(Body::Chunked(last)),
        8 => all.header("Content-Range", format!("{}-{}", content.len(), whole.len().max(1) - 1)),
        9 => all.header("Content-Range", format!("{}-{}", content.len() + 7, whole.len() + 6)),
        10 => put(&sha256(b"something else")).body(Body::Sized(last)),
        11 => Step::upload("PUT", 0, State::Given, "").body(Body::Sized(last)),
        12 => put(&reads::digest(dice)).body(Body::Sized(last)),
        13 => return (put(&sha512(&whole)).body(Body::Sized(last)), sha512(&whole), whole),
        14 => put(&encode(&digest)).body(Body::Sized(last)),
        15 | 16 => Step::upload("DELETE", 0, State::Given, ""),
        17 => Step::upload("DELETE", 0, State::Missing, ""),
        18 => Step::upload("PUT", 0, State::In(format!("{repository}/other")), format!("digest={digest}")).body(Body::Sized(last)),
        _ => all.header("Content-Type", "text/plain"),
    };
    (step, digest, whole)
}

fn mount(dice: &mut Dice, known: &Known, repository: &str) -> Vec<Step> {
    let (source, digest) = known.blobs[dice.below(known.blobs.len())].clone();
    let absent = sha256(b"absent");
    let mut steps = Vec::new();
    for slot in 0..3 {
        let query = match dice.below(14) {
            0..4 => format!("mount={digest}&from={source}"),
            4 => format!("mount={digest}&from=absent"),
            5 => format!("mount={digest}&from=Bad//name"),
            6 => format!("mount={}&from={source}", reads::digest(dice)),
            7 => format!("mount={absent}&from={source}"),
            8 => format!("from={source}"),
            9 => format!("mount={digest}&from={repository}"),
            10 => format!("mount={}&from={}", encode(&digest), encode(&source)),
            11 => format!("mount=&from={source}"),
            12 => format!("mount={digest}&from="),
            _ => format!("mount={absent}"),
        };
        steps.push(begin(repository, slot, &format!("{}{query}", dice.pick(&["?", "?", "?", "?", "?x=1&"]))));
        steps.push(Step::new(dice.pick(&["GET", "HEAD"]), format!("/v2/{repository}/blobs/{digest}")));
        steps.push(Step::upload("GET", slot, State::Given, ""));
    }
    steps.push(Step::new("GET", format!("/v2/{repository}/tags/list")));
    steps
}

fn deletes(dice: &mut Dice, repository: &str) -> Vec<Act> {
    let (pushes, image) = images::pushed(dice, repository);
    let mut steps = Vec::new();
    let digests = [sha256(&image.config), sha256(&image.layer), image.digest.clone(), reads::digest(dice)];
    for _ in 0..3 + dice.below(6) {
        let digest = &digests[dice.below(4)];
        let reference = dice.pick(&[digest.as_str(), "latest", "latest", "second", "absent", ".bad"]);
        let method = dice.pick(&["DELETE", "DELETE", "GET", "HEAD"]);
        steps.push(match dice.below(8) {
            0..3 => Step::new(method, format!("/v2/{repository}/blobs/{digest}")),
            3..6 => Step::new(method, format!("/v2/{repository}/manifests/{reference}")).header("Accept", image.media_type),
            6 => Step::new("DELETE", format!("/v2/{repository}/absent/{}/{digest}", dice.pick(&["blobs", "manifests"]))),
            _ => Step::new("GET", format!("/v2/{repository}/tags/list")),
        });
    }
    let mut acts = Act::each(steps, &pushes);
    acts.insert(0, Act::new(pushes, &[]));
    acts
}
