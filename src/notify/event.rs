//! The form of an event, and of the envelope that it is sent in: that of registry 3, field by field and in its order.

use serde::{Deserialize, Serialize};
use serde_json::Serializer;
use serde_json::ser::PrettyFormatter;
use time::OffsetDateTime;
use uuid::Uuid;

use super::references::Reference;

/// What an envelope is announced as.
pub(super) const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v2+json";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Something was read.
    Pull,
    /// Something was written.
    Push,
    /// A blob of another repository has become this one's as well.
    Mount,
    /// Something was removed.
    Delete,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Mount, Self::Delete];

    /// As it stands in events and in `ignore.actions`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Mount => "mount",
            Self::Delete => "delete",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Names it, however often it is sent.
    pub id: String,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// What was done.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// By which request.
    pub request: Asker,
    /// By whom.
    pub actor: Actor,
    /// Who tells.
    pub source: Source,
}

/// What something was done to. A descriptor is always there, be it empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Target {
    /// Its type; of a blob `application/octet-stream`, of what was removed nothing.
    pub media_type: String,
    /// Its digest; empty when only a tag was removed.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// The same again, as the first form of the envelope had it.
    #[serde(skip_serializing_if = "is_zero")]
    pub length: u64,
    /// The repository.
    pub repository: String,
    /// The repository that a blob was mounted from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from_repository: String,
    /// Where it can be pulled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The tag that it was asked for by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// What a manifest points to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
}

/// The request that it happened by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asker {
    /// As the logs name it.
    pub id: String,
    /// The client's address, with its port where that is known.
    #[serde(rename = "addr", skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The host that it asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Its method.
    pub method: String,
    /// What the client says it is.
    #[serde(rename = "useragent")]
    pub user_agent: String,
}

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// As the logs name them; nothing for nobody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// The registry that tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The name of its host, and the port that it listens on.
    #[serde(rename = "addr")]
    pub address: String,
    /// Another one after each start.
    #[serde(rename = "instanceID")]
    pub instance: String,
}

impl Event {
    /// An event with a name of its own.
    pub fn new(action: Action, target: Target, request: Asker, actor: String, source: Source) -> Self {
        let (id, timestamp) = (Uuid::now_v7().to_string(), OffsetDateTime::now_utc());
        Self { id, timestamp, action, target, request, actor: Actor { name: actor }, source }
    }

    /// The envelope around it, byte for byte as Go's encoder indents it.
    pub(super) fn envelope(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            events: [&'a Event; 1],
        }
        let mut bytes = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   "));
        Envelope { events: [self] }.serialize(&mut serializer).expect("an event was read from JSON and is JSON again");
        bytes
    }
}

impl Target {
    /// Something that has bytes.
    pub fn of(repository: &str, media_type: &str, digest: &str, size: u64, url: String) -> Self {
        let (media_type, digest) = (media_type.to_owned(), digest.to_owned());
        Self { media_type, digest, size, length: size, repository: repository.to_owned(), url, ..Self::default() }
    }

    /// A blob or manifest that was removed.
    pub fn removed(repository: &str, digest: &str) -> Self {
        Self { digest: digest.to_owned(), repository: repository.to_owned(), ..Self::default() }
    }

    /// A tag that was removed.
    pub fn removed_tag(repository: &str, tag: &str) -> Self {
        Self { tag: tag.to_owned(), repository: repository.to_owned(), ..Self::default() }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
