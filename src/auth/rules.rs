//! Access rules: who may do what, in which repositories, from where.
//!
//! Rules only allow, and their order does not matter: what a caller may do is the union of what every matching rule gives. Owns
//! the rules and what can be said of them without a request; deciding is done in `policy`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::identity::{Identity, ROBOT, Source};
use super::pattern::Pattern;
use super::scope::Actions;
use crate::oci::Name;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    rules: Vec<Rule>,
    origin: Origin,
}

/// Whether rules stand in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Origin {
    #[default]
    Written,
    Unwritten,
}

/// One sentence: these may do this, there, from here.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    who: Who,
    repositories: Vec<Pattern>,
    actions: Actions,
    /// Empty: from everywhere.
    from: Vec<IpNet>,
    listing: Listing,
    place: String,
}

/// What a rule shows of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// What may be pulled.
    Pullable,
    /// Every repository.
    All,
}

/// Whom a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody in particular, and so everybody: whoever has credentials could leave them out.
    Anonymous,
    /// Everybody who has proven who they are.
    Authenticated,
    /// The members of a group.
    Group {
        /// Its name.
        name: String,
        /// Its members, none of whom is a group.
        members: Arc<[Self]>,
    },
    /// A user of the password file.
    User(String),
    /// A machine token.
    Robot(String),
    /// The user that an OIDC issuer vouches for, or everybody whom the issuer's entry of that name vouches for.
    Oidc(OidcName),
    /// The holder of a client certificate.
    Certificate(String),
}

/// What the name after `oidc:` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcName {
    /// The name of an entry under `oidc`.
    Issuer(String),
    /// A user that an entry makes of a token's claims: whichever entry, so good where there is but one.
    User(String),
    /// A user that this entry makes.
    UserOf {
        /// The name of the entry.
        issuer: String,
        /// The user.
        user: String,
    },
}

/// The groups, by name.
pub type Groups = BTreeMap<String, Arc<[Who]>>;

/// Why a rule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// Not a way to say whom.
    #[error("`{0}` is nobody; write anonymous, authenticated, or user:, group:, robot:, oidc: or cert: with a name behind it")]
    Who(String),
    /// A group in a group.
    #[error("`{0}` cannot be a member of a group; write names of users, or robot:, oidc: or cert: with a name behind it")]
    Member(String),
    /// Not an action.
    #[error("`{0}` is not an action; pull, push, create, delete and * are")]
    Action(String),
}

impl OidcName {
    /// Reads what stands behind `oidc:`: the name of an entry, `ENTRY/USER`, or a user of any entry.
    pub fn parse(name: &str, issuers: &[&str]) -> Self {
        match name.split_once('/') {
            _ if issuers.contains(&name) => Self::Issuer(name.to_owned()),
            Some((issuer, user)) if issuers.contains(&issuer) => Self::UserOf { issuer: issuer.to_owned(), user: user.to_owned() },
            _ => Self::User(name.to_owned()),
        }
    }
}

impl Who {
    /// Reads `who`. The names of the issuers tell what a name after `oidc:` is; an unknown group has no members.
    pub fn parse(text: &str, groups: &Groups, issuers: &[&str]) -> Result<Self, RuleFault> {
        let fault = || RuleFault::Who(text.to_owned());
        match text {
            "anonymous" => return Ok(Self::Anonymous),
            "authenticated" => return Ok(Self::Authenticated),
            _ => {}
        }
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(fault)?;
        let owned = name.to_owned();
        Ok(match kind {
            "user" => Self::User(owned),
            "group" => Self::Group { members: groups.get(name).cloned().unwrap_or_default(), name: owned },
            "robot" => Self::Robot(name.strip_prefix(ROBOT).unwrap_or(name).to_owned()),
            "oidc" => Self::Oidc(OidcName::parse(name, issuers)),
            "cert" => Self::Certificate(owned),
            _ => return Err(fault()),
        })
    }

    /// Reads a member of a group: a bare name is a user's.
    pub fn parse_member(text: &str, issuers: &[&str]) -> Result<Self, RuleFault> {
        if let Some(name) = text.strip_prefix(ROBOT) {
            return Ok(Self::Robot(name.to_owned()));
        }
        if !text.is_empty() && !text.contains(':') {
            return Ok(Self::User(text.to_owned()));
        }
        match Self::parse(text, &Groups::new(), issuers) {
            Ok(Self::Group { .. }) | Err(_) => Err(RuleFault::Member(text.to_owned())),
            Ok(member) => Ok(member),
        }
    }

    fn is(&self, identity: &Identity) -> bool {
        match (self, identity) {
            (Self::Anonymous, _) => true,
            (Self::Authenticated, identity) => *identity != Identity::Anonymous,
            (Self::Group { members, .. }, identity) => members.iter().any(|member| member.is(identity)),
            (Self::User(name), Identity::User(user)) | (Self::Robot(name), Identity::Robot(user)) => name == user,
            (Self::Certificate(name), Identity::Certificate(user)) => name == user,
            (Self::Oidc(OidcName::Issuer(name)), Identity::Oidc { issuer, .. }) => **issuer == **name,
            (Self::Oidc(OidcName::User(name)), Identity::Oidc { user, .. }) => name == user,
            (Self::Oidc(OidcName::UserOf { issuer: name, user }), Identity::Oidc { issuer, user: other }) => {
                **issuer == **name && user == other
            }
            _ => false,
        }
    }
}

/// As it is written in a rule.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::Group { name, .. } => write!(f, "group:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Robot(name) => write!(f, "robot:{name}"),
            Self::Oidc(OidcName::Issuer(name) | OidcName::User(name)) => write!(f, "oidc:{name}"),
            Self::Oidc(OidcName::UserOf { issuer, user }) => write!(f, "oidc:{issuer}/{user}"),
            Self::Certificate(name) => write!(f, "cert:{name}"),
        }
    }
}

impl Rule {
    /// A rule that gives nothing yet. `place` says where it is written.
    pub fn new(who: Who, place: String) -> Self {
        let (repositories, actions, from) = (Vec::new(), Actions::default(), Vec::new());
        Self { who, repositories, actions, from, listing: Listing::Pullable, place }
    }

    /// In repositories that match one of the patterns, these actions.
    pub fn allows<'a>(self, repositories: Vec<Pattern>, actions: impl IntoIterator<Item = &'a str>) -> Result<Self, RuleFault> {
        let mut given = Actions::default();
        for word in actions {
            given = given.with(Actions::of_word(word).ok_or_else(|| RuleFault::Action(word.to_owned()))?);
        }
        Ok(Self { repositories, actions: given.expanded(), ..self })
    }

    /// Only from these networks.
    pub fn within(self, from: Vec<IpNet>) -> Self {
        Self { from, ..self }
    }

    /// Shows that much of the catalog.
    pub fn lists(self, listing: Listing) -> Self {
        Self { listing, ..self }
    }

    /// Where it is written.
    pub fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn who(&self) -> &Who {
        &self.who
    }

    pub(super) fn repositories(&self) -> &[Pattern] {
        &self.repositories
    }

    pub(super) fn actions(&self) -> Actions {
        self.actions
    }

    pub(super) fn lists_all(&self) -> bool {
        self.listing == Listing::All
    }

    pub(super) fn is_for(&self, identity: &Identity) -> bool {
        self.who.is(identity)
    }

    pub(super) fn reaches(&self, source: Source) -> bool {
        self.from.is_empty() || source.is_in(&self.from)
    }

    pub(super) fn covers(&self, identity: &Identity, name: &Name) -> bool {
        self.repositories.iter().any(|pattern| pattern.matches(name.as_str(), identity.name()))
    }
}

/// As it would be written on one line.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |texts: Vec<String>| texts.join(", ");
        let repositories = list(self.repositories.iter().map(|pattern| format!("\"{pattern}\"")).collect());
        let actions = if self.actions.cover(Actions::ANY) { Actions::ANY } else { self.actions };
        // `push` says `create` too.
        let actions = if actions.cover(Actions::PUSH) { actions.without(Actions::CREATE) } else { actions };
        let words = list(actions.words().map(|word| if word == "*" { "\"*\"".to_owned() } else { word.to_owned() }).collect());
        write!(f, "{{who: \"{}\", repositories: [{repositories}], actions: [{words}]", self.who)?;
        if !self.from.is_empty() {
            write!(f, ", from: [{}]", list(self.from.iter().map(|network| format!("\"{network}\"")).collect()))?;
        }
        if self.lists_all() {
            f.write_str(", catalog: true")?;
        }
        f.write_str("}")
    }
}

impl Rules {
    /// These, whose order does not matter.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, origin: Origin::Written }
    }

    /// What holds where no rules are written, as in registry:2: a user may do all, nobody nothing.
    pub fn unwritten() -> Self {
        let place = "no rules are written, so every user may do everything".to_owned();
        let rule = Rule { repositories: vec![Pattern::new("**")], listing: Listing::All, ..Rule::new(Who::Authenticated, place) };
        Self { rules: vec![Rule { actions: Actions::ANY.expanded(), ..rule }], origin: Origin::Unwritten }
    }

    /// Whether they stand in the configuration.
    pub fn are_written(&self) -> bool {
        self.origin == Origin::Written
    }

    /// The rules, as they are written.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Whether a rule speaks of callers without credentials.
    pub fn speak_of_anonymous(&self) -> bool {
        self.rules.iter().any(|rule| rule.who == Who::Anonymous)
    }

    /// Whether a rule speaks of a machine token.
    pub fn speak_of_robot(&self, name: &str) -> bool {
        let robot = Identity::Robot(name.to_owned());
        self.rules.iter().any(|rule| rule.who != Who::Anonymous && rule.is_for(&robot))
    }

    /// The union of what the rules give, whether or not `pull` is in it.
    pub(super) fn given(&self, identity: &Identity, source: Source, name: &Name) -> Actions {
        let giving = self.rules.iter().filter(|rule| rule.is_for(identity) && rule.reaches(source) && rule.covers(identity, name));
        giving.fold(Actions::default(), |given, rule| given.with(rule.actions))
    }

    /// Whether one rule is enough to pull from every repository.
    pub(super) fn pull_all(&self, identity: &Identity, source: Source) -> bool {
        let is_all = |rule: &Rule| rule.actions.cover(Actions::PULL) && rule.repositories.iter().any(|pattern| pattern.as_str() == "**");
        self.rules.iter().any(|rule| is_all(rule) && rule.is_for(identity) && rule.reaches(source))
    }

    /// Whether a rule may show something at or below a path.
    pub(super) fn lead_below(&self, identity: &Identity, source: Source, path: &str) -> bool {
        let leads = |rule: &Rule| rule.lists_all() || rule.repositories.iter().any(|pattern| pattern.leads_below(path, identity.name()));
        self.rules.iter().any(|rule| rule.is_for(identity) && rule.reaches(source) && leads(rule))
    }

    /// Whether a rule shows the whole catalog.
    pub(super) fn list_all(&self, identity: &Identity, source: Source) -> bool {
        self.rules.iter().any(|rule| rule.lists_all() && rule.is_for(identity) && rule.reaches(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(text: &str) -> Result<Who, RuleFault> {
        let groups = Groups::from([("team".to_owned(), [Who::User("alice".into()), Who::Robot("ci".into())].into())]);
        Who::parse(text, &groups, &["github", "gitlab"])
    }

    #[test]
    fn each_kind_of_who_is_its_own() {
        let identities = [
            Identity::Anonymous,
            Identity::User("alice".into()),
            Identity::Robot("alice".into()),
            Identity::Oidc { issuer: "github".into(), user: "alice".into() },
            Identity::Certificate("alice".into()),
        ];
        let table = [
            ("anonymous", [true; 5]),
            ("authenticated", [false, true, true, true, true]),
            ("user:alice", [false, true, false, false, false]),
            ("group:team", [false, true, false, false, false]),
            ("group:other", [false; 5]),
            ("robot:alice", [false, false, true, false, false]),
            ("robot:robot$alice", [false, false, true, false, false]),
            ("oidc:alice", [false, false, false, true, false]),
            ("oidc:github", [false, false, false, true, false]),
            ("oidc:github/alice", [false, false, false, true, false]),
            ("oidc:github/bob", [false; 5]),
            ("oidc:gitlab/alice", [false; 5]),
            ("oidc:gitlab", [false; 5]),
            ("cert:alice", [false, false, false, false, true]),
        ];
        for (text, expected) in table {
            let who = who(text).unwrap();
            assert_eq!(identities.each_ref().map(|identity| who.is(identity)), expected, "{text}");
        }
    }

    #[test]
    fn the_name_of_an_issuer_is_not_that_of_a_user_it_vouches_for() {
        let mapped = Identity::Oidc { issuer: "other".into(), user: "github".into() };
        assert!(!who("oidc:github").unwrap().is(&mapped));
    }

    #[test]
    fn what_is_nobody_is_named() {
        for text in ["", "alice", "user:", "users:alice", "*", "Anonymous"] {
            assert_eq!(who(text), Err(RuleFault::Who(text.into())), "{text}");
        }
        for text in ["", "group:team", "anonymous:x"] {
            assert_eq!(Who::parse_member(text, &[]), Err(RuleFault::Member(text.into())), "{text}");
        }
        assert_eq!(Who::parse_member("robot$ci", &[]), Ok(Who::Robot("ci".into())));
        let rule = Rule::new(Who::Anonymous, String::new());
        assert_eq!(rule.allows(vec![], ["pull", "read"]), Err(RuleFault::Action("read".into())));
    }

    #[test]
    fn a_rule_reads_as_it_is_written() {
        let rule = Rule::new(who("robot:ci").unwrap(), "f:1:1".into());
        let rule = rule.allows(vec![Pattern::new("team/**")], ["pull", "push"]).unwrap().within(vec!["10.0.0.0/8".parse().unwrap()]);
        let text = r#"{who: "robot:ci", repositories: ["team/**"], actions: [pull, push], from: ["10.0.0.0/8"]}"#;
        assert_eq!(rule.to_string(), text);
        let all = Rules::unwritten();
        assert_eq!(all.rules[0].to_string(), r#"{who: "authenticated", repositories: ["**"], actions: ["*"], catalog: true}"#);
    }
}
