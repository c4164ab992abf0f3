//! Every key of the registry:2 tree, and our own beside them.
//!
//! Keys are relative to `docker/registry/v2`. Ours stand where a stock registry does not look: below a name that begins with
//! `_` inside a repository or directly under `repositories`. Invariant: a [`Key`] is made of typed parts only, so that it
//! cannot leave the root.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::UploadKeys;
use crate::oci::{Algorithm, Digest, Name, Tag};

/// A place in the store: a path with `/` between its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as text, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key that this one lies directly below; the key itself at the top.
    pub fn parent(&self) -> Self {
        self.0.rsplit_once('/').map_or_else(|| self.clone(), |(parent, _)| Self(parent.into()))
    }

    fn child(&self, name: &str) -> Self {
        Self::new(format!("{self}/{name}"))
    }

    fn new(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bytes of any content: layer, configuration or manifest.
pub fn blob_data(digest: &Digest) -> Key {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    Key::new(format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2]))
}

/// Below it lie the bytes of all content, by algorithm, then by the first two digits of the digest, then by the digest.
pub fn blobs() -> Key {
    Key::new("blobs".to_owned())
}

/// Below it lies content whose digests are of an algorithm, by their first two digits.
pub fn blobs_of(algorithm: Algorithm) -> Key {
    blobs().child(algorithm.as_str())
}

/// Below it lies content whose digests begin with the digits of `shard`, which a listing of [`blobs_of`] gave.
pub fn blob_shard(algorithm: Algorithm, shard: &str) -> Key {
    blobs_of(algorithm).child(shard)
}

/// Below it lie the repositories.
pub fn repositories() -> Key {
    Key::new("repositories".to_owned())
}

/// Below it lie, beside the repository's own names, the repositories whose names go on from its name. `path` is made of names
/// that a listing of [`repositories`] gave.
pub fn repository_path(path: &str) -> Key {
    Key::new(format!("repositories/{path}"))
}

/// Below it lie the blobs that a repository may serve, by algorithm.
pub fn layers(name: &Name, algorithm: Algorithm) -> Key {
    Key::new(format!("repositories/{name}/_layers/{}", algorithm.as_str()))
}

/// Says that the repository may serve this blob; its content is the digest under which the bytes lie.
pub fn layer_link(name: &Name, digest: &Digest) -> Key {
    Key::new(format!("repositories/{name}/_layers/{}/{}/link", digest.algorithm().as_str(), digest.hex()))
}

/// Below it lie the manifests of a repository, by algorithm.
pub fn revisions(name: &Name, algorithm: Algorithm) -> Key {
    Key::new(format!("repositories/{name}/_manifests/revisions/{}", algorithm.as_str()))
}

/// Says that the manifest belongs to the repository; its content is the digest under which the bytes lie.
pub fn revision_link(name: &Name, digest: &Digest) -> Key {
    Key::new(format!("repositories/{name}/_manifests/revisions/{}/{}/link", digest.algorithm().as_str(), digest.hex()))
}

/// Below it lie the tags of a repository.
pub fn tags(name: &Name) -> Key {
    Key::new(format!("repositories/{name}/_manifests/tags"))
}

/// Below it lie what a tag points to and what it pointed to before.
pub fn tag(name: &Name, tag: &Tag) -> Key {
    Key::new(format!("repositories/{name}/_manifests/tags/{tag}"))
}

/// What a tag points to now.
pub fn tag_current(name: &Name, tag: &Tag) -> Key {
    Key::new(format!("repositories/{name}/_manifests/tags/{tag}/current/link"))
}

/// Below it lie the manifests that a tag ever pointed to, by algorithm.
pub fn tag_histories(name: &Name, tag: &Tag, algorithm: Algorithm) -> Key {
    Key::new(format!("repositories/{name}/_manifests/tags/{tag}/index/{}", algorithm.as_str()))
}

/// Says that a tag pointed to this manifest at some time.
pub fn tag_history(name: &Name, tag: &Tag, digest: &Digest) -> Key {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    Key::new(format!("repositories/{name}/_manifests/tags/{tag}/index/{algorithm}/{hex}/link"))
}

/// Ours: the sha512 name by which a tag was set. What the tag points to stays a sha256 name: a stock `garbage-collect -m` takes
/// a manifest for untagged whose tag says otherwise, and removes it.
pub fn tag_name(name: &Name, tag: &Tag) -> Key {
    Key::new(format!("repositories/{name}/_names/{tag}/link"))
}

/// Below it lie the uploads under way.
pub fn uploads(name: &Name) -> Key {
    Key::new(format!("repositories/{name}/_uploads"))
}

/// Where one upload keeps what belongs to it.
pub fn upload(name: &Name, id: Uuid) -> UploadKeys {
    let session = Key::new(format!("repositories/{name}/_uploads/{id}"));
    let (data, started_at) = (session.child("data"), session.child("startedat"));
    UploadKeys { session, data, started_at }
}

/// Ours: below it lie the descriptors of the manifests that refer to a subject.
pub fn referrers(name: &Name, subject: &Digest) -> Key {
    Key::new(format!("repositories/{name}/_referrers/{}/{}", subject.algorithm().as_str(), subject.hex()))
}

/// Ours: the descriptor of one manifest that refers to a subject.
pub fn referrer(name: &Name, subject: &Digest, referrer: &Digest) -> Key {
    let (algorithm, hex) = (referrer.algorithm().as_str(), referrer.hex());
    Key::new(format!("repositories/{name}/_referrers/{}/{}/{algorithm}-{hex}", subject.algorithm().as_str(), subject.hex()))
}

/// Ours: the state of the revisions up to which the entries of referrers are complete.
pub fn referrers_marker(name: &Name) -> Key {
    Key::new(format!("repositories/{name}/_referrers/complete"))
}

/// Ours: below it lie files on their way to their keys; emptied at start.
pub fn staging() -> Key {
    Key::new("repositories/_staging".to_owned())
}
