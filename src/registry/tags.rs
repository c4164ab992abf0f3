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

    /// Removes a tag; the manifest stays.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.ensure_deletable()?;
        let (repository, tag) = (self.clone(), tag.clone());
        finish(async move {
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
