//! Looks for differences in time that would tell a stranger who has an account, or what lies hidden.
//!
//! `cargo bench --bench timing -- [--pairs N] [CASE…]`
//!
//! A program for a quiet machine, not a timed test. It sends two kinds of requests in turn, over one connection, the one first as
//! often as the other, and counts in how many pairs the first kind took longer: with no difference in half of them, but for chance.
//! The sign test needs no assumption on how times are spread. Loopback is exempt from the login limits, as it is by default, since the delays
//! would hide what is looked for; passwords are hashed at the lowest cost, so that a small difference beside the hash is seen.
//! A control shows that the test finds a difference where there is one.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

#[path = "../beside/client.rs"]
#[expect(dead_code, reason = "the other program uses the rest")]
mod client;
mod pairs;
#[path = "../beside/server.rs"]
#[expect(dead_code, reason = "the other program uses the rest")]
mod server;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use breakwater::oci::{Algorithm, Digest};

use client::{Answer, Connection, Target};
use pairs::Pairs;
use server::{Bench, Which};

/// May do everything.
const OWNER: (&str, &str) = ("owner", "correct horse");
/// May do something elsewhere.
const STRANGER: (&str, &str) = ("stranger", "battery staple");
/// The lowest that bcrypt has.
const COST: u32 = 4;
/// Repositories beside those that are looked for, so that a walk over all is seen.
const OTHERS: usize = 50;
const BLOB: &[u8] = b"what lies in the hidden repository";

/// Two kinds of requests that must not be told apart, or, in the control, must.
struct Case {
    name: &'static str,
    method: &'static str,
    paths: [String; 2],
    users: [(&'static str, &'static str); 2],
    /// The status of both.
    status: [u16; 2],
}

fn cases() -> Vec<Case> {
    let (here, nowhere) = (Digest::of(Algorithm::Sha256, BLOB), Digest::of(Algorithm::Sha256, b"nowhere"));
    let twice = |path: &str| [path.to_owned(), path.to_owned()];
    let hidden = |name, method, path: &str| Case {
        name,
        method,
        paths: ["secret", "absent"].map(|repository| format!("/v2/team/{repository}/{path}")),
        users: [STRANGER; 2],
        status: [404; 2],
    };
    vec![
        Case {
            name: "user: known, unknown",
            method: "GET",
            paths: twice("/v2/"),
            users: [(OWNER.0, "wrong"), ("ghost", "wrong")],
            status: [401; 2],
        },
        hidden("tags: hidden, absent", "GET", "tags/list"),
        hidden("manifest: hidden, absent", "GET", "manifests/1"),
        hidden("blob: hidden, absent", "HEAD", &format!("blobs/{here}")),
        hidden("upload: hidden, absent", "POST", "blobs/uploads/"),
        Case {
            name: "blob: hidden, nowhere",
            method: "HEAD",
            paths: [&here, &nowhere].map(|digest| format!("/v2/stranger/app/blobs/{digest}")),
            users: [STRANGER; 2],
            status: [404; 2],
        },
        Case {
            name: "mount: hidden, nowhere",
            method: "POST",
            paths: [&here, &nowhere].map(|digest| format!("/v2/stranger/app/blobs/uploads/?mount={digest}")),
            users: [STRANGER; 2],
            status: [202; 2],
        },
        Case {
            name: "control: shown, hidden",
            method: "GET",
            paths: twice("/v2/team/secret/tags/list"),
            users: [OWNER, STRANGER],
            status: [200, 404],
        },
    ]
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("timing: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (mut count, mut chosen) = (2000, Vec::new());
    // `cargo bench` adds `--bench` itself.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pairs" => count = arguments.next().context("--pairs needs a value")?.parse()?,
            word if cases().iter().any(|case| case.name.starts_with(word)) => chosen.push(argument),
            other => bail!("{other} begins no case; there are {}", cases().iter().map(|case| case.name).collect::<Vec<_>>().join("; ")),
        }
    }
    let bench = Bench::new("")?;
    let sections = bench.auth(&[OWNER, STRANGER], COST)?
        + "access: {rules: [{who: 'user:owner', repositories: '**', actions: ['*']}, {who: 'user:stranger', repositories: '{user}/**', actions: ['*']}]}\n";
    let server = bench.start_with(Which::Ours, &sections, "timing")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&server.target))?;
    println!("| case | median of each, µs | difference, µs | first is longer | z | verdict |\n|---|---:|---:|---:|---:|---|");
    for case in cases().iter().filter(|case| chosen.is_empty() || chosen.iter().any(|word| case.name.starts_with(word.as_str()))) {
        println!("| {} | {} |", case.name, runtime.block_on(measure(&server.target, case, count)).context(case.name)?);
    }
    Ok(())
}

/// Repositories of the owner, one of them what is looked for, and one of the stranger.
async fn fill(target: &Target) -> Result<()> {
    let mut connection = target.basic(OWNER).connect().await?;
    push(&mut connection, "team/secret", BLOB).await?;
    push(&mut connection, "stranger/app", b"the stranger's own").await?;
    for number in 0..OTHERS {
        push(&mut connection, &format!("other/{number}"), format!("blob {number}").as_bytes()).await?;
    }
    Ok(())
}

/// Pushes a manifest of one blob, with a tag.
async fn push(connection: &mut Connection, repository: &str, bytes: &[u8]) -> Result<()> {
    const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    is(connection.request("POST", &path, "application/octet-stream", bytes).await?, 201)?;
    let blob = serde_json::json!({"mediaType": "application/x", "digest": digest, "size": bytes.len()});
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": KIND, "config": blob, "layers": []}).to_string();
    is(connection.request("PUT", &format!("/v2/{repository}/manifests/1"), KIND, manifest.as_bytes()).await?, 201)
}

fn is(answer: Answer, status: u16) -> Result<()> {
    ensure!(answer.status == status, "{} comes instead of {status}", answer.status);
    Ok(())
}

async fn measure(target: &Target, case: &Case, count: usize) -> Result<Pairs> {
    let mut connection = target.connect().await?;
    let targets = case.users.map(|user| target.basic(user));
    let mut pairs = Pairs::default();
    let warm_up = count / 10;
    for number in 0..warm_up + count {
        let mut times = [0.0; 2];
        for which in if number % 2 == 0 { [0, 1] } else { [1, 0] } {
            connection.target = targets[which].clone();
            let started = std::time::Instant::now();
            let answer = connection.request(case.method, &case.paths[which], "", b"").await?;
            times[which] = started.elapsed().as_secs_f64() * 1e6;
            is(answer, case.status[which])?;
        }
        if number >= warm_up {
            pairs.push(times);
        }
    }
    Ok(pairs)
}
