//! The catalog: which repositories there are.
//!
//! There is no index; the tree is the truth. Order is that of the tree, `/` before every other byte, as registry:2 lists them.

use std::sync::Arc;

use super::{Error, Page, Registry, Repository, Rest};
use crate::oci::{Algorithm, Name};
use crate::storage::{EntryKind, layout};

/// Which repositories a caller is to see.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Whether this one.
    pub admits: &'a (dyn Fn(&Name) -> bool + Sync),
    /// Whether any at or below a path: where not, nobody looks, which saves the work and the time that would tell how much lies there.
    pub leads_below: &'a (dyn Fn(&str) -> bool + Sync),
}

impl Sight<'static> {
    /// All of them.
    pub const ALL: Self = Self { admits: &|_| true, leads_below: &|_| true };
}

impl Registry {
    /// One page of the repositories in sight, after a name, at most `limit` of them.
    ///
    /// A repository is listed when it has a tag or a manifest.
    pub async fn catalog(self: &Arc<Self>, after: Option<&str>, limit: usize, sight: Sight<'_>) -> Result<Page<Name>, Error> {
        let mut items = Vec::new();
        if limit == 0 {
            return Ok(Page { items, rest: Rest::Nothing });
        }
        let _turn = self.walks.acquire().await;
        let mut walk = self.walk(after, sight);
        while let Some(name) = walk.next().await? {
            if !self.repository(name.clone()).is_known().await? {
                continue;
            }
            if items.len() == limit {
                return Ok(Page { items, rest: Rest::More });
            }
            items.push(name);
        }
        Ok(Page { items, rest: Rest::Nothing })
    }

    /// A walk over all names in sight under which a repository may lie, after a name.
    pub(super) fn walk<'a>(self: &Arc<Self>, after: Option<&str>, sight: Sight<'a>) -> Walk<'a> {
        Walk { sight, registry: Arc::clone(self), after: after.map(str::to_owned), waiting: vec![String::new()], refuses_links: false }
    }
}

impl Repository {
    /// Whether it has a tag or a manifest.
    pub(super) async fn is_known(&self) -> Result<bool, Error> {
        for algorithm in Algorithm::ALL {
            for digest in self.revisions(algorithm).await? {
                if self.follow(&layout::revision_link(&self.name, &digest)).await?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(!self.tags(None, 1).await.map_or_else(|_| Vec::new(), |page| page.items).is_empty())
    }
}

/// A walk over the names of the tree, parents before children.
pub(super) struct Walk<'a> {
    sight: Sight<'a>,
    registry: Arc<Registry>,
    after: Option<String>,
    /// Paths still to be visited, the next one last; the empty one is the top.
    waiting: Vec<String>,
    /// Whether a symbolic link is an error, rather than passed over.
    refuses_links: bool,
}

impl Walk<'_> {
    /// The same walk, for whom everything counts: a symbolic link ends it.
    pub(super) fn refusing_links(self) -> Self {
        Self { refuses_links: true, ..self }
    }

    /// The next name, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Name>, Error> {
        while let Some(path) = self.waiting.pop() {
            self.descend(&path).await?;
            if self.is_after(&path)
                && let Ok(name) = path.parse()
                && (self.sight.admits)(&name)
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    async fn descend(&mut self, path: &str) -> Result<(), Error> {
        let key = if path.is_empty() { layout::repositories() } else { layout::repository_path(path) };
        let entries = match self.registry.storage.list(&key).await {
            Ok(entries) => entries,
            // Removed while we walked.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.refuses_links && entries.iter().any(|entry| entry.kind == EntryKind::Link) {
            return Err(Error::LinkInStore(key));
        }
        for entry in entries.into_iter().rev() {
            if entry.kind == EntryKind::Directory && crate::oci::name::is_component(&entry.name) {
                let child = if path.is_empty() { entry.name } else { format!("{path}/{}", entry.name) };
                if self.may_lead_on(&child) && (self.sight.leads_below)(&child) {
                    self.waiting.push(child);
                }
            }
        }
        Ok(())
    }

    fn is_after(&self, path: &str) -> bool {
        self.after.as_deref().is_none_or(|after| path.split('/').gt(after.split('/')))
    }

    fn may_lead_on(&self, path: &str) -> bool {
        let leads_to = |after: &str| after.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.is_after(path) || self.after.as_deref().is_some_and(leads_to)
    }
}
