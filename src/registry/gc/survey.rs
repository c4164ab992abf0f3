//! Reading the tree: what each repository holds and names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::references::References;
use super::{Broken, DeadBlob, Progress, Survey, Untagged, marks};
use crate::oci::{Algorithm, Digest, Name, Tag};
use crate::registry::links::Link;
use crate::registry::{Error, Pushed, Registry, Repository, Sight};
use crate::storage::{Entry, EntryKind, Key, layout};

/// How many pieces of work are done at a time.
const AT_ONCE: usize = 8;

/// How many files are read in one piece of work.
const PIECE: usize = 128;

/// A repository as it was read.
pub(super) struct Found {
    pub(super) name: Name,
    /// The tags in whose history a manifest is, by its name.
    pub(super) histories: HashMap<Digest, Vec<Tag>>,
    /// What the tags point to; where one cannot be read, all that it ever pointed to.
    pub(super) tagged: BTreeSet<Digest>,
    /// The manifests, by the digest under which their bytes lie.
    pub(super) revisions: BTreeMap<Digest, Revision>,
    /// The names under which blobs may be served, each with the digest under which the bytes lie.
    pub(super) layers: Vec<(Digest, Digest)>,
    /// The other names of content, and the digest under which its bytes lie.
    pub(super) aliases: HashMap<Digest, Digest>,
    pub(super) broken: Vec<Broken>,
    /// Another name of content may have been lost, so that nobody can say what is needed.
    pub(super) is_doubtful: bool,
}

/// A manifest of a repository.
#[derive(Default)]
pub(super) struct Revision {
    /// The names it goes by in the repository.
    pub(super) names: Vec<Digest>,
    /// `None`: nobody can say what it needs.
    pub(super) references: Option<References>,
}

impl Registry {
    /// Reads every repository and marks what must stay; `pushed` names what pushes under way have brought, which stays too. Changes nothing.
    pub async fn survey(
        self: &Arc<Self>,
        untagged: Untagged,
        pushed: &[Pushed],
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Survey, Error> {
        let names = stream::try_unfold(self.walk(None, Sight::ALL).refusing_links(), async |mut walk| {
            Ok::<_, Error>(walk.next().await?.map(|name| (name, walk)))
        });
        let found = names
            .map_ok(|name| spawned(self.repository(name).read_through()))
            .try_buffered(AT_ONCE)
            .inspect_ok(|found| progress(Progress::Surveyed(&found.name)));
        let found: Vec<Found> = found.try_filter(|found| std::future::ready(found.is_repository())).try_collect().await?;
        let marks = marks::mark(&found, untagged, pushed);
        let (blobs, empty) = self.unmarked_blobs(&marks, progress).await?;
        Ok(marks.into_survey(found, blobs, empty))
    }

    /// The blobs that were not marked, and the directories of blobs without bytes.
    async fn unmarked_blobs(
        self: &Arc<Self>,
        marks: &marks::Marks,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(Vec<DeadBlob>, Vec<Key>), Error> {
        let (mut blobs, mut empty, mut listed) = (Vec::new(), Vec::new(), 0);
        for algorithm in Algorithm::ALL {
            for shard in self.directories(&layout::blobs_of(algorithm)).await? {
                let entries = self.directories(&layout::blob_shard(algorithm, &shard)).await?;
                listed += entries.len();
                let digests = entries.iter().filter_map(|hex| format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok());
                let dead: Vec<Digest> = digests.filter(|digest| digest.hex().starts_with(&shard) && !marks.contains(digest)).collect();
                let lengths = in_pieces(dead, |digest| Arc::clone(self).length_of(digest));
                for (digest, length) in lengths.await? {
                    match length {
                        Some(length) => blobs.push(DeadBlob { digest, length }),
                        None => empty.push(layout::blob_data(&digest)),
                    }
                }
                progress(Progress::Listed(listed));
            }
        }
        Ok((blobs, empty))
    }

    async fn length_of(self: Arc<Self>, digest: Digest) -> Result<(Digest, Option<u64>), Error> {
        match self.storage.stat(&layout::blob_data(&digest)).await {
            Ok(metadata) => Ok((digest, Some(metadata.length))),
            Err(error) if error.is_not_found() => Ok((digest, None)),
            Err(error) => Err(error.into()),
        }
    }

    /// The directories directly below a key, sorted; none where nothing lies. A symbolic link among them ends the survey.
    async fn directories(&self, key: &Key) -> Result<Vec<String>, Error> {
        let name = |entry: Entry| (entry.kind == EntryKind::Directory).then_some(entry.name);
        match self.storage.list(key).await {
            Ok(entries) if entries.iter().any(|entry| entry.kind == EntryKind::Link) => Err(Error::LinkInStore(key.clone())),
            Ok(entries) => Ok(entries.into_iter().filter_map(name).collect()),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Found {
    fn is_repository(&self) -> bool {
        !(self.tagged.is_empty() && self.revisions.is_empty() && self.layers.is_empty() && self.broken.is_empty())
    }

    /// The digest under which content lies that a manifest of this repository names.
    pub(super) fn canonical<'a>(&'a self, name: &'a Digest) -> &'a Digest {
        self.aliases.get(name).unwrap_or(name)
    }
}

impl Repository {
    async fn read_through(self) -> Result<Found, Error> {
        let mut found = Found {
            name: self.name.clone(),
            histories: HashMap::new(),
            tagged: BTreeSet::new(),
            revisions: BTreeMap::new(),
            layers: Vec::new(),
            aliases: HashMap::new(),
            broken: Vec::new(),
            is_doubtful: false,
        };
        for algorithm in Algorithm::ALL {
            self.read_revisions(algorithm, &mut found).await?;
            self.read_layers(algorithm, &mut found).await?;
        }
        self.read_tags(&mut found).await?;
        Ok(found)
    }

    async fn read_revisions(&self, algorithm: Algorithm, found: &mut Found) -> Result<(), Error> {
        let links = self.links(&layout::revisions(&self.name, algorithm), algorithm, layout::revision_link, found).await?;
        let read = in_pieces(links, |(name, target): (Digest, Digest)| {
            let repository = self.clone();
            async move { Ok((name, repository.bytes_of(&target).await?.map(|bytes| References::of(&bytes)), target)) }
        });
        for (name, references, target) in read.await? {
            let Some(references) = references else {
                let key = layout::revision_link(&self.name, &name);
                found.broken.push(Broken { key, why: "the manifest's bytes are not there; its name stays" });
                continue;
            };
            if name != target {
                found.aliases.insert(name.clone(), target.clone());
            }
            if references.is_none() {
                let key = layout::revision_link(&self.name, &name);
                found.broken.push(Broken { key, why: "the manifest cannot be read; all that its repository holds stays" });
            }
            let revision = found.revisions.entry(target).or_default();
            revision.names.push(name);
            revision.references = references;
        }
        Ok(())
    }

    async fn read_layers(&self, algorithm: Algorithm, found: &mut Found) -> Result<(), Error> {
        for (name, target) in self.links(&layout::layers(&self.name, algorithm), algorithm, layout::layer_link, found).await? {
            if name != target {
                found.aliases.insert(name.clone(), target.clone());
            }
            found.layers.push((name, target));
        }
        Ok(())
    }

    /// The links below a key, each with its name and where it points. Broken ones are reported and stepped over.
    async fn links(
        &self,
        below: &Key,
        algorithm: Algorithm,
        link: fn(&Name, &Digest) -> Key,
        found: &mut Found,
    ) -> Result<Vec<(Digest, Digest)>, Error> {
        let entries = self.registry.directories(below).await?;
        let names = entries.into_iter().filter_map(|hex| format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok());
        let read = in_pieces(names.collect(), |name| {
            let (repository, key) = (self.clone(), link(&self.name, &name));
            async move { Ok((name, repository.read_link(&key).await?, key)) }
        });
        let mut links = Vec::new();
        for (name, target, key) in read.await? {
            match target {
                Link::To(target) => links.push((name, target)),
                // Of content there is one digest under which it can lie; its link only has to say so again.
                Link::Broken if algorithm == Algorithm::Sha256 => {
                    found
                        .broken
                        .push(Broken { key, why: "the link holds no digest; it is stepped over, and what it is named after counts" });
                    links.push((name.clone(), name));
                }
                Link::Broken => {
                    found.broken.push(Broken { key, why: "the link holds no digest; all that its repository holds stays" });
                    found.is_doubtful = true;
                }
                Link::Absent => {}
            }
        }
        Ok(links)
    }

    async fn read_tags(&self, found: &mut Found) -> Result<(), Error> {
        let tags = self.registry.directories(&layout::tags(&self.name)).await?;
        let tags = tags.into_iter().filter_map(|name| name.parse::<Tag>().ok());
        let read = in_pieces(tags.collect(), |tag: Tag| {
            let repository = self.clone();
            async move {
                let target = repository.read_link(&layout::tag_current(&repository.name, &tag)).await?;
                let history = repository.history_of(&tag).await?;
                Ok((tag, target, history))
            }
        });
        for (tag, target, history) in read.await? {
            match target {
                Link::To(target) => {
                    let target = found.canonical(&target).clone();
                    found.tagged.insert(target);
                }
                Link::Absent => {}
                Link::Broken => {
                    let key = layout::tag_current(&self.name, &tag);
                    found.broken.push(Broken { key, why: "the tag holds no digest; all that it ever pointed to stays" });
                    let past: Vec<Digest> = history.iter().map(|name| found.canonical(name).clone()).collect();
                    found.tagged.extend(past);
                }
            }
            for name in history {
                found.histories.entry(name).or_default().push(tag.clone());
            }
        }
        Ok(())
    }

    /// The names of all that a tag ever pointed to.
    async fn history_of(&self, tag: &Tag) -> Result<Vec<Digest>, Error> {
        let mut names = Vec::new();
        for algorithm in Algorithm::ALL {
            let past = self.registry.directories(&layout::tag_histories(&self.name, tag, algorithm)).await?;
            names.extend(past.into_iter().filter_map(|hex| format!("{}:{hex}", algorithm.as_str()).parse::<Digest>().ok()));
        }
        Ok(names)
    }

    async fn bytes_of(&self, digest: &Digest) -> Result<Option<bytes::Bytes>, Error> {
        match self.storage().read(&layout::blob_data(digest)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Does work on each of some things, a piece at a time and several pieces at once. What comes of it is in their order.
async fn in_pieces<T, R, F>(things: Vec<T>, work: impl Fn(T) -> F) -> Result<Vec<R>, Error>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
{
    let mut works: Vec<F> = things.into_iter().map(work).collect();
    let mut pieces = Vec::with_capacity(works.len().div_ceil(PIECE));
    while !works.is_empty() {
        let rest = works.split_off(PIECE.min(works.len()));
        pieces.push(std::mem::replace(&mut works, rest));
    }
    let done = stream::iter(pieces).map(|piece| {
        spawned(async move {
            let mut results = Vec::with_capacity(piece.len());
            for work in piece {
                results.push(work.await?);
            }
            Ok(results)
        })
    });
    let done: Vec<Vec<R>> = done.buffered(AT_ONCE).try_collect().await?;
    Ok(done.into_iter().flatten().collect())
}

/// Runs on whatever thread is free, until it ends or nobody waits for it any more.
pub(super) async fn spawned<T: Send + 'static>(work: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    match AbortOnDropHandle::new(tokio::spawn(work.in_current_span())).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("work is cancelled only when nobody waits for it: {error}"),
        },
    }
}
