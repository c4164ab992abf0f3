//! Called as `htpasswd`: the commands of Apache's program that people use for a registry, with bcrypt and nothing else.
//!
//! What differs: bcrypt is used whether `-B` is given or not, at the cost of `user add` unless `-C` says another, and a new file
//! can be read by its owner alone.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Parser};
use zeroize::Zeroizing;

use super::print;
use super::user::{Asked, ask, first_line};
use crate::auth::{PasswordFile, PasswordHash, UserName};

const EXAMPLES: &str = "\
Examples:
  htpasswd -Bbn alice secret >> /auth/htpasswd
  htpasswd -Bc /auth/htpasswd alice
  printf %s \"$PASSWORD\" | htpasswd -Bi /auth/htpasswd alice
  htpasswd -D /auth/htpasswd alice

Hashes are bcrypt, the only ones that a registry accepts.";

/// Users and passwords of a registry, as Apache's htpasswd makes them.
#[derive(Debug, Parser)]
#[command(name = "htpasswd", after_help = EXAMPLES, disable_version_flag = true)]
#[command(group = ArgGroup::new("does").args(["print", "create", "delete", "verify"]))]
#[command(override_usage = "htpasswd [-Bci] [-C COST] FILE USER\n       htpasswd -b[Bc] [-C COST] FILE USER PASSWORD\n       \
    htpasswd -n[Bi] [-C COST] USER\n       htpasswd -nb[B] [-C COST] USER PASSWORD\n       \
    htpasswd -D FILE USER\n       htpasswd -v[i] FILE USER\n       htpasswd -vb FILE USER PASSWORD")]
pub(super) struct Arguments {
    /// Make a new file, or empty the one that is there.
    #[arg(short)]
    create: bool,
    /// Print the line instead of writing it to a file.
    #[arg(short = 'n')]
    print: bool,
    /// The password is the last argument.
    #[arg(short)]
    batch: bool,
    /// Read the password from standard input, once.
    #[arg(short = 'i', conflicts_with = "batch")]
    input: bool,
    /// Use bcrypt, which is always so.
    #[arg(short = 'B')]
    bcrypt: bool,
    /// The cost of the hash.
    #[arg(short = 'C', value_name = "COST", value_parser = clap::value_parser!(u32).range(4..=17))]
    cost: Option<u32>,
    /// Delete the user.
    #[arg(short = 'D')]
    delete: bool,
    /// Check the password: exit 0 when it is the user's, 3 when not.
    #[arg(short)]
    verify: bool,
    /// FILE, USER and PASSWORD, as far as they are asked for.
    #[arg(required = true, num_args = 1..=3, value_name = "FILE USER PASSWORD")]
    words: Vec<String>,
}

/// What is asked for, with each word in its place.
struct Task {
    file: Option<PathBuf>,
    user: UserName,
    password: Option<Zeroizing<String>>,
}

impl Arguments {
    fn task(&mut self) -> Result<Task, String> {
        let expected = 1 + usize::from(!self.print) + usize::from(self.batch && !self.delete);
        if self.words.len() != expected {
            return Err(format!("{expected} words are needed here, and there are {}", self.words.len()));
        }
        let mut words = std::mem::take(&mut self.words).into_iter();
        let file = if self.print { None } else { words.next().map(PathBuf::from) };
        let user = words.next().unwrap_or_default().parse().map_err(|fault: crate::auth::EntryFault| fault.to_string())?;
        Ok(Task { file, user, password: words.next().map(Zeroizing::new) })
    }

    fn password(&self, given: Option<Zeroizing<String>>, asked: Asked) -> anyhow::Result<Zeroizing<String>> {
        match given {
            Some(password) => Ok(password),
            None if self.input => first_line(),
            None => ask(["New password: ", "Re-type new password: "], asked),
        }
    }

    fn hash(&self, password: &str) -> anyhow::Result<PasswordHash> {
        Ok(match self.cost {
            Some(cost) => PasswordHash::of_cost(password, cost)?,
            None => PasswordHash::of(password)?,
        })
    }
}

/// Carries out one command; 3 is what Apache's program answers to a wrong password.
pub(super) fn run(mut arguments: Arguments) -> Result<u8, Failure> {
    let Task { file, user, password } = arguments.task().map_err(Failure::Usage)?;
    let Some(path) = file else {
        let hash = arguments.hash(&arguments.password(password, Asked::Twice)?)?;
        // Apache's ends with an empty line too.
        print(format!("{user}:{}\n\n", hash.as_str()).as_bytes())?;
        return Ok(0);
    };
    if arguments.delete {
        return delete(&path, &user);
    }
    if arguments.verify {
        let file = open(&path)?;
        let right = file.verify(&user, &arguments.password(password, Asked::Once)?);
        say(if right == Some(true) { format!("Password for user {user} correct.") } else { "password verification failed".to_owned() });
        return Ok(if right == Some(true) { 0 } else { 3 });
    }
    // Before anybody types a password: is there a file to write it to?
    let mut file = if arguments.create { PasswordFile::empty(&path) } else { open(&path)? };
    let hash = arguments.hash(&arguments.password(password, Asked::Twice)?)?;
    let verb = if file.set(&user, &hash) { "Updating" } else { "Adding" };
    save(&file, &path)?;
    say(format!("{verb} password for user {user}"));
    Ok(0)
}

/// Why nothing came of it.
pub(super) enum Failure {
    /// The command line is not one of htpasswd's.
    Usage(String),
    /// The rest.
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn delete(path: &Path, user: &UserName) -> Result<u8, Failure> {
    let mut file = open(path)?;
    if !file.remove(user) {
        say(format!("User {user} not found"));
        return Ok(0);
    }
    save(&file, path)?;
    say(format!("Deleting password for user {user}"));
    Ok(0)
}

fn open(path: &Path) -> anyhow::Result<PasswordFile> {
    match PasswordFile::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("cannot modify file {}; use '-c' to create it", path.display())
        }
        opened => opened.with_context(|| format!("cannot read {}", path.display())),
    }
}

fn save(file: &PasswordFile, path: &Path) -> anyhow::Result<()> {
    file.save().with_context(|| format!("cannot write {}", path.display()))
}

/// Apache's program tells all but the lines themselves on standard error.
fn say(text: String) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
