//! Runs this registry beside the stock one on one machine in one run, and prints ratios.
//!
//! `cargo bench --bench beside -- [--stock PROGRAM] [--rounds N] [--mib N] [CASE…]`
//!
//! A program, not a timed test: it judges nothing. Both servers get the same certificate, the same kind of store on the same disk and
//! no access log, and take turns, so that what else the machine does falls on both. The server's own CPU time is the steadier figure.
//! Stores are removed at the very end: on some file systems the freeing of many files slows down whoever writes next.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

mod cases;
mod client;
mod collect;
mod server;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

/// What the command line asks for.
struct Plan {
    stock: String,
    rounds: usize,
    blob_mib: usize,
    cases: Vec<String>,
}

fn main() -> ExitCode {
    match plan().and_then(|plan| cases::run(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beside: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan> {
    let mut plan = Plan { stock: "docker-registry".to_owned(), rounds: 3, blob_mib: 1024, cases: Vec::new() };
    // `cargo bench` adds `--bench` itself.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--stock" => plan.stock = value()?,
            "--rounds" => plan.rounds = value()?.parse()?,
            "--mib" => plan.blob_mib = value()?.parse()?,
            name if cases::NAMES.contains(&name) => plan.cases.push(name.to_owned()),
            other => bail!("{other} is no case; there are {}", cases::NAMES.join(", ")),
        }
    }
    Ok(plan)
}
