//! One of the two registries, and which of its uploads is which.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::Value;
use url::form_urlencoded;

use super::step::{Slot, State, Step, Target};
use super::wire::{Reply, Sent, Wire};

/// The length of the signature in front of an upload's state.
const SIGNATURE: usize = 32;

/// An upload that a sequence counts on and that did not begin.
const ABSENT: &str = "v2/absent/blobs/uploads/00000000-0000-0000-0000-000000000000";

/// A registry that is asked.
pub(super) struct Side {
    wire: Wire,
    prefix: &'static str,
    /// Path and query of the last Location of each upload.
    locations: BTreeMap<Slot, String>,
    /// The ids of uploads.
    ids: Vec<(String, Slot)>,
}

impl Side {
    pub(super) fn new(address: SocketAddr, prefix: &'static str) -> Self {
        Self { wire: Wire::to(address), prefix, locations: BTreeMap::new(), ids: Vec::new() }
    }

    /// Forgets the uploads of the sequence before.
    pub(super) fn begin_scene(&mut self) {
        self.locations.clear();
        self.ids.clear();
    }

    /// The request as this registry gets it.
    pub(super) fn address(&self, step: &Step) -> Sent {
        let target = match &step.target {
            Target::Path(path) => format!("{}{}", self.prefix, &path[1..]),
            Target::Outside(path) => path.clone(),
            Target::Upload { slot, state, query } => self.upload(*slot, state, query),
        };
        Sent { method: step.method.clone(), target, headers: step.headers.clone(), body: step.body.clone() }
    }

    fn upload(&self, slot: Slot, state: &State, query: &str) -> String {
        let location = |slot| self.locations.get(&slot).cloned().unwrap_or_else(|| format!("{}{ABSENT}", self.prefix));
        let given = location(slot);
        let (path, known) = given.split_once('?').unwrap_or((&given, ""));
        let (path, known) = match state {
            State::Given => (path.to_owned(), known.to_owned()),
            State::Missing => (path.to_owned(), String::new()),
            State::Forged(text) => (path.to_owned(), format!("_state={text}")),
            State::Of(other) => (path.to_owned(), location(*other).split_once('?').map_or(String::new(), |(_, known)| known.to_owned())),
            State::In(repository) => {
                let id = path.rsplit('/').next().unwrap_or_default();
                (format!("{}v2/{repository}/blobs/uploads/{id}", self.prefix), known.to_owned())
            }
        };
        let query: Vec<_> = [known.as_str(), query].into_iter().filter(|part| !part.is_empty()).collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// Sends it; what came back, with the names of uploads in the place of their ids.
    pub(super) async fn send(&mut self, sent: &Sent, slot: Option<Slot>) -> Reply {
        let mut reply = self.wire.send(sent).await;
        if let Some(slot) = slot {
            self.learn(&reply, slot);
        }
        // The boundary of parts is random.
        let boundary = reply.header("content-type").split_once("boundary=").map(|(_, boundary)| boundary.to_owned());
        if let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) {
            reply.body = replaced(&reply.body, boundary.as_bytes());
            reply.headers.iter_mut().for_each(|(_, value)| *value = value.replace(&boundary, "BOUNDARY"));
        }
        for (_, value) in &mut reply.headers {
            *value = self.named(value);
        }
        if let Ok(text) = std::str::from_utf8(&reply.body) {
            reply.body = self.named(text).into_bytes();
        }
        reply
    }

    fn learn(&mut self, reply: &Reply, slot: Slot) {
        let id = reply.header("docker-upload-uuid");
        if !id.is_empty() {
            self.ids.push((id, slot));
        }
        let location = reply.header("location");
        if location.contains("/blobs/uploads/") {
            let path = location.split_once("://").map_or(location.as_str(), |(_, rest)| &rest[rest.find('/').unwrap_or_default()..]);
            self.locations.insert(slot, path.to_owned());
        }
    }

    /// A text with names in the place of ids and what it says in the place of a state.
    pub(super) fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some((before, state)) = text.clone().split_once("_state=") {
            let end = state.find(['&', '"', '>']).unwrap_or(state.len());
            text = format!("{before}_state={}{}", said(&state[..end]), &state[end..]);
        }
        for (id, slot) in &self.ids {
            text = text.replace(id, &format!("UPLOAD-{slot}"));
        }
        text
    }
}

/// What a state says, without when the upload began.
fn said(state: &str) -> String {
    let decoded = form_urlencoded::parse(format!("x={state}").as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default();
    let bytes = URL_SAFE.decode(decoded).unwrap_or_default();
    let json: Value = bytes.get(SIGNATURE..).and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
    if json.is_null() { state.to_owned() } else { format!("({} {} {})", json["Name"], json["UUID"], json["Offset"]) }
}

/// Bytes with a word in the place of each occurrence of some others.
fn replaced(bytes: &[u8], from: &[u8]) -> Vec<u8> {
    let mut rest = bytes;
    let mut result = Vec::new();
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(b"BOUNDARY");
        rest = &rest[at + from.len()..];
    }
    [&result, rest].concat()
}
