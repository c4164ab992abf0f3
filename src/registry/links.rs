//! Reading and writing links: small files that say "this repository may serve this digest".

use bytes::Bytes;
use tracing::warn;

use super::{Error, Repository};
use crate::oci::{Algorithm, Digest};
use crate::storage::{Durability, Key, layout};

/// What a link says.
pub(super) enum Link {
    /// Where it points.
    To(Digest),
    /// It is there and holds no digest.
    Broken,
    /// There is none.
    Absent,
}

impl Repository {
    /// Reads a link.
    pub(super) async fn read_link(&self, link: &Key) -> Result<Link, Error> {
        let content = match self.storage().read(link).await {
            Ok(content) => content,
            Err(error) if error.is_not_found() => return Ok(Link::Absent),
            Err(error) => return Err(error.into()),
        };
        let digest = std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok());
        Ok(digest.map_or(Link::Broken, Link::To))
    }

    /// The digest that a link holds. A link that is empty or unreadable as a digest counts as absent: crashes of registry:2
    /// leave such.
    pub(super) async fn follow(&self, link: &Key) -> Result<Option<Digest>, Error> {
        Ok(match self.read_link(link).await? {
            Link::To(digest) => Some(digest),
            Link::Broken => {
                warn!(link.key = %link, "a link does not hold a digest and counts as absent");
                None
            }
            Link::Absent => None,
        })
    }

    /// Writes a link, durably. Without a newline: a stock registry answers 500 to one.
    pub(super) async fn link(&self, link: &Key, target: &Digest) -> Result<(), Error> {
        let content = Bytes::copy_from_slice(target.as_str().as_bytes());
        Ok(self.storage().write(link, content, Durability::Durable).await?)
    }

    /// Removes a link with the directory that it is alone in, durably. Whether there was one.
    pub(super) async fn unlink(&self, link: &Key) -> Result<bool, Error> {
        match self.storage().delete(&link.parent(), Durability::Durable).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The digest under which the bytes of a blob of this repository lie, when they are there.
    pub(super) async fn locate_blob(&self, digest: &Digest) -> Result<Option<Digest>, Error> {
        let Some(canonical) = self.follow(&layout::layer_link(&self.name, digest)).await? else { return Ok(None) };
        Ok(self.has_bytes(&canonical).await?.then_some(canonical))
    }

    /// Whether a manifest belongs to this repository and its bytes are there.
    pub(super) async fn has_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        match self.follow(&layout::revision_link(&self.name, digest)).await? {
            Some(canonical) => self.has_bytes(&canonical).await,
            None => Ok(false),
        }
    }

    pub(super) async fn has_bytes(&self, canonical: &Digest) -> Result<bool, Error> {
        match self.storage().stat(&layout::blob_data(canonical)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The links of a blob under the name asked for and, where that is another, under its canonical name.
    pub(super) async fn link_blob(&self, digest: &Digest, canonical: &Digest) -> Result<(), Error> {
        let _guard = self.registry.locks.adding_to(&self.name).await;
        self.registry.changes.pushed(&self.name, canonical);
        let link = layout::layer_link(&self.name, digest);
        if digest.algorithm() == Algorithm::Sha256 {
            return self.link(&link, canonical).await;
        }
        let canonical_link = layout::layer_link(&self.name, canonical);
        let (one, other) = futures_util::join!(self.link(&link, canonical), self.link(&canonical_link, canonical));
        one.and(other)
    }
}
