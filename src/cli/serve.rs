//! `serve`: finds and loads the configuration, and hands it to the server.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;

use super::{Outcome, dev};
use crate::config;
use crate::server::RootStart;

const EXAMPLES: &str = "\
Examples:
  breakwater serve config.yml
  breakwater serve --dev
  breakwater serve --dev --addr localhost:5443
  REGISTRY_STORAGE_DELETE_ENABLED=true breakwater serve config.yml

Without CONFIG the file is the one that REGISTRY_CONFIGURATION_PATH names, else /etc/distribution/config.yml, else \
/etc/docker/registry/config.yml. Each key has its variable: http.addr is REGISTRY_HTTP_ADDR.";

/// The arguments of `serve`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file, as of registry:2.
    #[arg(conflicts_with = "dev")]
    config: Option<PathBuf>,
    /// Make all that is needed under ./var/, once, and serve localhost:5000 over HTTPS.
    #[arg(long)]
    dev: bool,
    /// With --dev: the address to listen on, for this run.
    #[arg(long, value_name = "HOST:PORT", requires = "dev", value_parser = address)]
    addr: Option<String>,
    /// Started as root, stay root: do not become the owner of the data root.
    #[arg(long)]
    as_root: bool,
}

fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("write HOST:PORT, such as localhost:5443".to_owned()),
    }
}

const TAKEN_DEV: &str = "another program has that address; choose another port with `--addr localhost:5443` (on macOS, AirPlay \
     Receiver sits on port 5000; the system's settings switch it off)";
const TAKEN: &str = "another program has that address; choose another with `http.addr` in the configuration, or with REGISTRY_HTTP_ADDR";

impl Arguments {
    /// The file that is named.
    pub(super) fn config(self) -> Option<PathBuf> {
        self.config
    }
}

/// Serves until a signal ends it.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let (loaded, taken) = if arguments.dev {
        (dev::prepare(arguments.addr)?, TAKEN_DEV)
    } else {
        let path = config::default_path(arguments.config, super::environment())?;
        (config::load(&path, super::environment())?, TAKEN)
    };
    // What --dev makes is for whoever called it.
    let root_start = if arguments.as_root || arguments.dev { RootStart::Stay } else { RootStart::BecomeOwner };
    match crate::server::run(loaded, root_start) {
        Err(error) if is_address_in_use(&error) => Err(error.context(taken)),
        other => other.map(|()| Outcome::Done),
    }
}

fn is_address_in_use(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|error| error.kind() == ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_known_wherever_it_stands_in_the_chain() {
        let taken = anyhow::Error::from(std::io::Error::from(ErrorKind::AddrInUse)).context("cannot listen").context("cannot start");
        assert!(is_address_in_use(&taken));
        assert!(!is_address_in_use(&anyhow::anyhow!("another")));
    }
}
