//! `garbage-collect`: takes the arguments of registry:2's, and says that it is not there yet.

use std::path::PathBuf;

use clap::Args;

use super::Outcome;

/// The arguments of `garbage-collect`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The configuration file.
    config: Option<PathBuf>,
    /// Say what would be done, and do nothing.
    #[arg(short, long)]
    dry_run: bool,
    /// Delete manifests without a tag.
    #[arg(short = 'm', long)]
    delete_untagged: bool,
    /// Say less.
    #[arg(short, long)]
    quiet: bool,
}

/// Refuses.
pub(super) fn run(_: &Arguments) -> anyhow::Result<Outcome> {
    anyhow::bail!("garbage-collect is not there yet; nothing was changed")
}
