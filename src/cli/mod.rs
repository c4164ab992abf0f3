//! The command line: one file per verb, each a call that ends in an exit code.
//!
//! 0: done. 1: failed, denied, or found wrong. 2: wrong usage. What a verb answers goes to standard output, what went wrong to
//! standard error. The environment is read here and handed down.

mod access;
mod check_config;
mod config_show;
mod dev;
mod development_certificate;
mod garbage_collect;
mod health;
mod htpasswd;
mod man;
mod names;
mod reload;
mod serve;
mod token;
mod user;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use self::names::{Call, Program};
use crate::auth::{HtpasswdOptions, Options};
use crate::config;

const EXAMPLES: &str = "\
Examples:
  breakwater serve --dev
      Make a certificate, a password and a configuration under ./var/ and serve https://localhost:5000
  breakwater serve /etc/docker/registry/config.yml
      Serve from the file of a registry:2
  REGISTRY_HTTP_ADDR=:443 breakwater serve config.yml
      The same with one key replaced by its variable
  breakwater user add /auth/htpasswd alice
      Ask for alice's password and keep its hash in the password file";

/// The container registry you already run, hardened: a drop-in for registry:2.
#[derive(Debug, Parser)]
#[command(name = "breakwater", version, disable_version_flag = true, after_help = EXAMPLES)]
struct Arguments {
    /// Print the version.
    #[arg(short = 'V', visible_short_alias = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the registry.
    Serve(serve::Arguments),
    /// Ask the registry of a configuration whether it can serve.
    Health(health::Arguments),
    /// Remove what nothing refers to.
    GarbageCollect(garbage_collect::Arguments),
    /// Check a configuration, and find rules that can never match.
    CheckConfig(check_config::Arguments),
    /// Have a running registry read its files again, and wait for the answer.
    Reload(reload::Arguments),
    /// The configuration in force.
    Config(config_show::Arguments),
    /// Edit a password file.
    User(user::Arguments),
    /// Ask what the access rules say.
    Access(access::Arguments),
    /// Machine tokens, and the key of the registry's own tokens.
    Token(token::Arguments),
    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  breakwater completions bash > /etc/bash_completion.d/breakwater")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example:\n  breakwater man > /usr/local/share/man/man1/breakwater.1")]
    Man,
}

/// What a verb found; what went wrong is an error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Denied,
}

/// The words between the name and the version that `registry --version` prints.
const PACKAGE_VERSION: &str = concat!("breakwater v", env!("CARGO_PKG_VERSION"));

/// Runs what the arguments ask for; the first argument is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let call = names::understand(arguments);
    let outcome = match call.program {
        Program::Htpasswd => htpasswd(call.arguments),
        Program::Breakwater | Program::Registry => parsed(call).map(carry_out),
    };
    outcome.unwrap_or_else(|answer| {
        // Help and version come this way too. Nobody is left to be told that printing failed.
        let _ = answer.print();
        ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2))
    })
}

/// The verb that a command line names. As `registry` it is the same one, with the stock program's answers to `--version` and to
/// nothing.
fn parsed(call: Call) -> Result<Verb, clap::Error> {
    let (mut command, mut arguments) = (Arguments::command(), call.arguments);
    if call.program == Program::Registry {
        command = command.name("registry").bin_name("registry").version(PACKAGE_VERSION);
        if arguments.is_empty() {
            arguments.push("help".into());
        }
    }
    let name = OsString::from(command.get_name());
    let mut matches = command.try_get_matches_from_mut(std::iter::once(name).chain(arguments))?;
    Ok(Arguments::from_arg_matches_mut(&mut matches)?.verb)
}

fn carry_out(verb: Verb) -> ExitCode {
    match perform(verb) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Denied) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "breakwater: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn htpasswd(arguments: Vec<OsString>) -> Result<ExitCode, clap::Error> {
    let arguments = htpasswd::Arguments::try_parse_from(std::iter::once("htpasswd".into()).chain(arguments))?;
    match htpasswd::run(arguments) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(htpasswd::Failure::Usage(text)) => Err(htpasswd::Arguments::command().error(clap::error::ErrorKind::WrongNumberOfValues, text)),
        Err(htpasswd::Failure::Other(error)) => {
            let _ = writeln!(std::io::stderr(), "htpasswd: {error:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn perform(verb: Verb) -> anyhow::Result<Outcome> {
    match verb {
        Verb::Serve(arguments) => serve::run(arguments),
        Verb::Health(arguments) => health::run(arguments),
        Verb::GarbageCollect(arguments) => garbage_collect::run(&arguments),
        Verb::CheckConfig(arguments) => check_config::run(arguments),
        Verb::Reload(arguments) => reload::run(arguments),
        Verb::Config(arguments) => config_show::run(arguments),
        Verb::User(arguments) => user::run(arguments),
        Verb::Access(arguments) => access::run(arguments),
        Verb::Token(arguments) => token::run(arguments),
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "breakwater", &mut text);
            print(&text)
        }
        Verb::Man => print(&man::page(Arguments::command())?),
    }
}

/// Answers on standard output; a reader that has seen enough is no failure.
fn print(text: &[u8]) -> anyhow::Result<Outcome> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Outcome::Done),
    }
}

/// The accounts of a configuration. Notices are a start's to give.
fn accounts(config: Option<PathBuf>) -> anyhow::Result<HtpasswdOptions> {
    let path = config::default_path(config, environment())?;
    let loaded = config::load(&path, environment())?;
    match loaded.config.auth {
        Options::Htpasswd(options) => Ok(options),
        Options::Open | Options::Token(_) => anyhow::bail!("{} has no accounts: there is no auth.htpasswd in it", path.display()),
    }
}

/// The variables that are text; no other is one of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
