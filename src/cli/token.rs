//! `token`: machine tokens, and the key that the registry signs its own tokens with.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, print};
use crate::auth::{self, HtpasswdOptions, MachineToken, MachineTokenFile, TokenPurpose};
use crate::server::{self, Reply, Request};

const EXAMPLES: &str = "\
Examples:
  breakwater token create --name ci --repository 'team/**' --action push --expires 30d > ci.secret
  docker login --username 'robot$ci' --password-stdin HOST < ci.secret
  breakwater token list
  breakwater token revoke ci
  breakwater token key rotate

A running registry follows at once.";

/// The arguments of `token`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a machine token, and print its secret, which is not kept.
    Create(Purpose),
    /// List the machine tokens, with the time of their last use.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Take a machine token away; it opens nothing from then on.
    Revoke {
        /// The name it was made with.
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// The keys that tokens are signed with.
    #[command(subcommand)]
    Key(Key),
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Sign with a new key; the one before verifies for two more token lives.
    Rotate {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args, Debug)]
struct Purpose {
    /// The name: it logs in as robot$NAME, and rules mean it by robot:NAME.
    #[arg(long)]
    name: String,
    /// A pattern of the repositories it is for (`team/**`); may be given several times.
    #[arg(long, required = true, value_name = "PATTERN")]
    repository: Vec<String>,
    /// The most it may do there: pull, push, create, delete or *; writing includes pull. May be given several times.
    #[arg(long, value_name = "ACTION", value_delimiter = ',', default_value = "pull")]
    action: Vec<String>,
    /// After which time it ends (90m, 12h, 30d); without it, when it is revoked.
    #[arg(long, value_name = "TIME", value_parser = life)]
    expires: Option<Duration>,
    /// As JSON: login, secret, expires.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
struct Place {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Carries out one change or question.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.verb {
        Verb::Create(purpose) => create(purpose),
        Verb::List { json, place } => list(place, json),
        Verb::Revoke { name, place } => revoke(place, &name),
        Verb::Key(Key::Rotate { place }) => rotate(place),
    }
}

fn create(asked: Purpose) -> anyhow::Result<Outcome> {
    let options = super::accounts(asked.place.config)?;
    let now = auth::seconds(SystemTime::now());
    let expires = asked.expires.map(|life| now.saturating_add(life.as_secs()));
    let purpose = TokenPurpose::new(&asked.name, asked.repository, &asked.action, expires)?;
    let created = MachineTokenFile::open(&options.state)?.create(purpose, now)?;
    let Some(secret) = created else {
        bail!("there is a token {0} already; revoke it first (`breakwater token revoke {0}`), or choose another name", asked.name)
    };
    // The secret is shown whatever comes of this: it is kept nowhere.
    let told = tell(&options.state);
    let login = format!("robot${}", asked.name);
    let end = expires.map_or_else(|| "when it is revoked".to_owned(), auth::rfc3339);
    if asked.json {
        print(format!("{}\n", json!({"login": login, "secret": *secret, "expires": expires.map(auth::rfc3339)})).as_bytes())?;
        return told.map(|()| Outcome::Done);
    }
    let mut text = format!("login: {login}\nends:  {end}\nThe secret is the password; it is shown this once:\n");
    if !options.rules.speak_of_robot(&asked.name) {
        writeln!(text, "(no rule under `access` speaks of robot:{} yet, so it opens nothing)", asked.name)?;
    }
    // Apart from the secret, which can so be piped to a program.
    std::io::stderr().write_all(text.as_bytes())?;
    print(format!("{}\n", *secret).as_bytes())?;
    told.map(|()| Outcome::Done)
}

fn list(place: Place, is_json: bool) -> anyhow::Result<Outcome> {
    let options = super::accounts(place.config)?;
    // A running registry writes down what it knows of last uses; where it cannot, the list is a minute old.
    let _ = server::ask(&options.state, Request::Tokens);
    let file = MachineTokenFile::read(&options.state)?;
    let now = auth::seconds(SystemTime::now());
    let row = |token: &MachineToken| {
        let last_use = file.last_use(token).map(auth::rfc3339);
        json!({
            "name": token.name, "login": format!("robot${}", token.name),
            "repositories": token.repositories, "actions": token.actions,
            "created": auth::rfc3339(token.created), "expires": token.expires.map(auth::rfc3339),
            "expired": token.is_expired(now), "last_used": last_use,
        })
    };
    if is_json {
        let rows: Vec<_> = file.tokens().iter().map(row).collect();
        return print(format!("{}\n", serde_json::to_string(&rows)?).as_bytes());
    }
    let mut text = String::new();
    for token in file.tokens() {
        let end = match token.expires.map(auth::rfc3339) {
            Some(end) if token.is_expired(now) => format!("expired {end}"),
            Some(end) => format!("until {end}"),
            None => "until revoked".to_owned(),
        };
        let used = file.last_use(token).map_or_else(|| "never used".to_owned(), |last| format!("last used {}", auth::rfc3339(last)));
        writeln!(text, "robot${}  {}  {}  {end}  {used}", token.name, token.repositories.join(" "), token.actions.join(","))?;
    }
    print(text.as_bytes())
}

fn revoke(place: Place, name: &str) -> anyhow::Result<Outcome> {
    let options = super::accounts(place.config)?;
    let name = name.strip_prefix("robot$").unwrap_or(name);
    if !MachineTokenFile::open(&options.state)?.revoke(name)? {
        bail!("there is no token {name}");
    }
    tell(&options.state)?;
    print(format!("revoked {name}\n").as_bytes())
}

fn rotate(place: Place) -> anyhow::Result<Outcome> {
    let options = super::accounts(place.config)?;
    let HtpasswdOptions { token_service: Some(service), state, .. } = options else {
        bail!("the registry signs no tokens: there is neither `tokenservice` nor `access` in the configuration");
    };
    if let Some(certificate) = service.certificate {
        bail!("tokenservice.certificate ({}) belongs to the key in use; let its authority issue a new pair instead", certificate.display());
    }
    let kid = auth::rotate(&service.signing_key, service.expiration * 2, SystemTime::now())?;
    tell(&state)?;
    print(format!("tokens are signed with the key {kid} now; the one before verifies for two more token lives\n").as_bytes())
}

/// Lets a running registry follow at once.
fn tell(state: &Path) -> anyhow::Result<()> {
    match server::ask(state, Request::Tokens).context("it is done, but the running registry cannot be told; it follows within seconds")? {
        Reply::Done(_) | Reply::NotRunning => Ok(()),
        Reply::Failed(why) => bail!("it is done, but the running registry could not follow: {why}"),
    }
}

/// A time as `90m`, `12h`, `30d`.
fn life(text: &str) -> Result<Duration, String> {
    let advice = || "write a number and a unit, such as 90m, 12h or 30d".to_owned();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(advice)?;
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(advice()),
    };
    let seconds =
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|seconds| (1..=LONGEST_LIFE).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "write a time from 1s to 100 years".to_owned())
}

const LONGEST_LIFE: u64 = 100 * 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_a_number_and_a_unit() {
        for (text, seconds) in [("1s", 1), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)] {
            assert_eq!(life(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "d", "-1d", "0d", "1.5h", "1y", "99999999999999999999d", "40000d"] {
            assert!(life(text).is_err(), "{text}");
        }
    }
}
