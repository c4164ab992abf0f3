//! `access`: what the rules say, without asking a server.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Outcome, print};
use crate::auth::{self, Ceiling, Explanation, HtpasswdOptions, Identity, MachineTokenFile, OidcName, Rule, Source};
use crate::oci::Name;

const EXAMPLES: &str = "\
Examples:
  breakwater access explain alice push team/app
  breakwater access explain anonymous pull public/base --config config.yml
  breakwater access explain 'robot$ci' create team/app --from 10.1.2.3

USER is a name of the password file, anonymous, robot$NAME, oidc:NAME or cert:NAME. Exit 0: allowed. 1: denied.";

/// The arguments of `access`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say whether somebody may do something, and which rule decides.
    #[command(after_help = EXAMPLES)]
    Explain(Question),
}

#[derive(Args, Debug)]
struct Question {
    /// Who.
    user: String,
    /// What.
    action: Action,
    /// Where.
    repository: Name,
    /// From which address; without it rules that hold for some networks only do not count.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As JSON: whether it is allowed, and the rules with their places.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    Pull,
    Push,
    Create,
    Delete,
}

impl Action {
    fn parts(self) -> (auth::Action, &'static str) {
        match self {
            Self::Pull => (auth::Action::Pull, "pull from"),
            Self::Push => (auth::Action::Push, "push to"),
            Self::Create => (auth::Action::Create, "create in"),
            Self::Delete => (auth::Action::Delete, "delete from"),
        }
    }
}

/// Answers one question.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let Verb::Explain(question) = arguments.verb;
    let options = super::accounts(question.config.clone())?;
    let identity = identity(&question.user, &options)?;
    let ceiling = ceiling(&identity, &options)?;
    let source = Source::direct(question.from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    let (action, _) = question.action.parts();
    let explanation = options.rules.explain(&identity, source, ceiling.as_ref(), (action, &question.repository));
    let text = if question.json { in_json(&explanation) } else { in_words(&question, &explanation) };
    print(text.as_bytes())?;
    Ok(if explanation.allowed { Outcome::Done } else { Outcome::Denied })
}

fn identity(text: &str, options: &HtpasswdOptions) -> anyhow::Result<Identity> {
    if text == "anonymous" {
        return Ok(Identity::Anonymous);
    }
    if let Some(name) = text.strip_prefix("robot$") {
        return Ok(Identity::Robot(name.to_owned()));
    }
    let Some((kind, name)) = text.split_once(':') else { return Ok(Identity::User(text.to_owned())) };
    let name = name.to_owned();
    Ok(match kind {
        "user" => Identity::User(name),
        "robot" => Identity::Robot(name),
        "cert" => Identity::Certificate(name),
        "oidc" => {
            let issuers: Vec<&str> = options.oidc.iter().map(|issuer| issuer.name.as_str()).collect();
            let (issuer, user) = match (OidcName::parse(&name, &issuers), &issuers[..]) {
                (OidcName::UserOf { issuer, user }, _) => (issuer, user),
                (OidcName::Issuer(issuer), _) => (issuer, name),
                (OidcName::User(user), [only]) => ((*only).to_owned(), user),
                (OidcName::User(_), _) => bail!("say of which issuer: oidc:ENTRY/USER"),
            };
            Identity::Oidc { issuer: issuer.into(), user }
        }
        _ => bail!("`{text}` is nobody; write a user's name, anonymous, robot$NAME, oidc:NAME or cert:NAME"),
    })
}

/// What a machine token was made with. One that is not there, or has expired, may do nothing.
fn ceiling(identity: &Identity, options: &HtpasswdOptions) -> anyhow::Result<Option<Ceiling>> {
    let Identity::Robot(name) = identity else { return Ok(None) };
    let file = MachineTokenFile::read(&options.state)?;
    match file.get(name) {
        Some(token) if token.is_expired(auth::seconds(SystemTime::now())) => bail!("the machine token {name} has expired"),
        Some(token) => Ok(Some(token.ceiling())),
        None => bail!("there is no machine token {name}; `breakwater token create --name {name} …` makes it"),
    }
}

fn in_words(question: &Question, explanation: &Explanation<'_>) -> String {
    let (_, verb) = question.action.parts();
    let Question { user, repository, .. } = question;
    let mut text = if explanation.allowed {
        format!("allowed: {user} may {verb} {repository}\n")
    } else if explanation.capped {
        format!("denied: the rules let {user} {verb} {repository}, but the token was made for less\n")
    } else {
        format!("denied: no rule lets {user} {verb} {repository}\n")
    };
    let mut add = |rule: &Rule, why: &str| {
        // Writing to a text cannot fail.
        writeln!(text, "  {why} {}: {rule}", rule.place()).ok();
    };
    explanation.deciding.iter().for_each(|rule| add(rule, "by"));
    if !explanation.allowed {
        explanation.near.iter().for_each(|(rule, lack)| add(rule, &format!("({lack})")));
    }
    text
}

fn in_json(explanation: &Explanation<'_>) -> String {
    let rule = |rule: &Rule| json!({"place": rule.place(), "rule": rule.to_string()});
    let near: Vec<_> = explanation
        .near
        .iter()
        .map(|(near, lack)| {
            let mut value = rule(near);
            value["lack"] = json!(lack.to_string());
            value
        })
        .collect();
    let deciding: Vec<_> = explanation.deciding.iter().map(|one| rule(one)).collect();
    format!("{}\n", json!({"allowed": explanation.allowed, "deciding": deciding, "near": near, "capped": explanation.capped}))
}
