//! `health`: asks the registry of a configuration whether it can serve; the health check of the image.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use clap::Args;

use super::{Outcome, Verb, names, print};
use crate::config;

const EXAMPLES: &str = "\
Examples:
  breakwater health
  breakwater health --config config.yml

Asks for /readyz at http.addr on this machine, over TLS where that is configured. Exit 0: it can serve. 1: it cannot, or does not \
answer within five seconds. Without --config the file is that of the registry that runs in this container, else the usual one.";

/// The arguments of `health`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file of the registry.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Asks once.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let path = config::default_path(arguments.config.or_else(of_this_container), super::environment())?;
    let loaded = config::load(&path, super::environment())?;
    crate::server::health(&loaded.config)?;
    print(b"the registry can serve\n")
}

/// The file that the first process here, or a child of its (Docker's `--init` puts one before it), was told to serve. A health
/// check has a command of its own, and cannot know what the container's is.
fn of_this_container() -> Option<PathBuf> {
    let children = std::fs::read_to_string("/proc/1/task/1/children").unwrap_or_default();
    std::iter::once("1").chain(children.split_whitespace()).find_map(|process| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
        served(line.split(|byte| *byte == 0).filter(|part| !part.is_empty()).map(|part| OsString::from_vec(part.to_vec())))
    })
}

/// The configuration that a command line of ours names.
fn served(command_line: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut command_line = command_line.peekable();
    if !names::is_ours(command_line.peek()?) {
        return None;
    }
    match super::parsed(names::understand(command_line)).ok()? {
        Verb::Serve(arguments) => arguments.config(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_a_container_serves_is_known_by_its_command_line() {
        let table = [
            ("/entrypoint /path/x.yml", Some("/path/x.yml")),
            ("/entrypoint", None),
            ("registry serve /x.yml", Some("/x.yml")),
            ("/entrypoint serve --as-root /x.yml", Some("/x.yml")),
            ("breakwater health --config /y.yml", None),
            ("/sbin/docker-init -- /entrypoint /x.yml", None),
            ("/lib/systemd/systemd serve /x.yml", None),
        ];
        for (line, file) in table {
            assert_eq!(served(line.split(' ').map(OsString::from)), file.map(PathBuf::from), "{line}");
        }
    }
}
