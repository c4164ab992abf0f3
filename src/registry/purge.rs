//! Removing uploads that nobody goes on with.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};
use uuid::Uuid;

use super::{Error, PurgeEffect, Registry, Repository, Sight, UploadPurging};
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
        let mut walk = self.walk(None, Sight::ALL);
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
            match self.purge_upload(id, rules, now).await {
                Ok(true) => {
                    info!(repo.name = %self.name, upload.id = %id, effect = ?rules.effect, "an abandoned upload is purged");
                    report.purged.push((self.name.clone(), entry.name));
                }
                Ok(false) => report.kept += 1,
                Err(error) => {
                    warn!(repo.name = %self.name, upload.id = %id, %error, "an upload cannot be purged and is passed over");
                    report.kept += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether an upload was too old. Its lease comes first: it keeps everybody from going on with it, and its time from changing.
    async fn purge_upload(&self, id: Uuid, rules: UploadPurging, now: SystemTime) -> Result<bool, Error> {
        let Ok(lease) = self.registry.uploads.lease(id) else { return Ok(false) };
        let begun = self.begun(id).await?;
        if !begun.is_some_and(|begun| now.duration_since(begun).is_ok_and(|age| age > rules.age)) {
            return Ok(false);
        }
        if rules.effect == PurgeEffect::Remove {
            lease.forget();
            self.storage().delete(&layout::upload(&self.name, id).session, Durability::Relaxed).await?;
        }
        Ok(true)
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
