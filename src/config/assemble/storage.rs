//! The rules of `storage`.

use std::path::PathBuf;
use std::time::Duration;

use super::Rules;
use crate::config::problem::{Origin, Severity};
use crate::registry::{self, Deletion, Mode, PurgeEffect, UploadPurging};
use crate::storage;

const DRIVERS: [&str; 8] = ["filesystem", "inmemory", "s3", "s3aws", "azure", "gcs", "oss", "swift"];
const ROOT_DIRECTORY: &str = "/var/lib/registry";
const HOUR: Duration = Duration::from_secs(3600);
const PURGING: &str = "storage.maintenance.uploadpurging";

impl Rules<'_> {
    pub(super) fn storage(&mut self) -> storage::Options {
        let chosen: Vec<(&str, &Origin)> =
            DRIVERS.into_iter().filter_map(|name| Some((name, self.settings.origin(&format!("storage.{name}"))?))).collect();
        match chosen.as_slice() {
            [] => self.problem("storage", "no storage driver; write `filesystem: {rootdirectory: /var/lib/registry}` below `storage`"),
            [_] => {}
            many => {
                let names = many.iter().map(|(name, origin)| format!("`{name}` ({origin})")).collect::<Vec<_>>().join(" and ");
                let advice = "keep one (REGISTRY_STORAGE=NAME replaces the whole section of the file)";
                self.report.problem(None, "storage", format_args!("only one driver can be used, and there are {names}; {advice}"));
            }
        }
        self.cache();
        if self.settings.integer("storage.tag.concurrencylimit").is_some_and(|limit| limit < 0) {
            self.problem("storage.tag.concurrencylimit", "must not be below 0; 0 means as many as there are processors");
        }
        let root = self.settings.text("storage.filesystem.rootdirectory").unwrap_or(ROOT_DIRECTORY);
        storage::Options { root_directory: PathBuf::from(root) }
    }

    fn cache(&mut self) {
        for key in ["storage.cache.blobdescriptor", "storage.cache.layerinfo"] {
            match self.settings.text(key) {
                None | Some("inmemory") => {}
                Some("redis") => self.notice(Severity::Info, key, "redis is not used: descriptors are read from the storage"),
                Some(other) => {
                    self.notice(Severity::Warning, key, format_args!("`{other}` is not a cache; inmemory and redis are"));
                }
            }
        }
    }

    pub(super) fn registry(&mut self) -> registry::Options {
        let on = |key: &str| self.settings.truth(key) == Some(true);
        registry::Options {
            delete: if on("storage.delete.enabled") { Deletion::Enabled } else { Deletion::Disabled },
            mode: if on("storage.maintenance.readonly.enabled") { Mode::ReadOnly } else { Mode::ReadWrite },
            upload_purging: self.upload_purging(),
            largest_blob: self.largest_blob(),
            reserve: self.reserve(),
            validation: self.validation(),
        }
    }

    fn upload_purging(&mut self) -> Option<UploadPurging> {
        let key = |name: &str| format!("{PURGING}.{name}");
        if self.settings.truth(&key("enabled")) == Some(false) {
            return None;
        }
        if let Some(Origin::File { .. }) = self.settings.origin(PURGING) {
            let missing: Vec<&str> =
                ["age", "interval", "dryrun"].into_iter().filter(|name| self.settings.origin(&key(name)).is_none()).collect();
            if !missing.is_empty() {
                let text =
                    format!("{} missing; a block that is written needs age, interval and dryrun, or `enabled: false`", missing.join(", "));
                self.problem(PURGING, text);
            }
        }
        let interval = self.settings.duration(&key("interval")).unwrap_or(24 * HOUR);
        if interval.is_zero() {
            self.problem(&key("interval"), "must be longer than 0; write 24h, or switch purging off with `enabled: false`");
        }
        let dry = self.settings.truth(&key("dryrun")) == Some(true);
        Some(UploadPurging {
            age: self.settings.duration(&key("age")).unwrap_or(168 * HOUR),
            interval,
            effect: if dry { PurgeEffect::DryRun } else { PurgeEffect::Remove },
        })
    }
}
