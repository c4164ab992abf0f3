//! `user`: who stands in a password file.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Outcome, print};
use crate::auth::{PasswordFile, PasswordHash, UserName};

const EXAMPLES: &str = "\
Examples:
  breakwater user add /auth/htpasswd alice
  printf %s \"$PASSWORD\" | breakwater user add /auth/htpasswd ci --password-stdin
  breakwater user list /auth/htpasswd --json
  breakwater user verify /auth/htpasswd alice
  breakwater user remove /auth/htpasswd alice

A running registry notices the change by itself.";

/// More than any password; what follows is not read.
const LONGEST_INPUT: u64 = 4096;

/// The arguments of `user`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a user, or replace the password of one; a file that is missing is made.
    Add(Credentials),
    /// Remove a user.
    Remove {
        /// The password file.
        file: PathBuf,
        /// The user's name.
        name: UserName,
    },
    /// List the users.
    List {
        /// The password file.
        file: PathBuf,
        /// As JSON: name, line, and whether the hash is one that can match.
        #[arg(long)]
        json: bool,
    },
    /// Check a password: exit 0 when it is the user's, 1 when not.
    Verify(Credentials),
}

#[derive(Args, Debug)]
struct Credentials {
    /// The password file.
    file: PathBuf,
    /// The user's name.
    name: UserName,
    /// Read the password from standard input instead of asking for it; one line break at its end is cut.
    #[arg(long)]
    password_stdin: bool,
}

/// Carries out one change or question.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.verb {
        Verb::Add(credentials) => add(&credentials),
        Verb::Remove { file, name } => remove(&file, &name),
        Verb::List { file, json } => list(&file, json),
        Verb::Verify(credentials) => verify(&credentials),
    }
}

fn add(credentials: &Credentials) -> anyhow::Result<Outcome> {
    let Credentials { file: path, name, .. } = credentials;
    // Before anybody types a password: is there anything to write it to?
    PasswordFile::open_or_new(path).with_context(|| cannot("read", path))?;
    let password = credentials.password(Asked::Twice)?;
    let hash = PasswordHash::of(&password)?;
    let mut file = PasswordFile::open_or_new(path).with_context(|| cannot("read", path))?;
    let known = file.set(name, &hash);
    file.save().with_context(|| cannot("write", path))?;
    let what = if known { "replaced the password of" } else { "added" };
    print(format!("{what} {name}\n").as_bytes())
}

fn remove(path: &Path, name: &UserName) -> anyhow::Result<Outcome> {
    let mut file = PasswordFile::open(path).with_context(|| cannot("read", path))?;
    if !file.remove(name) {
        bail!("there is no user {name} in {}", path.display());
    }
    file.save().with_context(|| cannot("write", path))?;
    print(format!("removed {name}\n").as_bytes())
}

fn list(path: &Path, json: bool) -> anyhow::Result<Outcome> {
    let file = PasswordFile::open(path).with_context(|| cannot("read", path))?;
    let mut text = String::new();
    if json {
        let users: Vec<_> = file.users().map(|user| json!({"name": user.name, "line": user.line, "bcrypt": user.bcrypt})).collect();
        writeln!(text, "{}", serde_json::to_string(&users)?)?;
    } else {
        for user in file.users() {
            let note = if user.bcrypt { "" } else { "  (cannot log in: the hash is not bcrypt)" };
            writeln!(text, "{}{note}", user.name)?;
        }
    }
    print(text.as_bytes())
}

fn verify(credentials: &Credentials) -> anyhow::Result<Outcome> {
    let Credentials { file: path, name, .. } = credentials;
    let file = PasswordFile::open(path).with_context(|| cannot("read", path))?;
    let password = credentials.password(Asked::Once)?;
    match file.verify(name, &password) {
        Some(true) => print(b"the password is right\n"),
        Some(false) => print(b"the password is wrong\n").map(|_| Outcome::Denied),
        None => bail!("there is no user {name} with a bcrypt hash in {}", path.display()),
    }
}

/// How often a password is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Once,
    Twice,
}

impl Credentials {
    fn password(&self, asked: Asked) -> anyhow::Result<Zeroizing<String>> {
        if self.password_stdin {
            return first_line();
        }
        ask([&format!("Password of {}: ", self.name), "The same again: "], asked)
    }
}

/// The first line of standard input.
pub(super) fn first_line() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(LONGEST_INPUT).read_to_string(&mut text).context("cannot read the password from standard input")?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Zeroizing::new(line.to_owned()))
}

/// Asks at the terminal, with the first prompt and then with the second.
pub(super) fn ask(prompts: [&str; 2], asked: Asked) -> anyhow::Result<Zeroizing<String>> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).context(NO_TERMINAL);
    let password = Zeroizing::new(ask(prompts[0])?);
    if asked == Asked::Twice && *Zeroizing::new(ask(prompts[1])?) != *password {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(password)
}

const NO_TERMINAL: &str = "there is no terminal to ask at; pass the password by standard input (user add: --password-stdin; htpasswd: -i)";

fn cannot(verb: &str, path: &Path) -> String {
    format!("cannot {verb} {}", path.display())
}
