//! Sweeping: removing what a survey found, names before bytes.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::survey::spawned;
use super::{Progress, Survey};
use crate::registry::{Error, Registry};
use crate::storage::{Durability, Key, layout};

/// How many blobs are removed in one piece of work.
const PIECE: usize = 64;

/// How many pieces of work are done at a time.
const AT_ONCE: usize = 16;

impl Registry {
    /// Removes what a survey found. Names of manifests go first, then names of blobs, durably, and bytes last, so that a crash leaves
    /// nothing that points to nothing. May be given up at any time, with some of it left.
    pub async fn sweep(self: &Arc<Self>, survey: &Survey, progress: &(dyn Fn(Progress<'_>) + Sync)) -> Result<(), Error> {
        let repositories = &survey.repositories;
        // A piece for each repository, so that each directory is synced once.
        let manifests = repositories.iter().map(|repository| repository.names.iter().cloned().collect());
        let links = repositories
            .iter()
            .map(|repository| repository.layer_links.iter().map(|digest| layout::layer_link(&repository.name, digest)).collect());
        let blobs = survey.blobs.iter().map(|blob| layout::blob_data(&blob.digest)).chain(survey.empty.iter().cloned());
        let blobs: Vec<Key> = blobs.collect();
        let steps: [(Vec<Vec<Key>>, Durability); 3] = [
            (manifests.collect(), Durability::Durable),
            (links.collect(), Durability::Durable),
            (blobs.chunks(PIECE).map(<[Key]>::to_vec).collect(), Durability::Relaxed),
        ];
        let (mut done, of) = (0, steps.iter().flat_map(|(pieces, _)| pieces).map(Vec::len).sum());
        for (pieces, durability) in steps {
            let removals = stream::iter(pieces).map(|piece| {
                let registry = Arc::clone(self);
                spawned(async move {
                    registry.storage.delete_all(&piece, durability).await?;
                    Ok(piece.len())
                })
            });
            let mut removals = removals.buffer_unordered(AT_ONCE);
            while let Some(removed) = removals.try_next().await? {
                done += removed;
                progress(Progress::Removed { done, of });
            }
        }
        self.forget_referrers(survey).await
    }

    /// Removes the entries of referrers that are gone; without their manifests they count for nothing.
    async fn forget_referrers(&self, survey: &Survey) -> Result<(), Error> {
        for entry in survey.repositories.iter().flat_map(|repository| &repository.referrers) {
            match self.storage.delete(entry, Durability::Relaxed).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}
