//! Tags: listing, resolving and deleting them.

use super::{Error, Page, Repository, Rest, finish};
use crate::oci::{Digest, Reference, Tag};
use crate::storage::{Durability, layout};

impl Repository {
    /// One page of the tags after a name, sorted bytewise, at most `limit` of them.
    pub async fn tags(&self, after: Option<&str>, limit: usize) -> Result<Page<Tag>, Error> {
        let entries = match self.storage().list(&layout::tags(&self.name)).await {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Err(Error::NameUnknown(self.name.clone())),
            Err(error) => return Err(error.into()),
        };
        let mut items = Vec::new();
        let later = entries.into_iter().map(|entry| entry.name).filter(|name| after.is_none_or(|after| name.as_str() > after));
        for tag in later.filter_map(|name| name.parse::<Tag>().ok()) {
            if items.len() == limit {
                // Whether more comes is asked of names only: a page that turns out empty does no harm.
                let rest = if limit == 0 { Rest::Nothing } else { Rest::More };
                return Ok(Page { items, rest });
            }
            if self.is_set(&tag).await? {
                items.push(tag);
            }
        }
        Ok(Page { items, rest: Rest::Nothing })
    }

    /// The manifest that a tag points to now.
    pub(super) async fn resolve(&self, tag: &Tag) -> Result<Option<Digest>, Error> {
        self.follow(&layout::tag_current(&self.name, tag)).await
    }

    /// The name by which a tag is answered: the one that it was set by, as long as it still points there. It may not any more,
    /// since a stock registry moves a tag and knows nothing of names.
    pub(super) async fn name_of(&self, tag: &Tag) -> Result<Option<Digest>, Error> {
        let Some(canonical) = self.resolve(tag).await? else { return Ok(None) };
        let Some(name) = self.follow(&layout::tag_name(&self.name, tag)).await? else { return Ok(Some(canonical)) };
        let target = self.follow(&layout::revision_link(&self.name, &name)).await?;
        Ok(Some(if target.as_ref() == Some(&canonical) { name } else { canonical }))
    }

    /// Points a tag, whose lock is held, to a manifest that is there. The name comes first: until the tag has moved it does not fit.
    pub(super) async fn set_tag(&self, tag: &Tag, name: &Digest, canonical: &Digest) -> Result<(), Error> {
        let link = layout::tag_name(&self.name, tag);
        if name != canonical {
            self.link(&link, name).await?;
        } else if self.follow(&link).await?.is_some() {
            self.unlink(&link).await?;
        }
        self.link(&layout::tag_current(&self.name, tag), canonical).await
    }

    /// Removes a tag; the manifest stays.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        let change = self.deletion()?;
        let (repository, tag) = (self.clone(), tag.clone());
        finish(async move {
            let _change = change;
            let _guards = repository.registry.locks.tags(&repository.name, std::slice::from_ref(&tag)).await;
            if repository.resolve(&tag).await?.is_none() {
                return Err(Error::ManifestUnknown(Reference::Tag(tag)));
            }
            repository.remove_tag(&tag).await
        })
        .await
    }

    /// Removes a tag whose lock is held: what it points to first, so that a crash leaves no tag rather than an old one.
    pub(super) async fn remove_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.unlink(&layout::tag_current(&self.name, tag)).await?;
        self.unlink(&layout::tag_name(&self.name, tag)).await?;
        match self.storage().delete(&layout::tag(&self.name, tag), Durability::Durable).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether a tag points to anything: a crash may leave one that has a history only, or an empty link.
    async fn is_set(&self, tag: &Tag) -> Result<bool, Error> {
        match self.storage().stat(&layout::tag_current(&self.name, tag)).await {
            Ok(metadata) => Ok(metadata.length > 0),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use crate::oci::{Algorithm, Digest, MediaType, Reference, Tag};
    use crate::registry::{Deletion, ManifestPush, Mode, Options, Registry, Repository, Reserve, TagMode};
    use crate::storage::{self, Durability, Filesystem, layout};

    const EMPTY_INDEX: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    const OTHER_INDEX: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[ ]}"#;

    async fn repository(directory: &tempfile::TempDir) -> Repository {
        let storage = Filesystem::open(&storage::Options { root_directory: directory.path().to_owned() }).await.unwrap();
        let options = Options {
            delete: Deletion::Enabled,
            mode: Mode::ReadWrite,
            upload_purging: None,
            largest_blob: None,
            reserve: Reserve::Bytes(0),
            validation: crate::registry::Validation::default(),
        };
        Registry::new(Arc::new(storage), options).repository("a/b".parse().unwrap())
    }

    async fn push(repository: &Repository, reference: Reference, tags: Vec<Tag>, bytes: &'static [u8]) {
        let media_type: MediaType = "application/vnd.oci.image.index.v1+json".parse().unwrap();
        let push = ManifestPush { reference, tags, media_type: Some(media_type), bytes: Bytes::from_static(bytes), mode: TagMode::Move };
        repository.put_manifest(push).await.unwrap();
    }

    #[tokio::test]
    async fn a_tag_is_answered_by_the_name_that_it_was_set_by() {
        let directory = tempfile::tempdir().unwrap();
        let repository = repository(&directory).await;
        let tag: Tag = "v1".parse().unwrap();
        let name = Digest::of(Algorithm::Sha512, EMPTY_INDEX);
        let canonical = Digest::of(Algorithm::Sha256, EMPTY_INDEX);
        let pulled = async || repository.manifest(&Reference::Tag(tag.clone())).await.unwrap().digest;

        push(&repository, Reference::Digest(name.clone()), vec![tag.clone()], EMPTY_INDEX).await;
        assert_eq!(pulled().await, name);
        assert_eq!(repository.resolve(&tag).await.unwrap(), Some(canonical.clone()), "the tag itself is a stock registry's");

        push(&repository, Reference::Tag(tag.clone()), Vec::new(), EMPTY_INDEX).await;
        assert_eq!(pulled().await, canonical);
    }

    #[tokio::test]
    async fn a_tag_that_a_stock_registry_moved_is_answered_by_where_it_points_now() {
        let directory = tempfile::tempdir().unwrap();
        let repository = repository(&directory).await;
        let tag: Tag = "v1".parse().unwrap();
        let other = Digest::of(Algorithm::Sha256, OTHER_INDEX);
        push(&repository, Reference::Digest(other.clone()), Vec::new(), OTHER_INDEX).await;
        push(&repository, Reference::Digest(Digest::of(Algorithm::Sha512, EMPTY_INDEX)), vec![tag.clone()], EMPTY_INDEX).await;
        let moved = Bytes::copy_from_slice(other.as_str().as_bytes());
        repository.storage().write(&layout::tag_current(repository.name(), &tag), moved, Durability::Durable).await.unwrap();
        assert_eq!(repository.manifest(&Reference::Tag(tag)).await.unwrap().digest, other);
    }
}
