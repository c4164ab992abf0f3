//! A request, both answers to it, and where they differ.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::wire::{Reply, Sent};
use crate::stock::Version;

/// How an answer is carried, and when; not what it says.
const CARRIAGE: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

/// What every answer says, whatever its outcome is.
const EVERYWHERE: [&str; 7] = [
    "docker-distribution-api-version",
    "ratelimit-limit",
    "ratelimit-remaining",
    "vary",
    "x-content-type-options",
    "x-request-id",
    "x-two",
];

/// What each success says of what it is about.
const OF_CONTENT: [&str; 5] = ["cache-control", "docker-content-digest", "docker-upload-uuid", "etag", "location"];

/// What a path is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Base,
    Catalog,
    Tags,
    Manifest,
    Blob,
    Uploads,
    Upload,
    Referrers,
    Other,
}

/// A request and both answers.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) version: Version,
    /// The configuration that both run with.
    pub(super) setting: &'static str,
    pub(super) route: Route,
    /// Without prefix and query.
    pub(super) path: String,
    pub(super) sent: Sent,
    pub(super) theirs: Reply,
    pub(super) ours: Reply,
}

/// What can differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    /// Status, and the code of an error. Most of what else differs where this does follows from it.
    Outcome,
    /// A refusal of ours that does not say why in the body of the specification, which no row allows.
    Unexplained,
    Header(String),
    /// The sentence of an error.
    Message,
    /// The particulars of an error.
    Detail,
    Body,
    /// The length that a HEAD tells.
    Length,
}

/// A field in which the answers differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    pub(super) field: Field,
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl Route {
    /// Of a path below the prefix.
    pub(super) fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let Some(rest) = path.strip_prefix("/v2") else { return Self::Other };
        let parts: Vec<&str> = rest.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            [""] => Self::Base,
            ["_catalog"] => Self::Catalog,
            [.., "tags", "list"] => Self::Tags,
            [.., "manifests", _] => Self::Manifest,
            [.., "referrers", _] => Self::Referrers,
            [.., "blobs", "uploads"] => Self::Uploads,
            [.., "blobs", "uploads", _] => Self::Upload,
            [.., "blobs", _] => Self::Blob,
            _ => Self::Other,
        }
    }
}

impl Exchange {
    /// Status and code of both.
    pub(super) fn outcomes(&self) -> (String, String) {
        (outcome(&self.theirs), outcome(&self.ours))
    }

    /// Where the answers differ.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let (theirs, ours) = self.outcomes();
        let mut found: Vec<_> = self.unexplained().into_iter().collect();
        // A refusal without a code is one in plain text, which is a difference of bodies.
        if self.theirs.status != self.ours.status || (theirs != ours && errors(&self.theirs).is_some()) {
            let is_success = |reply: &Reply| matches!(reply.status, 200..=206 | 304);
            let are_successes = is_success(&self.theirs) && is_success(&self.ours);
            found.extend(self.headers(|name| EVERYWHERE.contains(&name) || (are_successes && OF_CONTENT.contains(&name))));
            found.push(Difference { field: Field::Outcome, theirs, ours });
            return found;
        }
        found.extend(self.headers(|name| !CARRIAGE.contains(&name)));
        let differ = |field, theirs: String, ours: String| (theirs != ours).then_some(Difference { field, theirs, ours });
        // The length of a refusal is that of what it says, which GET shows.
        if self.sent.method == "HEAD" && matches!(self.theirs.status, 200 | 206) {
            let [theirs, ours] = [&self.theirs, &self.ours].map(|reply| reply.header("content-length"));
            found.extend(differ(Field::Length, theirs, ours));
        }
        match (errors(&self.theirs), errors(&self.ours)) {
            (Some(theirs), Some(ours)) => {
                let all = |errors: &[Value], key: &str| errors.iter().map(|error| error[key].to_string()).collect::<Vec<_>>().join(" ");
                found.extend(differ(Field::Message, all(&theirs, "message"), all(&ours, "message")));
                found.extend(differ(Field::Detail, all(&theirs, "detail"), all(&ours, "detail")));
            }
            _ => found.extend(differ(Field::Body, text(&self.theirs), text(&self.ours))),
        }
        found
    }

    /// What is wrong with a refusal of ours, whatever theirs says.
    fn unexplained(&self) -> Option<Difference> {
        let reply = &self.ours;
        let is_explained = reply.header("content-type") == "application/json" && (self.sent.method == "HEAD" || errors(reply).is_some());
        let found = || Difference { field: Field::Unexplained, theirs: outcome(&self.theirs), ours: text(reply) };
        (reply.status >= 400 && reply.status != 412 && !is_explained).then(found)
    }

    fn headers(&self, is_compared: impl Fn(&str) -> bool) -> Vec<Difference> {
        let names: BTreeSet<&str> =
            [&self.theirs, &self.ours].iter().flat_map(|reply| &reply.headers).map(|(name, _)| name.as_str()).collect();
        let differing = names.into_iter().filter(|name| is_compared(name)).filter_map(|name| {
            let (theirs, ours) = (self.theirs.header(name), self.ours.header(name));
            (theirs != ours).then(|| Difference { field: Field::Header(name.to_owned()), theirs, ours })
        });
        differing.collect()
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sent { method, target, headers, body } = &self.sent;
        let mut body = format!("{body:?}");
        body.truncate(body.char_indices().nth(300).map_or(body.len(), |(at, _)| at));
        writeln!(f, "{:?} {}: {method} {target} {headers:?} {body}", self.version, self.setting)?;
        for (whose, reply) in [("theirs", &self.theirs), ("ours", &self.ours)] {
            writeln!(f, "  {whose}: {} {:?} {}", reply.status, reply.headers, text(reply))?;
        }
        Ok(())
    }
}

/// The status and, of an error, its code.
pub(super) fn outcome(reply: &Reply) -> String {
    let codes = errors(reply).map(|errors| errors.iter().map(|error| error["code"].as_str().unwrap_or("?").to_owned()).collect::<Vec<_>>());
    match codes {
        Some(codes) => format!("{} {}", reply.status, codes.join(" ")),
        None => reply.status.to_string(),
    }
}

fn errors(reply: &Reply) -> Option<Vec<Value>> {
    let body: Value = (reply.status >= 400).then(|| serde_json::from_slice(&reply.body).ok()).flatten()?;
    body["errors"].as_array().cloned()
}

fn text(reply: &Reply) -> String {
    match std::str::from_utf8(&reply.body) {
        Ok(text) if text.len() < 2000 => text.to_owned(),
        _ => format!("{} bytes, {}", reply.body.len(), crate::harness::sha256(&reply.body)),
    }
}
