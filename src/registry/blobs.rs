//! Blobs: looking at them, opening, mounting and deleting them.

use std::sync::Arc;

use super::{Error, Registry, Repository, Sight, finish};
use crate::oci::{Algorithm, Digest};
use crate::storage::{Content, layout};

/// A blob that has been opened.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The digest it was asked for by.
    pub digest: Digest,
    /// Its bytes.
    pub content: Content,
}

/// Where a blob that is to be mounted is looked for.
pub enum MountSource<'a> {
    /// In these repositories.
    Among(&'a [Repository]),
    /// In every repository in sight. The work does not tell whether it lies in one that is not.
    InSight(Sight<'a>),
    /// In every repository.
    Anywhere,
}

impl Repository {
    /// Opens a blob of this repository. What was opened stays readable when the blob is deleted.
    pub async fn blob(&self, digest: &Digest) -> Result<Blob, Error> {
        let unknown = || Error::BlobUnknown(digest.clone());
        let canonical = self.follow(&layout::layer_link(&self.name, digest)).await?.ok_or_else(unknown)?;
        match self.storage().open(&layout::blob_data(&canonical)).await {
            Ok(content) => Ok(Blob { digest: digest.clone(), content }),
            Err(error) if error.is_not_found() => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a blob of another repository this one's as well, without moving bytes. Whether it was found.
    pub async fn mount_blob(&self, digest: &Digest, source: MountSource<'_>) -> Result<bool, Error> {
        drop(self.change()?);
        let found = match source {
            MountSource::Among(sources) => locate_among(sources, digest).await?,
            MountSource::InSight(sight) => self.registry.find_blob(digest, sight).await?,
            MountSource::Anywhere => self.registry.find_blob_anywhere(digest).await?,
        };
        let Some(canonical) = found else { return Ok(false) };
        let change = self.change()?;
        // A collection may have come between.
        if !self.has_bytes(&canonical).await? {
            return Ok(false);
        }
        let (repository, digest) = (self.clone(), digest.clone());
        finish(async move {
            let _change = change;
            repository.link_blob(&digest, &canonical).await
        })
        .await?;
        Ok(true)
    }

    /// Takes a blob out of this repository, under this name of it. The bytes stay until they are collected.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), Error> {
        let change = self.deletion()?;
        let (repository, digest) = (self.clone(), digest.clone());
        finish(async move {
            let _change = change;
            let _guard = repository.registry.locks.removing_from(&repository.name).await;
            let link = layout::layer_link(&repository.name, &digest);
            if repository.locate_blob(&digest).await?.is_some() && repository.unlink(&link).await? {
                repository.registry.changes.deleted(&repository.name, &digest);
                Ok(())
            } else {
                Err(Error::BlobUnknown(digest))
            }
        })
        .await
    }
}

impl Registry {
    /// Looks for a blob in every repository. The bytes are looked for first, since most often they are not there.
    async fn find_blob_anywhere(self: &Arc<Self>, digest: &Digest) -> Result<Option<Digest>, Error> {
        let is_canonical = digest.algorithm() == Algorithm::Sha256;
        if is_canonical && self.storage.stat(&layout::blob_data(digest)).await.is_err_and(|error| error.is_not_found()) {
            return Ok(None);
        }
        self.find_blob(digest, Sight::ALL).await
    }

    /// Looks for a blob in every repository in sight.
    async fn find_blob(self: &Arc<Self>, digest: &Digest, sight: Sight<'_>) -> Result<Option<Digest>, Error> {
        let _turn = self.walks.acquire().await;
        let mut walk = self.walk(None, sight);
        while let Some(name) = walk.next().await? {
            if let Some(canonical) = self.repository(name).locate_blob(digest).await? {
                return Ok(Some(canonical));
            }
        }
        Ok(None)
    }
}

async fn locate_among(sources: &[Repository], digest: &Digest) -> Result<Option<Digest>, Error> {
    for source in sources {
        if let Some(canonical) = source.locate_blob(digest).await? {
            return Ok(Some(canonical));
        }
    }
    Ok(None)
}
