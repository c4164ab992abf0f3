//! `check-config`: what a start would say of a configuration, without one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;

use super::{Outcome, print};
use crate::auth::{HtpasswdOptions, Options, PasswordFile};
use crate::config::{self, Examined, Severity};
use crate::server;

const EXAMPLES: &str = "\
Examples:
  breakwater check-config config.yml
  REGISTRY_HTTP_ADDR=:443 breakwater check-config
  breakwater check-config --json config.yml

Looks at the file, its variables and all that they name, as a start would: other files, directories and the rights on them, keys and \
the dates of certificates, ports. Run it as the user that the registry runs as. It changes nothing on disk.

Exit 0: nothing wrong. 1: it cannot be used, or says something that cannot have been meant, such as a key that is unknown or a rule \
that can never match, or names a certificate that has expired or does not fit its key.";

/// The arguments of `check-config`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file.
    file: Option<PathBuf>,
    /// Print an array of objects, for programs.
    #[arg(long)]
    json: bool,
}

/// Checks a file with the environment over it.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let path = config::default_path(arguments.file, super::environment())?;
    let mut examined = config::examine(&path, super::environment());
    inspect(&mut examined);
    let mistakes = examined.mistakes();
    if arguments.json {
        print(format!("{}\n", serde_json::to_string_pretty(&examined.findings())?).as_bytes())?;
    } else {
        let verdict = if mistakes == 0 { "can be used".to_owned() } else { format!("errors found: {mistakes}") };
        print(format!("{}{}: {verdict}\n", examined.text(), path.display()).as_bytes())?;
    }
    Ok(if mistakes == 0 { Outcome::Done } else { Outcome::Denied })
}

/// Looks at what the configuration names.
fn inspect(examined: &mut Examined) {
    let Some(config) = examined.config.clone() else { return };
    if let Options::Htpasswd(options) = &config.auth {
        for user in strangers(options) {
            examined.add(Severity::Warning, "access", &format!("`{user}` is not in {} (yet)", options.path.display()));
        }
    }
    for (key, path) in examined.key_sets() {
        if let Err(text) = server::inspect_key_set(&path) {
            examined.add(Severity::Mistake, &key, &text);
        }
    }
    for finding in server::inspect(&config, SystemTime::now()) {
        examined.add(finding.severity, finding.key, &finding.text);
    }
}

/// Users of whom rules speak and whom the password file does not have. A file that is missing is made at the start, and has none.
fn strangers(options: &HtpasswdOptions) -> BTreeSet<&str> {
    let Ok(file) = PasswordFile::open(&options.path) else { return BTreeSet::new() };
    let known: BTreeSet<String> = file.users().map(|user| user.name).collect();
    options.rules.users().filter(|user| !known.contains(*user)).collect()
}
