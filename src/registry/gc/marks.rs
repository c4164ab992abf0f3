//! Marking: from what is pointed to by hand to all that it needs.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::survey::{Found, Revision};
use super::{DeadBlob, Marked, Survey, SurveyedRepository, Untagged};
use crate::oci::Digest;
use crate::registry::Pushed;
use crate::storage::{Key, layout};

/// What must stay.
pub(super) struct Marks {
    digests: HashSet<Digest>,
    /// For each repository, the manifests that stay.
    manifests: Vec<HashSet<Digest>>,
    /// For each repository, what was marked on its account.
    order: Vec<Vec<Marked>>,
}

/// The work of marking. A manifest that stays marks what it names; a digest that is marked keeps every manifest of that name, in
/// whichever repository, since an index elsewhere may need it; and a manifest that stays keeps those that are about it.
struct Marking<'a> {
    found: &'a [Found],
    marks: Marks,
    /// Where a digest is a manifest.
    holders: HashMap<&'a Digest, Vec<usize>>,
    /// By repository and subject, the manifests about it.
    referrers: HashMap<(usize, &'a Digest), Vec<&'a Digest>>,
    /// Manifests that stay, whose references are still to be marked.
    waiting: VecDeque<(usize, &'a Digest)>,
}

/// Marks what must stay.
pub(super) fn mark(found: &[Found], untagged: Untagged, pushed: &[Pushed]) -> Marks {
    let mut marking = Marking::new(found);
    for (at, repository) in found.iter().enumerate() {
        for digest in repository.revisions.keys() {
            if untagged == Untagged::Keep || repository.tagged.contains(digest) {
                marking.keep(at, digest);
            }
        }
        if repository.is_doubtful {
            marking.mark_all_of(at);
        }
        // Before the next repository, so that what it needs is told under its name.
        marking.carry_on();
    }
    for Pushed { repository, digest } in pushed {
        if let Some(at) = found.iter().position(|found| found.name == *repository) {
            let canonical = found[at].canonical(digest);
            if marking.mark(canonical) {
                marking.marks.order[at].push(Marked::Pushed(canonical.clone()));
            }
        }
    }
    marking.carry_on();
    marking.marks
}

impl<'a> Marking<'a> {
    fn new(found: &'a [Found]) -> Self {
        let mut holders: HashMap<&Digest, Vec<usize>> = HashMap::new();
        let mut referrers: HashMap<(usize, &Digest), Vec<&Digest>> = HashMap::new();
        for (at, repository) in found.iter().enumerate() {
            for (digest, revision) in &repository.revisions {
                holders.entry(digest).or_default().push(at);
                let subject = revision.references.as_ref().and_then(|references| references.subject.as_ref());
                if let Some(subject) = subject {
                    referrers.entry((at, repository.canonical(subject))).or_default().push(digest);
                }
            }
        }
        let marks = Marks {
            digests: HashSet::new(),
            manifests: found.iter().map(|_| HashSet::new()).collect(),
            order: found.iter().map(|_| Vec::new()).collect(),
        };
        Self { found, marks, holders, referrers, waiting: VecDeque::new() }
    }

    /// Keeps a manifest of a repository.
    fn keep(&mut self, at: usize, digest: &'a Digest) {
        if self.marks.manifests[at].insert(digest.clone()) {
            self.waiting.push_back((at, digest));
        }
    }

    /// Marks a digest. Whether it was not.
    fn mark(&mut self, digest: &Digest) -> bool {
        let is_new = self.marks.digests.insert(digest.clone());
        if is_new && let Some((digest, holders)) = self.holders.get_key_value(digest) {
            let digest: &'a Digest = digest;
            for at in holders.clone() {
                self.keep(at, digest);
            }
        }
        is_new
    }

    /// Follows all references of what stays, to the end.
    fn carry_on(&mut self) {
        while let Some((at, digest)) = self.waiting.pop_front() {
            self.marks.order[at].push(Marked::Manifest(digest.clone()));
            self.mark(digest);
            let repository: &'a Found = &self.found[at];
            match &repository.revisions[digest] {
                Revision { references: Some(references), .. } => {
                    for reference in &references.content {
                        self.mark_for(at, repository.canonical(reference));
                    }
                }
                Revision { references: None, .. } => self.mark_all_of(at),
            }
            for referrer in self.referrers.get(&(at, digest)).cloned().unwrap_or_default() {
                self.keep(at, referrer);
            }
        }
    }

    fn mark_all_of(&mut self, at: usize) {
        let repository: &'a Found = &self.found[at];
        for target in repository.revisions.keys().chain(repository.layers.iter().map(|(_, target)| target)) {
            self.mark_for(at, target);
        }
    }

    fn mark_for(&mut self, at: usize, digest: &Digest) {
        if self.mark(digest) {
            self.marks.order[at].push(Marked::Blob(digest.clone()));
        }
    }
}

impl Marks {
    /// Whether content under this digest must stay.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    /// What is garbage, by repository.
    pub(super) fn into_survey(self, found: Vec<Found>, blobs: Vec<DeadBlob>, empty: Vec<Key>) -> Survey {
        let lengths: HashMap<&Digest, u64> = blobs.iter().map(|blob| (&blob.digest, blob.length)).collect();
        let kept = self.manifests.into_iter().zip(self.order);
        let repositories = found.into_iter().zip(kept).map(|(repository, (manifests, marked))| {
            let dead = Dead::of(&repository, &manifests, &self.digests);
            let bytes = dead.targets.iter().filter_map(|target| lengths.get(target)).sum();
            let Dead { manifests, layer_links, names, referrers, .. } = dead;
            SurveyedRepository { name: repository.name, marked, manifests, layer_links, bytes, broken: repository.broken, names, referrers }
        });
        let repositories = repositories.collect();
        Survey { repositories, marked: self.digests.len(), blobs, empty }
    }
}

/// What is garbage in one repository.
#[derive(Default)]
struct Dead {
    manifests: Vec<Digest>,
    layer_links: Vec<Digest>,
    /// The digests under which the bytes of all of it lie.
    targets: BTreeSet<Digest>,
    names: BTreeSet<Key>,
    referrers: Vec<Key>,
}

impl Dead {
    fn of(repository: &Found, kept: &HashSet<Digest>, marked: &HashSet<Digest>) -> Self {
        let mut dead = Self::default();
        for (digest, revision) in repository.revisions.iter().filter(|(digest, _)| !kept.contains(*digest)) {
            dead.manifests.push(digest.clone());
            dead.targets.insert(digest.clone());
            let subject = revision.references.as_ref().and_then(|references| references.subject.as_ref());
            for name in &revision.names {
                dead.names.insert(layout::revision_link(&repository.name, name));
                let tags = repository.histories.get(name).into_iter().flatten();
                dead.names.extend(tags.map(|tag| layout::tag_history(&repository.name, tag, name)));
                dead.referrers.extend(subject.map(|subject| layout::referrer(&repository.name, subject, name)));
            }
        }
        for (name, target) in repository.layers.iter().filter(|(_, target)| !marked.contains(target)) {
            dead.layer_links.push(name.clone());
            dead.targets.insert(target.clone());
        }
        dead
    }
}
