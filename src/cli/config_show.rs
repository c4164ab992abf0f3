//! `config show`: the values in force, and where each comes from.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Outcome, print};
use crate::config;

const EXAMPLES: &str = "\
Examples:
  breakwater config show --config config.yml
  REGISTRY_HTTP_ADDR=:443 breakwater config show | grep addr
  breakwater config show --json | jq '.[] | select(.origin != \"default\")'

Prints a configuration that would start the same registry, with the origin of each value beside it: FILE:LINE:COLUMN, a variable, or \
`default`. Secrets are printed as ********, which is refused by check-config.";

/// The arguments of `config`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the values in force, each with its origin, secrets masked.
    #[command(after_help = EXAMPLES)]
    Show {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print an array of objects, for programs.
        #[arg(long)]
        json: bool,
    },
}

/// Runs `config VERB`.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let Verb::Show { config, json } = arguments.verb;
    let path = config::default_path(config, super::environment())?;
    let loaded = config::load(&path, super::environment())?;
    if json {
        return print(format!("{}\n", serde_json::to_string_pretty(&loaded.shown())?).as_bytes());
    }
    print(loaded.shown_as_yaml().as_bytes())
}
