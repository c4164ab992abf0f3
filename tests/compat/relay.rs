//! The relay: one directory served in turn by 2.8.2, by 3.x and by us, ten rounds of pushes, deletes, sweeps and crashes.
//!
//! Whoever takes over finds every image that was acknowledged, whole, and nothing that was deleted. A push that a crash cut off is there
//! whole or not at all with us; a stock registry may have left it broken, which concerns nobody else.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Image, OCI_INDEX, image_of, index_of, sha256};
use crate::peer::Peer;
use crate::replay::dice::Dice;
use crate::stock::{Serving, Stock, Version};

const ROUNDS: usize = 10;

/// How many changes whoever serves makes.
const CHANGES: usize = 5;

const REPOSITORIES: [&str; 4] = ["a", "a/b", "team/app", "team/app-2"];
const TAGS: [&str; 4] = ["latest", "v1", "V1.0_x", "2"];

fn config() -> Value {
    json!({
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": "DIR/data"}, "delete": {"enabled": true}},
        "http": {"addr": "127.0.0.1:0", "secret": "sesame"},
    })
}

/// A manifest, with the blobs that it names.
#[derive(Clone, Debug)]
struct Stored {
    manifest: Bytes,
    blobs: Vec<Bytes>,
    children: Vec<String>,
}

/// What must be in the directory.
#[derive(Default)]
struct Expected {
    /// By repository and digest.
    manifests: BTreeMap<(String, String), Stored>,
    /// By repository and tag.
    tags: BTreeMap<(String, String), String>,
    deleted: BTreeSet<(String, String)>,
    /// Uploads under way: repository, where it goes on, its bytes so far, the rest.
    uploads: Vec<(String, String, Bytes, Bytes)>,
    /// Pushes that a crash cut off, each to a repository of its own.
    doubtful: Vec<(String, Image)>,
    images: usize,
    crashes: usize,
    collections: usize,
}

struct Relay {
    directory: TempDir,
    dice: Dice,
    expected: Expected,
    registries: Vec<Stock>,
}

impl Relay {
    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.dice.below(among.len())]
    }

    /// One turn: finds everything, changes something, ends or dies, and perhaps collects.
    async fn turn(&mut self, registry: &Stock) {
        let serving = registry.start(&config(), &[], self.directory.path());
        let peer = Peer::new(serving.address);
        self.expected.is_all_there(&peer, registry).await;
        self.finish_uploads(&peer, registry).await;
        for _ in 0..CHANGES {
            match self.dice.below(10) {
                0..=4 => self.push(&peer).await,
                5 => self.push_index(&peer).await,
                6 => self.mount(&peer).await,
                7 => self.begin_upload(&peer).await,
                _ => self.delete(&peer).await,
            }
        }
        if self.dice.chance(40) {
            self.crash(serving, &peer).await;
        } else {
            serving.stop();
        }
        if self.dice.chance(50) {
            self.collect(registry);
        }
    }

    fn new_image(&mut self) -> Image {
        self.expected.images += 1;
        let image = image_of(&format!("number {}", self.expected.images));
        // Layers that many share.
        let shared = Bytes::from(format!("a shared layer {}", self.dice.below(3)));
        let mut value = image.value();
        value["layers"][0]["digest"] = sha256(&shared).into();
        value["layers"][0]["size"] = shared.len().into();
        if self.dice.chance(50) { Image { layer: shared, ..image.with(&value) } } else { image }
    }

    async fn push(&mut self, peer: &Peer) {
        let (repository, tag, image) = (self.pick(&REPOSITORIES), self.pick(&TAGS), self.new_image());
        let (status, body) = peer.push_image(repository, tag, &image).await.unwrap();
        assert_eq!(status, 201, "{body:?}");
        let blobs = vec![image.config.clone(), image.layer.clone()];
        self.expected.store(repository, Some(tag), Stored { manifest: image.manifest, blobs, children: Vec::new() });
    }

    async fn push_index(&mut self, peer: &Peer) {
        let (repository, tag) = (self.pick(&REPOSITORIES), self.pick(&TAGS));
        let children: Vec<(String, Value)> = self
            .expected
            .manifests
            .iter()
            .filter(|((of, _), _)| of == repository)
            .map(|((_, digest), stored)| {
                let value: Value = serde_json::from_slice(&stored.manifest).unwrap();
                (digest.clone(), json!({"mediaType": value["mediaType"], "digest": digest, "size": stored.manifest.len()}))
            })
            .take(3)
            .collect();
        let (children, descriptors): (Vec<String>, Vec<Value>) = children.into_iter().unzip();
        if descriptors.is_empty() {
            // A repository without blobs is none to 2.8, whose collection would sweep its manifests.
            return self.push(peer).await;
        }
        let manifest = index_of(OCI_INDEX, &descriptors);
        let (status, body) = peer.push_manifest(repository, tag, &manifest).await.unwrap();
        assert_eq!(status, 201, "{body:?}");
        self.expected.store(repository, Some(tag), Stored { manifest, blobs: Vec::new(), children });
    }

    /// Makes an image of one repository one of another, without sending its blobs.
    async fn mount(&mut self, peer: &Peer) {
        let images: Vec<((String, String), Stored)> = self
            .expected
            .manifests
            .iter()
            .filter(|(_, stored)| !stored.blobs.is_empty())
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect();
        if images.is_empty() {
            return;
        }
        let ((from, _), stored) = images[self.dice.below(images.len())].clone();
        let (to, tag) = (self.pick(&REPOSITORIES), self.pick(&TAGS));
        for blob in &stored.blobs {
            assert!(peer.mount(to, &from, &sha256(blob)).await, "from {from} to {to}");
        }
        assert_eq!(peer.push_manifest(to, tag, &stored.manifest).await.unwrap().0, 201);
        self.expected.store(to, Some(tag), stored);
    }

    async fn begin_upload(&mut self, peer: &Peer) {
        let repository = self.pick(&REPOSITORIES);
        let first = Bytes::from(format!("the first half {} ", self.dice.below(1_000_000)));
        let location = peer.begin(repository, &first).await;
        self.expected.uploads.push((repository.to_owned(), location, first, Bytes::from_static(b"and the second")));
    }

    /// Goes on with what others began.
    async fn finish_uploads(&mut self, peer: &Peer, registry: &Stock) {
        for (repository, location, first, rest) in std::mem::take(&mut self.expected.uploads) {
            let whole = Bytes::from([first, rest.clone()].concat());
            let (status, body) = peer.finish(&location, &sha256(&whole), rest).await.unwrap();
            assert_eq!(status, 201, "{registry:?}: {body:?}");
            let (status, body) = peer.get(&format!("/v2/{repository}/blobs/{}", sha256(&whole))).await.unwrap();
            assert_eq!((status.as_u16(), body), (200, whole), "{registry:?}");
        }
    }

    async fn delete(&mut self, peer: &Peer) {
        let named: Vec<(String, String)> = self.expected.manifests.keys().cloned().collect();
        if named.len() < 6 {
            return;
        }
        let (repository, digest) = named[self.dice.below(named.len())].clone();
        // What an index needs stays, as a client that cares would have it.
        let is_child = |stored: &Stored| stored.children.contains(&digest);
        if self.expected.manifests.iter().any(|((of, _), stored)| *of == repository && is_child(stored)) {
            return;
        }
        let (status, body) = peer.delete(&format!("/v2/{repository}/manifests/{digest}")).await.unwrap();
        assert_eq!(status, 202, "{body:?}");
        self.expected.remove(&repository, &digest);
    }

    /// Dies in the middle of a push, at any point of it: the one wait of the test is for nothing but chance.
    async fn crash(&mut self, mut serving: Serving, peer: &Peer) {
        let image = self.new_image();
        let repository = format!("crash/{}", self.expected.images);
        let moment = std::time::Duration::from_micros(self.dice.below(15_000) as u64);
        let pushed = tokio::select! {
            pushed = peer.push_image(&repository, "latest", &image) => pushed.is_ok_and(|(status, _)| status == 201),
            () = tokio::time::sleep(moment) => false,
        };
        serving.kill();
        self.expected.crashes += 1;
        if pushed {
            let blobs = vec![image.config.clone(), image.layer.clone()];
            self.expected.store(&repository, Some("latest"), Stored { manifest: image.manifest, blobs, children: Vec::new() });
        } else {
            self.expected.doubtful.push((repository, image));
        }
    }

    /// Whoever served collects. Ours goes on past what a crash left; a stock registry may not.
    fn collect(&mut self, registry: &Stock) {
        let is_ours = registry.version == Version::Ours;
        let flags: &[&str] = if is_ours && self.dice.chance(50) { &["-m"] } else { &[] };
        let (is_done, said) = registry.collect_garbage(&config(), flags, self.directory.path());
        assert!(is_done || (!is_ours && !self.expected.doubtful.is_empty()), "{registry:?} {flags:?}: {said}");
        self.expected.collections += usize::from(is_done);
        if !flags.is_empty() {
            self.expected.drop_untagged();
        }
    }
}

impl Expected {
    fn store(&mut self, repository: &str, tag: Option<&str>, stored: Stored) {
        let key = (repository.to_owned(), sha256(&stored.manifest));
        if let Some(tag) = tag {
            self.tags.insert((repository.to_owned(), tag.to_owned()), key.1.clone());
        }
        self.deleted.remove(&key);
        self.manifests.insert(key, stored);
    }

    fn remove(&mut self, repository: &str, digest: &str) {
        self.tags.retain(|(of, _), to| of != repository || to != digest);
        let key = (repository.to_owned(), digest.to_owned());
        self.manifests.remove(&key);
        self.deleted.insert(key);
    }

    /// What a collection of untagged manifests leaves: what tags point to, and what any index that is left names.
    fn drop_untagged(&mut self) {
        let mut kept: BTreeSet<(String, String)> = self.tags.iter().map(|((of, _), digest)| (of.clone(), digest.clone())).collect();
        loop {
            let named: BTreeSet<&String> =
                kept.iter().filter_map(|key| self.manifests.get(key)).flat_map(|stored| &stored.children).collect();
            let more: Vec<_> = self.manifests.keys().filter(|key| !kept.contains(*key) && named.contains(&key.1)).cloned().collect();
            if more.is_empty() {
                break;
            }
            kept.extend(more);
        }
        let gone: Vec<_> = self.manifests.keys().filter(|key| !kept.contains(*key)).cloned().collect();
        for (repository, digest) in gone {
            self.remove(&repository, &digest);
        }
    }

    async fn is_all_there(&self, peer: &Peer, registry: &Stock) {
        for ((repository, digest), stored) in &self.manifests {
            let at = format!("{registry:?}: {repository}@{digest}");
            let (status, body) = peer.get(&format!("/v2/{repository}/manifests/{digest}")).await.unwrap();
            assert_eq!((status.as_u16(), &body), (200, &stored.manifest), "{at}");
            for blob in &stored.blobs {
                let (status, body) = peer.get(&format!("/v2/{repository}/blobs/{}", sha256(blob))).await.unwrap();
                assert_eq!((status.as_u16(), &body), (200, blob), "{at}");
            }
        }
        for repository in REPOSITORIES {
            let of = |((of, tag), digest): (&(String, String), &String)| (of == repository).then(|| (tag.clone(), digest.clone()));
            let tags: BTreeMap<String, String> = self.tags.iter().filter_map(of).collect();
            let (status, body) = peer.get(&format!("/v2/{repository}/tags/list")).await.unwrap();
            let listed: Value = serde_json::from_slice(&body).unwrap();
            let listed: BTreeSet<&str> = listed["tags"].as_array().into_iter().flatten().map(|tag| tag.as_str().unwrap()).collect();
            assert_eq!(listed, tags.keys().map(String::as_str).collect(), "{registry:?}: {repository}, {status}");
            for (tag, digest) in tags {
                let (status, body) = peer.get(&format!("/v2/{repository}/manifests/{tag}")).await.unwrap();
                assert_eq!((status.as_u16(), sha256(&body)), (200, digest), "{registry:?}: {repository}:{tag}");
            }
        }
        for (repository, digest) in &self.deleted {
            let (status, _) = peer.get(&format!("/v2/{repository}/manifests/{digest}")).await.unwrap();
            assert_eq!(status, 404, "{registry:?}: {repository}@{digest} was deleted");
        }
        if registry.version == Version::Ours {
            self.doubtful_is_whole_or_absent(peer).await;
        }
    }

    async fn doubtful_is_whole_or_absent(&self, peer: &Peer) {
        for (repository, image) in &self.doubtful {
            let (status, body) = peer.get(&format!("/v2/{repository}/manifests/latest")).await.unwrap();
            if status == 404 {
                continue;
            }
            assert_eq!((status.as_u16(), &body), (200, &image.manifest), "{repository}");
            for blob in [&image.config, &image.layer] {
                let (status, body) = peer.get(&format!("/v2/{repository}/blobs/{}", sha256(blob))).await.unwrap();
                assert_eq!((status.as_u16(), &body), (200, blob), "{repository}");
            }
        }
    }
}

#[tokio::test]
async fn every_image_is_accounted_for_in_ten_rounds_of_a_directory_served_in_turn() {
    let registries: Vec<Stock> = [Version::Two, Version::Three].into_iter().filter_map(Stock::find).chain([Stock::ours()]).collect();
    let mut relay = Relay { directory: TempDir::new().unwrap(), dice: Dice::new(2_8_3), expected: Expected::default(), registries };
    for _ in 0..ROUNDS {
        for registry in relay.registries.clone() {
            relay.turn(&registry).await;
        }
    }
    // The last word has each of them.
    for registry in relay.registries.clone() {
        let serving = registry.start(&config(), &[], relay.directory.path());
        relay.expected.is_all_there(&Peer::new(serving.address), &registry).await;
    }
    let Expected { crashes, collections, doubtful, .. } = &relay.expected;
    assert!(*crashes > 5 && *collections > 5 && !doubtful.is_empty(), "{crashes} crashes, {collections} collections");
    assert!(relay.expected.manifests.len() > 10, "{} manifests are left", relay.expected.manifests.len());
}
