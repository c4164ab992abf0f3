//! Stock garbage collection and ours, each on a copy of the same tree: who leaves what.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::copy;
use crate::harness::{Image, OCI_INDEX, image_of, index_of, sha256};
use crate::peer::Peer;
use crate::stock::{Stock, Version};

fn config() -> Value {
    json!({
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": "DIR/data"}, "delete": {"enabled": true}},
        "http": {"addr": "127.0.0.1:0", "secret": "sesame"},
    })
}

/// What a collector leaves: the digests of blobs, and the links, less those of layers.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    blobs: BTreeSet<String>,
    links: BTreeSet<String>,
}

/// A tree that a registry has written, with garbage of every kind.
struct Tree {
    directory: TempDir,
    /// Manifests without a tag that a living index names, and what they need.
    children: BTreeSet<String>,
    /// Manifests that are about a living one, and what they need.
    referrers: BTreeSet<String>,
}

fn parts(image: &Image) -> [String; 3] {
    [sha256(&image.config), sha256(&image.layer), image.digest.clone()]
}

impl Tree {
    async fn written_by(registry: &Stock) -> Self {
        let directory = TempDir::new().unwrap();
        let serving = registry.start(&config(), &[], directory.path());
        let peer = Peer::new(serving.address);
        let push = async |repository: &str, reference: &str, image: &Image| {
            let (status, body) = peer.push_image(repository, reference, image).await.unwrap();
            assert_eq!(status, 201, "{body:?}");
        };
        for (repository, tag, word) in [("a", "v1", "first"), ("a", "v2", "second"), ("a", "v1", "third"), ("b/c", "v1", "second")] {
            push(repository, tag, &image_of(word)).await;
        }
        let deleted = image_of("deleted");
        push("a", "gone", &deleted).await;
        assert_eq!(peer.delete(&format!("/v2/a/manifests/{}", deleted.digest)).await.unwrap().0, 202);
        peer.push_blob("a", &"an orphan".into()).await.unwrap();
        peer.push_blob("b/c", &"another orphan".into()).await.unwrap();
        let (one, two) = (image_of("child one"), image_of("child two"));
        for child in [&one, &two] {
            push("multi", &child.digest, child).await;
        }
        let index = index_of(OCI_INDEX, &[one.descriptor(), two.descriptor()]);
        assert_eq!(peer.push_manifest("multi", "v1", &index).await.unwrap().0, 201);
        let dead = image_of("child of nothing");
        push("multi", &dead.digest, &dead).await;
        let referrer = with_layers_of(&one.referrer("application/vnd.example"), "signature");
        push("multi", &referrer.digest, &referrer).await;
        serving.stop();
        let children = [parts(&one), parts(&two)].concat().into_iter().collect();
        Self { directory, children, referrers: parts(&referrer).into_iter().collect() }
    }

    /// What a collector leaves of a copy of the tree.
    fn collected_by(&self, registry: &Stock, flags: &[&str]) -> Left {
        let directory = TempDir::new().unwrap();
        copy(&self.directory.path().join("data/docker"), &directory.path().join("data/docker"));
        let (is_done, said) = registry.collect_garbage(&config(), flags, directory.path());
        assert!(is_done, "{registry:?} {flags:?}: {said}");
        Left::in_tree(&directory.path().join("data/docker/registry/v2"))
    }
}

/// The same artifact with a layer and a configuration of its own.
fn with_layers_of(artifact: &Image, word: &str) -> Image {
    let other = image_of(word);
    let mut value = artifact.value();
    for field in ["config", "layers"] {
        value[field] = other.value()[field].clone();
    }
    Image { config: other.config.clone(), layer: other.layer, ..artifact.with(&value) }
}

impl Left {
    fn in_tree(root: &Path) -> Self {
        let mut left = Self { blobs: BTreeSet::new(), links: BTreeSet::new() };
        let mut waiting = vec![root.to_owned()];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            left.take_in(&path.strip_prefix(root).map(PathBuf::from).unwrap());
        }
        left
    }

    fn take_in(&mut self, path: &Path) {
        let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
        match parts.as_slice() {
            ["blobs", "sha256", _, hex, "data"] => {
                self.blobs.insert(format!("sha256:{hex}"));
            }
            ["repositories", .., "link"] if !parts.contains(&"_layers") => {
                self.links.insert(path.to_str().unwrap().to_owned());
            }
            _ => {}
        }
    }

    /// The manifests that are in a repository.
    fn revisions(&self) -> BTreeSet<String> {
        let digest = |link: &String| Some(format!("sha256:{}", link.split("/revisions/sha256/").nth(1)?.strip_suffix("/link")?));
        self.links.iter().filter_map(digest).collect()
    }
}

/// Every registry that is here: ours always.
fn registries() -> Vec<Stock> {
    [Version::Two, Version::Three].into_iter().filter_map(Stock::find).chain([Stock::ours()]).collect()
}

#[tokio::test]
async fn a_plain_collection_leaves_what_that_of_the_stock_registries_leaves() {
    for writer in registries() {
        let tree = Tree::written_by(&writer).await;
        let ours = tree.collected_by(&Stock::ours(), &[]);
        let orphans = [sha256(b"an orphan"), sha256(b"another orphan"), image_of("deleted").digest];
        assert!(orphans.iter().all(|orphan| !ours.blobs.contains(orphan)), "{writer:?}");
        assert!(ours.revisions().contains(&image_of("first").digest), "{writer:?}: an old tag's manifest stays");
        for collector in registries() {
            assert_eq!(tree.collected_by(&collector, &[]), ours, "{collector:?} on the tree of {writer:?}");
        }
    }
}

#[tokio::test]
async fn a_collection_of_untagged_manifests_keeps_children_and_referrers_besides_what_stock_registries_keep() {
    for writer in registries() {
        let tree = Tree::written_by(&writer).await;
        let ours = tree.collected_by(&Stock::ours(), &["-m"]);
        for gone in ["first", "child of nothing", "deleted"] {
            assert!(parts(&image_of(gone)).iter().all(|part| !ours.blobs.contains(part)), "{gone}, {writer:?}");
        }
        for stock in [Version::Two, Version::Three].into_iter().filter_map(Stock::find) {
            let theirs = tree.collected_by(&stock, &["-m"]);
            let besides: BTreeSet<String> = ours.blobs.difference(&theirs.blobs).cloned().collect();
            let mut expected = tree.referrers.clone();
            if stock.version == Version::Two {
                expected.extend(lost_children(&tree, &theirs));
            }
            assert_eq!(besides, expected, "{stock:?} on the tree of {writer:?}");
            assert!(theirs.blobs.is_subset(&ours.blobs) && theirs.links.is_subset(&ours.links), "{stock:?} on the tree of {writer:?}");
        }
    }
}

/// What 2.8 takes of the children: their layers always, since it follows an index one level only.
fn lost_children(tree: &Tree, theirs: &Left) -> BTreeSet<String> {
    let lost: BTreeSet<String> = tree.children.iter().filter(|part| !theirs.blobs.contains(*part)).cloned().collect();
    for layer in ["child one", "child two"].map(|word| sha256(&image_of(word).layer)) {
        assert!(lost.contains(&layer), "{lost:?}");
    }
    lost
}
