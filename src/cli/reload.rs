//! `reload`: has a running registry read its files again, and says what came of it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Outcome, print};
use crate::config;
use crate::server::{self, Reply, Request};

const EXAMPLES: &str = "\
Examples:
  breakwater reload
  breakwater reload --config config.yml && echo taken up

Exit 0: the configuration, rules, passwords, keys and certificates are taken up; keys that need a restart are named. 1: something \
cannot be used and the old of it stays, or no registry runs.";

/// The arguments of `reload`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file that the registry was started with.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Asks, and waits for the answer.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let path = config::default_path(arguments.config, super::environment())?;
    // Also of a configuration that cannot be used: the registry says so itself.
    let examined = config::examine(&path, super::environment());
    let Some(state) = examined.config.as_ref().map(|config| config.state.clone()) else { bail!("{}", examined.text().trim_end()) };
    match server::ask(&state, Request::Reload).context("the registry does not answer at its control socket")? {
        Reply::Done(None) => print(b"the registry has taken everything up\n"),
        Reply::Done(Some(note)) => print(format!("the registry has taken up what it can; {note}\n").as_bytes()),
        Reply::Failed(why) => bail!("the registry keeps what it had: {why}"),
        Reply::NotRunning => bail!("no registry runs on {}", state.display()),
    }
}
