//! What is measured, and the table that comes of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use breakwater::oci::{Algorithm, Digest, Digester};
use serde_json::json;

use super::Plan;
use super::client::{Connection, Target};
use super::collect;
use super::server::{Bench, Login, Server, Which};

/// The cases, in the order they run.
pub(crate) const NAMES: [&str; 9] = ["idle", "download", "upload", "manifest", "tags", "basic", "push-1", "push-16", "collect"];

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONNECTIONS: usize = 64;
const RATE_TIME: Duration = Duration::from_secs(4);
const MANY_TAGS: usize = 3000;
const IMAGES: usize = 150;

/// One figure of one server in one round, and the most memory it took.
struct Reading {
    value: f64,
    peak_mib: f64,
}

/// How a figure is read.
struct Figure {
    unit: &'static str,
    goal: &'static str,
}

/// Runs every case of a plan and prints its table.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let bench = Bench::new(&plan.stock)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("| case | unit | ours | stock | ours ÷ stock | goal | peak MiB ours, stock |\n|---|---|---:|---:|---:|---|---|");
    for name in NAMES.iter().filter(|name| plan.cases.is_empty() || plan.cases.iter().any(|one| one == *name)) {
        let mut readings = [Vec::new(), Vec::new()];
        for round in 0..plan.rounds {
            for (which, list) in [Which::Ours, Which::Stock].into_iter().zip(&mut readings) {
                let reading = runtime.block_on(measure(&bench, plan, name, which, round));
                list.push(reading.with_context(|| format!("{name}, {which:?}"))?);
            }
        }
        let [ours, stock] = readings.map(|list| (median(list.iter().map(|one| one.value)), median(list.iter().map(|one| one.peak_mib))));
        let Figure { unit, goal } = figure(name);
        let ratio = ours.0 / stock.0;
        println!("| {name} | {unit} | {:.2} | {:.2} | {ratio:.2} | {goal} | {:.0}, {:.0} |", ours.0, stock.0, ours.1, stock.1);
    }
    Ok(())
}

fn figure(name: &str) -> Figure {
    let (unit, goal) = match name {
        "idle" => ("MiB resident", "≤ 10 MiB"),
        "download" | "upload" => ("CPU s/GiB", "≤ 0.6"),
        "manifest" | "tags" => ("requests/s", "≥ 20"),
        "basic" => ("requests/s", "≥ 1000"),
        "collect" => ("seconds", "≤ 0.33"),
        _ => ("images/s", "≥ 5"),
    };
    Figure { unit, goal }
}

async fn measure(bench: &Bench, plan: &Plan, name: &str, which: Which, round: usize) -> Result<Reading> {
    if name == "collect" {
        return Ok(Reading { value: collect::measure(bench, which, &format!("{name}-{round}"))?, peak_mib: f64::NAN });
    }
    let login = if name == "basic" { Login::Basic } else { Login::Open };
    let server = bench.start(which, login, &format!("{name}-{round}"))?;
    let value = match name {
        "idle" => idle(&server).await?,
        "download" => download(&server, plan.blob_mib).await?,
        "upload" => upload(&server, plan.blob_mib).await?,
        "tags" => rate(&server, MANY_TAGS).await?,
        "manifest" | "basic" => rate(&server, 1).await?,
        "push-1" => pushes(&server, 1).await?,
        _ => pushes(&server, 16).await?,
    };
    Ok(Reading { value, peak_mib: server.memory_mib("VmHWM")? })
}

async fn idle(server: &Server) -> Result<f64> {
    let answer = server.target.connect().await?.request("GET", "/v2/", "", b"").await?;
    ensure!(answer.status == 200, "the base is answered {}", answer.status);
    server.memory_mib("VmRSS")
}

async fn download(server: &Server, mib: usize) -> Result<f64> {
    let mut connection = server.target.connect().await?;
    let (piece, digest) = large_blob(mib);
    push_large(&mut connection, &piece, mib, &digest).await?;
    let before = server.cpu_seconds()?;
    let answer = connection.request("GET", &format!("/v2/large/blobs/{digest}"), "", b"").await?;
    ensure!(answer.status == 200 && answer.length == mib << 20, "the blob is answered {}", answer.status);
    Ok((server.cpu_seconds()? - before) * 1024.0 / mib as f64)
}

async fn upload(server: &Server, mib: usize) -> Result<f64> {
    let mut connection = server.target.connect().await?;
    let (piece, digest) = large_blob(mib);
    let before = server.cpu_seconds()?;
    push_large(&mut connection, &piece, mib, &digest).await?;
    Ok((server.cpu_seconds()? - before) * 1024.0 / mib as f64)
}

fn large_blob(mib: usize) -> (Vec<u8>, Digest) {
    let piece: Vec<u8> = (0..1usize << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut digester = Digester::new(Algorithm::Sha256);
    for _ in 0..mib {
        digester.update(&piece);
    }
    (piece, digester.finish())
}

async fn push_large(connection: &mut Connection, piece: &[u8], mib: usize, digest: &Digest) -> Result<()> {
    let location = begin(connection, "large").await?;
    let answer = connection.upload("PUT", &with_digest(&location, digest), piece, mib).await?;
    ensure!(answer.status == 201, "the blob's end is answered {}", answer.status);
    Ok(())
}

/// Requests a second for a manifest by tag, over many connections.
async fn rate(server: &Server, tags: usize) -> Result<f64> {
    let mut connection = server.target.connect().await?;
    push_image(&mut connection, "read", 0, &(0..tags).map(|tag| format!("t{tag}")).collect::<Vec<_>>()).await?;
    let path = format!("/v2/read/manifests/t{}", tags / 2);
    let started = Instant::now();
    let loops = (0..CONNECTIONS).map(|_| count_requests(server.target.clone(), &path, started));
    let counts = futures_util::future::try_join_all(loops).await?;
    Ok(counts.iter().sum::<usize>() as f64 / started.elapsed().as_secs_f64())
}

async fn count_requests(target: Target, path: &str, started: Instant) -> Result<usize> {
    let mut connection = target.connect().await?;
    let mut count = 0;
    while started.elapsed() < RATE_TIME {
        let answer = connection.request("GET", path, "", b"").await?;
        ensure!(answer.status == 200, "the manifest is answered {}", answer.status);
        count += 1;
    }
    Ok(count)
}

/// Small images a second, some at a time, pushed as docker does.
async fn pushes(server: &Server, at_once: usize) -> Result<f64> {
    let started = Instant::now();
    let pushers = (0..at_once).map(|pusher| async move {
        let mut connection = server.target.connect().await?;
        for image in (pusher..IMAGES).step_by(at_once) {
            push_image(&mut connection, &format!("small/{}", image % 10), image + 1, &[format!("v{image}")]).await?;
        }
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(pushers).await?;
    Ok(IMAGES as f64 / started.elapsed().as_secs_f64())
}

/// Pushes an image of five layers of 4 KiB and gives it tags.
async fn push_image(connection: &mut Connection, repository: &str, seed: usize, tags: &[String]) -> Result<()> {
    let mut layers = Vec::new();
    for layer in 0..5 {
        let bytes: Vec<u8> = format!("{seed}-{layer}-").bytes().cycle().take(4096).collect();
        layers.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": 4096, "digest": push_blob(connection, repository, &bytes).await?}));
    }
    let config = json!({"architecture": "amd64", "os": "linux", "seed": seed}).to_string();
    let digest = push_blob(connection, repository, config.as_bytes()).await?;
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": digest});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).to_string();
    for tag in tags {
        let answer = connection.request("PUT", &format!("/v2/{repository}/manifests/{tag}"), MANIFEST, manifest.as_bytes()).await?;
        ensure!(answer.status == 201, "the manifest's push is answered {}", answer.status);
    }
    Ok(())
}

async fn push_blob(connection: &mut Connection, repository: &str, bytes: &[u8]) -> Result<Digest> {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    connection.request("HEAD", &format!("/v2/{repository}/blobs/{digest}"), "", b"").await?;
    let location = begin(connection, repository).await?;
    let kind = "application/octet-stream";
    let answer = connection.request("PATCH", &location, kind, bytes).await?;
    ensure!(answer.status == 202, "the bytes are answered {}", answer.status);
    let answer = connection.request("PUT", &with_digest(&answer.location.unwrap_or(location), &digest), kind, b"").await?;
    ensure!(answer.status == 201, "the blob's end is answered {}", answer.status);
    Ok(digest)
}

async fn begin(connection: &mut Connection, repository: &str) -> Result<String> {
    let answer = connection.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"").await?;
    ensure!(answer.status == 202, "the upload's start is answered {}", answer.status);
    answer.location.ok_or_else(|| anyhow::anyhow!("the upload has no location"))
}

fn with_digest(location: &str, digest: &Digest) -> String {
    format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}
