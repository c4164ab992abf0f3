//! The time of a garbage collection: 20,000 blobs, half of them dead.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use breakwater::oci::{Algorithm, Digest};
use serde_json::json;

use super::server::{Bench, Which};

/// Ten blobs each: a configuration, eight layers and the manifest. Every other one is dead: its manifest was deleted.
const IMAGES: usize = 2000;
const REPOSITORIES: usize = 10;
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Collects on a fresh store. Seconds.
pub(crate) fn measure(bench: &Bench, which: Which, label: &str) -> Result<f64> {
    let store = bench.store(which, label);
    fill(&store.join("docker/registry/v2"))?;
    // What was written is not to be written back while the clock runs.
    rustix::fs::sync();
    let began = Instant::now();
    let said = bench.collect(which, label)?;
    let taken = began.elapsed().as_secs_f64();
    let expected = format!("{0} blobs marked, {0} blobs and 0 manifests eligible for deletion", IMAGES * 10 / 2);
    anyhow::ensure!(said.contains(&expected), "other garbage was found: {}", said.lines().rev().take(3).collect::<String>());
    Ok(taken)
}

fn fill(root: &Path) -> Result<()> {
    for image in 0..IMAGES {
        let repository = root.join(format!("repositories/r{}/app", image / 2 % REPOSITORIES));
        let mut blobs = Vec::new();
        for part in 0..9 {
            let digest = blob(root, format!("{image}-{part}-").repeat(200).as_bytes())?;
            link(&repository.join(format!("_layers/sha256/{}", digest.hex())), &digest)?;
            blobs.push(json!({"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1, "digest": digest}));
        }
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[0], "layers": blobs[1..]}).to_string();
        let digest = blob(root, manifest.as_bytes())?;
        let revision = repository.join(format!("_manifests/revisions/sha256/{}", digest.hex()));
        if image % 2 == 0 {
            link(&revision, &digest)?;
            let tag = repository.join(format!("_manifests/tags/t{image}"));
            link(&tag.join(format!("index/sha256/{}", digest.hex())), &digest)?;
            link(&tag.join("current"), &digest)?;
        } else {
            // What a stock registry leaves of a deleted manifest.
            fs::create_dir_all(revision)?;
        }
    }
    Ok(())
}

fn blob(root: &Path, bytes: &[u8]) -> Result<Digest> {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let directory: PathBuf = root.join(format!("blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex()));
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("data"), bytes)?;
    Ok(digest)
}

fn link(directory: &Path, digest: &Digest) -> Result<()> {
    fs::create_dir_all(directory)?;
    Ok(fs::write(directory.join("link"), digest.as_str())?)
}
