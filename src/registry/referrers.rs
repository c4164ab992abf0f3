//! Referrers: which manifests name another one as their subject.
//!
//! The truth is in the manifests. Beside it, for speed, lies one entry a referrer under `_referrers`, where a stock registry does
//! not look, and a marker with the state of the revisions up to which the entries are complete. An entry counts only while its
//! manifest is in the repository; one that a stock registry pushed, or that lost its entry, is found because the marker no longer
//! fits, and then only the revisions that this process has not looked at are read.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use moka::sync::Cache;
use serde::Deserialize;
use tracing::warn;

use super::{Error, Repository, finish};
use crate::oci::{Algorithm, Descriptor, Digest, Manifest, Reference, Tag};
use crate::storage::{Durability, layout};

/// How many revisions are remembered as looked at, over all repositories.
const REMEMBERED: u64 = 100_000;

/// What a repository counts for at most, so that the largest is remembered too.
const LARGEST: usize = 25_000;

/// The revisions that this process has looked at, by repository.
#[derive(Debug)]
pub(super) struct Examined(Cache<String, Arc<HashSet<Digest>>>);

impl Default for Examined {
    fn default() -> Self {
        let weight = |_: &String, revisions: &Arc<HashSet<Digest>>| revisions.len().clamp(1, LARGEST) as u32;
        Self(Cache::builder().max_capacity(REMEMBERED).weigher(weight).time_to_idle(Duration::from_secs(3600)).build())
    }
}

impl Examined {
    /// Drops all.
    pub(super) fn forget(&self) {
        self.0.invalidate_all();
    }
}

/// A manifest with the one that it refers to.
struct Referrer {
    subject: Digest,
    descriptor: Descriptor,
}

/// The list that a client keeps under a tag where a registry has no referrers API.
#[derive(Deserialize)]
struct FallbackIndex {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Repository {
    /// The manifests that refer to a subject, sorted by digest; none for an unknown one.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let repository = self.clone();
        let left = finish(async move { repository.complete_referrers().await }).await?;
        let left = left.into_iter().filter(|one| one.subject == *subject).map(|one| one.descriptor);
        let mut found = BTreeMap::new();
        for descriptor in self.entered_referrers(subject).await?.into_iter().chain(left).chain(self.fallback_referrers(subject).await?) {
            if !found.contains_key(&descriptor.digest) && self.has_manifest(&descriptor.digest).await? {
                found.insert(descriptor.digest.clone(), descriptor);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Records a manifest under its subject, when it has one.
    pub(super) async fn enter_referrer(&self, manifest: &Manifest, digest: &Digest, size: u64) -> Result<(), Error> {
        let Some(subject) = manifest.subject() else { return Ok(()) };
        let descriptor = manifest.as_referrer(digest.clone(), size);
        let entry = serde_json::to_vec(&descriptor).expect("a descriptor has no map with keys that are not text");
        let key = layout::referrer(&self.name, subject, digest);
        Ok(self.storage().write(&key, Bytes::from(entry), Durability::Durable).await?)
    }

    /// The revisions of an algorithm, sorted; directories that a delete by a stock registry leaves are among them.
    pub(super) async fn revisions(&self, algorithm: Algorithm) -> Result<Vec<Digest>, Error> {
        let entries = match self.storage().list(&layout::revisions(&self.name, algorithm)).await {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let digests = entries.into_iter().filter_map(|entry| format!("{}:{}", algorithm.as_str(), entry.name).parse().ok());
        Ok(digests.collect())
    }

    async fn entered_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let key = layout::referrers(&self.name, subject);
        let entries = match self.storage().list(&key).await {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut descriptors = Vec::with_capacity(entries.len());
        for digest in entries.iter().filter_map(|entry| entry.name.replacen('-', ":", 1).parse().ok()) {
            let key = layout::referrer(&self.name, subject, &digest);
            match serde_json::from_slice(&self.storage().read(&key).await?) {
                Ok(descriptor) => descriptors.push(descriptor),
                Err(error) => warn!(entry.key = %key, %error, "an entry of a referrer cannot be read and is passed over"),
            }
        }
        Ok(descriptors)
    }

    async fn fallback_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        match self.manifest(&Reference::Tag(Tag::of_referrers(subject))).await {
            Ok(index) if index.media_type.is_index() => {
                Ok(serde_json::from_slice::<FallbackIndex>(&index.bytes).map_or_else(|_| Vec::new(), |index| index.manifests))
            }
            Ok(_) | Err(Error::ManifestUnknown(_) | Error::ManifestInvalid(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Reads the revisions that have come since the marker was written, and enters those that have a subject. Those that could not
    /// be entered, on a store that takes no writes, are returned.
    async fn complete_referrers(&self) -> Result<Vec<Referrer>, Error> {
        // One reader a repository: whoever waited finds the marker that the one before has written.
        let _guard = self.registry.locks.examining(&self.name).await;
        let state = self.state_of_revisions().await?;
        let marker = layout::referrers_marker(&self.name);
        match self.storage().read(&marker).await {
            Ok(content) if content == state.as_bytes() => return Ok(Vec::new()),
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ if state.is_empty() => return Ok(Vec::new()),
            _ => {}
        }
        let left = self.examine().await?;
        if left.is_empty()
            && let Ok(_change) = self.change()
            && let Err(error) = self.storage().write(&marker, Bytes::from(state), Durability::Relaxed).await
        {
            warn!(%error, "the referrers of a repository are known but cannot be marked as complete");
        }
        Ok(left)
    }

    async fn examine(&self) -> Result<Vec<Referrer>, Error> {
        let seen = self.registry.examined.0.get(self.name.as_str()).unwrap_or_default();
        let mut now_seen = HashSet::clone(&seen);
        let mut left = Vec::new();
        let mut aliased = HashSet::new();
        let named = self.revisions(Algorithm::Sha512).await?;
        for digest in &named {
            aliased.extend(self.follow(&layout::revision_link(&self.name, digest)).await?);
        }
        let others = self.revisions(Algorithm::Sha256).await?.into_iter().filter(|digest| !aliased.contains(digest));
        for digest in named.into_iter().chain(others).filter(|digest| !seen.contains(digest)) {
            let Some(manifest) = self.stored_manifest(&digest).await? else { continue };
            match self.enter_if_writable(&manifest, &digest).await {
                Ok(()) => {
                    now_seen.insert(digest);
                }
                Err(referrer) => left.push(referrer),
            }
        }
        self.registry.examined.0.insert(self.name.as_str().to_owned(), Arc::new(now_seen));
        Ok(left)
    }

    /// Enters what was found by looking; gives it back where it cannot be written.
    async fn enter_if_writable(&self, (manifest, size): &(Manifest, u64), digest: &Digest) -> Result<(), Referrer> {
        let Some(subject) = manifest.subject() else { return Ok(()) };
        let entered = match self.change() {
            Ok(_change) => self.enter_referrer(manifest, digest, *size).await,
            Err(error) => Err(error),
        };
        entered.map_err(|_| Referrer { subject: subject.clone(), descriptor: manifest.as_referrer(digest.clone(), *size) })
    }

    /// A manifest of this repository and its length, if it can be read as one.
    async fn stored_manifest(&self, digest: &Digest) -> Result<Option<(Manifest, u64)>, Error> {
        let Some(canonical) = self.follow(&layout::revision_link(&self.name, digest)).await? else { return Ok(None) };
        match self.storage().read(&layout::blob_data(&canonical)).await {
            Ok(bytes) => Ok(Manifest::stored(&bytes).ok().map(|manifest| (manifest, bytes.len() as u64))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A text that changes whenever a revision comes that was not there before; empty where there are none.
    async fn state_of_revisions(&self) -> Result<String, Error> {
        let mut state = String::new();
        for algorithm in Algorithm::ALL {
            match self.storage().stat(&layout::revisions(&self.name, algorithm)).await {
                Ok(metadata) => {
                    let since = metadata.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                    state.push_str(&format!("{}={}\n", algorithm.as_str(), since.as_nanos()));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(state)
    }
}
