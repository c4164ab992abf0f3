//! Manifests: pulling, pushing and deleting them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::try_join_all;
use moka::sync::Cache;

use super::{Error, Repository, Validation, finish};
use crate::oci::{Algorithm, Descriptor, Digest, Manifest, MediaType, Reference, Tag};
use crate::storage::{Durability, layout};

/// How much memory the cache of manifests takes, in bytes.
const CACHE: u64 = 8 * 1024 * 1024;

/// What an entry of it takes beside the bytes of its manifest: names, counters, the cache's own.
const ENTRY: usize = 1024;

/// How many references of a manifest are looked up at a time.
const LOOKUPS: usize = 16;

/// A manifest as it is stored.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// The digest it was asked for by, or that its tag was set by.
    pub digest: Digest,
    /// Its type, read from its body.
    pub media_type: MediaType,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A manifest to be stored.
#[derive(Clone, Debug)]
pub struct ManifestPush {
    /// The tag that it gets, or the digest that it must have.
    pub reference: Reference,
    /// Further tags that it gets.
    pub tags: Vec<Tag>,
    /// The type that was announced for it.
    pub media_type: Option<MediaType>,
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether a tag that exists may be moved.
    pub mode: TagMode,
}

/// What a push may do to a tag that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagMode {
    /// It is moved.
    Move,
    /// It stays, unless it points there already; the push is refused.
    Create,
}

/// A manifest that has been stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedManifest {
    /// Its digest, by the algorithm it was pushed with.
    pub digest: Digest,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
    /// The tags that it got besides the reference.
    pub tags: Vec<Tag>,
}

/// Manifests by digest, with the type that a pull would otherwise have to parse out of them each time.
#[derive(Debug)]
pub(super) struct ManifestCache {
    entries: Cache<Digest, Arc<(MediaType, Bytes)>>,
    requests: AtomicU64,
    hits: AtomicU64,
}

/// How often the cache of manifests was asked, and knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUse {
    /// Since the start.
    pub requests: u64,
    /// How many of them it could answer.
    pub hits: u64,
}

impl Default for ManifestCache {
    fn default() -> Self {
        let weight = |_: &Digest, entry: &Arc<(MediaType, Bytes)>| u32::try_from(entry.1.len() + ENTRY).unwrap_or(u32::MAX);
        let entries = Cache::builder().max_capacity(CACHE).weigher(weight).build();
        Self { entries, requests: AtomicU64::new(0), hits: AtomicU64::new(0) }
    }
}

impl ManifestCache {
    pub(super) fn usage(&self) -> CacheUse {
        CacheUse { requests: self.requests.load(Ordering::Relaxed), hits: self.hits.load(Ordering::Relaxed) }
    }

    /// Drops all.
    pub(super) fn forget(&self) {
        self.entries.invalidate_all();
    }

    fn get(&self, digest: &Digest) -> Option<Arc<(MediaType, Bytes)>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.entries.get(digest).inspect(|_| {
            self.hits.fetch_add(1, Ordering::Relaxed);
        })
    }
}

impl Repository {
    /// The manifest that a reference names.
    pub async fn manifest(&self, reference: &Reference) -> Result<StoredManifest, Error> {
        match reference {
            Reference::Digest(digest) => self.manifest_of(reference, digest.clone()).await,
            Reference::Tag(tag) => {
                let unknown = || Error::ManifestUnknown(reference.clone());
                let digest = self.name_of(tag).await?.ok_or_else(unknown)?;
                match self.manifest_of(reference, digest.clone()).await {
                    // The tag may have been moved, and what it pointed to deleted, since we looked.
                    Err(Error::ManifestUnknown(_)) => match self.name_of(tag).await? {
                        Some(now) if now != digest => self.manifest_of(reference, now).await,
                        _ => Err(unknown()),
                    },
                    found => found,
                }
            }
        }
    }

    async fn manifest_of(&self, reference: &Reference, digest: Digest) -> Result<StoredManifest, Error> {
        let unknown = || Error::ManifestUnknown(reference.clone());
        let canonical = self.follow(&layout::revision_link(&self.name, &digest)).await?.ok_or_else(unknown)?;
        let content = self.content(&canonical).await?.ok_or_else(unknown)?;
        Ok(StoredManifest { digest, media_type: content.0.clone(), bytes: content.1.clone() })
    }

    /// Stores a manifest and sets its tags. What was there before is untouched unless all of it succeeds.
    pub async fn put_manifest(&self, push: ManifestPush) -> Result<PushedManifest, Error> {
        let change = self.change()?;
        let manifest = Manifest::parse(push.media_type.clone(), &push.bytes)?;
        let digest = check_digest(&push)?;
        let repository = self.clone();
        finish(async move {
            let _change = change;
            repository.store_manifest(push, digest, &manifest).await
        })
        .await
    }

    /// Takes a manifest out of this repository: first the tags that point to it, then all its names. Which tags those were.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<Vec<Tag>, Error> {
        let change = self.deletion()?;
        let (repository, digest) = (self.clone(), digest.clone());
        finish(async move {
            let _change = change;
            let _guard = repository.registry.locks.removing_from(&repository.name).await;
            let unknown = || Error::ManifestUnknown(Reference::Digest(digest.clone()));
            let link = layout::revision_link(&repository.name, &digest);
            let canonical = repository.follow(&link).await?.ok_or_else(unknown)?;
            let content = repository.content(&canonical).await?.ok_or_else(unknown)?;
            let names = Algorithm::ALL.map(|algorithm| Digest::of(algorithm, &content.1));
            let tags = repository.remove_tags_of(&names).await?;
            // The name it was asked for by goes last: while that is there, the delete can be repeated.
            for name in names.iter().filter(|name| **name != digest).chain([&digest]) {
                repository.unlink(&layout::revision_link(&repository.name, name)).await?;
            }
            repository.registry.changes.deleted(&repository.name, &canonical);
            Ok(tags)
        })
        .await
    }

    async fn content(&self, canonical: &Digest) -> Result<Option<Arc<(MediaType, Bytes)>>, Error> {
        let cache = &self.registry.manifests;
        if let Some(content) = cache.get(canonical) {
            return Ok(Some(content));
        }
        let bytes = match self.storage().read(&layout::blob_data(canonical)).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let content = Arc::new((Manifest::stored_media_type(&bytes), bytes));
        cache.entries.insert(canonical.clone(), Arc::clone(&content));
        Ok(Some(content))
    }

    async fn store_manifest(&self, push: ManifestPush, digest: Digest, manifest: &Manifest) -> Result<PushedManifest, Error> {
        let _guard = self.registry.locks.adding_to(&self.name).await;
        let options = self.registry.options();
        options.validation.check(manifest)?;
        self.check_references(manifest, &options.validation).await?;
        let canonical = Digest::of(Algorithm::Sha256, &push.bytes);
        let mut tags = push.tags.clone();
        if let Reference::Tag(tag) = &push.reference {
            tags.push(tag.clone());
        }
        let _guards = self.registry.locks.tags(&self.name, &tags).await;
        if push.mode == TagMode::Create {
            tags = self.only_free(tags, &canonical).await?;
        }
        let is_new = self.follow(&layout::revision_link(&self.name, &canonical)).await?.is_none();
        // Bytes that lie there already are replaced: should they be broken, this mends them.
        self.storage().write(&layout::blob_data(&canonical), push.bytes.clone(), Durability::Durable).await?;
        let history = tags.iter().map(|tag| layout::tag_history(&self.name, tag, &canonical));
        let mut links: Vec<_> = history.chain([layout::revision_link(&self.name, &canonical)]).collect();
        if digest != canonical {
            links.push(layout::revision_link(&self.name, &digest));
        }
        let (linked, entered) = futures_util::join!(
            try_join_all(links.iter().map(|link| self.link(link, &canonical))),
            self.enter_referrer(manifest, &digest, push.bytes.len() as u64),
        );
        linked?;
        entered?;
        for tag in &tags {
            self.set_tag(tag, &digest, &canonical).await?;
        }
        let changes = &self.registry.changes;
        if tags.is_empty() {
            // An index or a tag is about to name it.
            changes.pushed(&self.name, &canonical);
        } else {
            changes.deleted(&self.name, &canonical);
        }
        if is_new {
            let names: BTreeSet<&Digest> = manifest.blobs().chain(manifest.children()).map(|descriptor| &descriptor.digest).collect();
            changes.named(&self.name, names.into_iter());
        }
        Ok(PushedManifest { digest, subject: manifest.subject().cloned(), tags: push.tags })
    }

    /// Checks that everything a manifest points to, and that must be here, belongs to this repository.
    async fn check_references(&self, manifest: &Manifest, validation: &Validation) -> Result<(), Error> {
        let blobs = validation.needed_blobs(manifest).map(|blob| (&blob.digest, Kind::Blob));
        let children = validation.needed_children(manifest).map(|child| (&child.digest, kind_of_child(child)));
        let references: Vec<(&Digest, Kind)> = blobs.chain(children).collect();
        let mut missing = Vec::new();
        for some in references.chunks(LOOKUPS) {
            let lookups: Vec<_> = some.iter().map(|(digest, kind)| self.has(digest, *kind)).collect();
            for ((digest, _), found) in some.iter().zip(try_join_all(lookups).await?) {
                if !found {
                    missing.push(Digest::clone(digest));
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::ReferencesUnknown(missing)) }
    }

    async fn has(&self, digest: &Digest, kind: Kind) -> Result<bool, Error> {
        Ok(match kind {
            Kind::Blob => self.locate_blob(digest).await?.is_some(),
            Kind::Manifest => self.has_manifest(digest).await?,
            Kind::Either => self.has_manifest(digest).await? || self.locate_blob(digest).await?.is_some(),
        })
    }

    /// The tags, whose locks are held, that are to be made; those that point to the manifest already stay as they are.
    async fn only_free(&self, tags: Vec<Tag>, canonical: &Digest) -> Result<Vec<Tag>, Error> {
        let mut free = Vec::new();
        for tag in tags {
            match self.resolve(&tag).await? {
                Some(current) if current != *canonical => return Err(Error::TagExists(tag)),
                Some(_) => {}
                None => free.push(tag),
            }
        }
        Ok(free)
    }

    async fn remove_tags_of(&self, names: &[Digest]) -> Result<Vec<Tag>, Error> {
        let tags = match self.tags(None, usize::MAX).await {
            Ok(page) => page.items,
            Err(Error::NameUnknown(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut removed = Vec::new();
        for tag in tags {
            let _guards = self.registry.locks.tags(&self.name, std::slice::from_ref(&tag)).await;
            if self.resolve(&tag).await?.is_some_and(|current| names.contains(&current)) {
                self.remove_tag(&tag).await?;
                removed.push(tag);
            }
        }
        Ok(removed)
    }
}

/// What a descriptor must be found as.
#[derive(Clone, Copy)]
enum Kind {
    Blob,
    Manifest,
    Either,
}

/// Children of an index are manifests, but caches of builders list layers there too; a type that is neither may be both.
fn kind_of_child(child: &Descriptor) -> Kind {
    let text = child.media_type.as_str();
    if child.media_type.is_manifest() {
        Kind::Manifest
    } else if text.contains(".layer.") || text.contains(".rootfs.") {
        Kind::Blob
    } else {
        Kind::Either
    }
}

fn check_digest(push: &ManifestPush) -> Result<Digest, Error> {
    match &push.reference {
        Reference::Tag(_) => Ok(Digest::of(Algorithm::Sha256, &push.bytes)),
        Reference::Digest(expected) => {
            let actual = Digest::of(expected.algorithm(), &push.bytes);
            if actual == *expected { Ok(actual) } else { Err(Error::DigestMismatch { expected: expected.clone(), actual }) }
        }
    }
}
