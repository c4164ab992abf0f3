//! Removing uploads that nobody goes on with.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::info;
use uuid::Uuid;

use super::{Error, PurgeEffect, Registry, Repository, UploadPurging};
use crate::oci::Name;
use crate::storage::{Durability, layout};

/// What a round of purging found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Uploads that were too old, and were removed unless the round was a dry run.
    pub purged: Vec<(Name, String)>,
    /// How many were young enough, or being written to.
    pub kept: usize,
}

impl Registry {
    /// Removes the uploads that were begun too long ago; of those that do not say when, the ones last changed too long ago.
    pub async fn purge_uploads(self: &Arc<Self>, rules: UploadPurging, now: SystemTime) -> Result<PurgeReport, Error> {
        let mut report = PurgeReport::default();
        let mut walk = self.walk(None);
        while let Some(name) = walk.next().await? {
            self.repository(name).purge_uploads(rules, now, &mut report).await?;
        }
        Ok(report)
    }
}

impl Repository {
    async fn purge_uploads(&self, rules: UploadPurging, now: SystemTime, report: &mut PurgeReport) -> Result<(), Error> {
        let entries = match self.storage().list(&layout::uploads(&self.name)).await {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let Ok(id) = entry.name.parse::<Uuid>() else { continue };
            let begun = self.begun(id).await?;
            let is_old = begun.is_some_and(|begun| now.duration_since(begun).is_ok_and(|age| age > rules.age));
            // The lease keeps everybody from going on with it meanwhile; who holds one already goes on.
            let lease = if is_old { self.registry.uploads.lease(id).ok() } else { None };
            let Some(lease) = lease else {
                report.kept += 1;
                continue;
            };
            if rules.effect == PurgeEffect::Remove {
                lease.forget();
                self.storage().delete(&layout::upload(&self.name, id).session, Durability::Relaxed).await?;
            }
            info!(repo.name = %self.name, upload.id = %id, effect = ?rules.effect, "an abandoned upload is purged");
            report.purged.push((self.name.clone(), entry.name));
        }
        Ok(())
    }

    async fn begun(&self, id: Uuid) -> Result<Option<SystemTime>, Error> {
        match self.upload_status(id).await {
            Ok(status) => return Ok(Some(SystemTime::from(status.started_at))),
            Err(Error::UploadUnknown(_)) => {}
            Err(error) => return Err(error),
        }
        match self.storage().stat(&layout::upload(&self.name, id).session).await {
            Ok(metadata) => Ok(Some(metadata.modified)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
