//! What can be said of rules before anybody comes: which of them can never match, and which of them decides a case.

use super::identity::{Action, Identity, Source};
use super::machine_token::Ceiling;
use super::password_file::UserName;
use super::pattern::Pattern;
use super::policy::{self, Subject};
use super::rules::{OidcName, Rule, Rules, Who};
use super::scope::Actions;
use crate::oci::Name;

/// Why a rule, or a part of it, can never match, or matches others than were meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Futile {
    /// No repository can have such a name.
    #[error("no repository can have a name that matches `{0}`")]
    Repository(String),
    /// `{{user}}` for callers who have no name.
    #[error("`{0}` matches nothing: {1} has no name that could stand for {{user}}")]
    User(String, Who),
    /// A group without members, perhaps because there is none of that name.
    #[error("the group `{0}` has no members")]
    Group(String),
    /// The password file cannot hold such a user.
    #[error("no user can be called `{0}`")]
    Name(String),
    /// There is nobody who vouches for such callers.
    #[error("{0} matches nobody: the section `oidc` names no issuer")]
    Issuer(Who),
    /// A user whom any of several issuers can make.
    #[error("{0} may be a user of any of several issuers; write oidc:ENTRY/USER")]
    Ambiguous(Who),
    /// Nobody is recognised by a certificate.
    #[error("{0} matches nobody: without the section `certificates` a client certificate names no user")]
    Certificate(Who),
    /// Writes without the `pull` that they need, from this rule or another.
    #[error("gives {0} where no rule gives pull, which everything needs")]
    Pull(String),
    /// Neither actions in repositories, nor the catalog.
    #[error("gives nothing: write `repositories` and `actions`")]
    Nothing,
}

/// Who can be recognised at all, beside users and machine tokens.
#[derive(Clone, Copy, Debug)]
pub struct Recognised {
    /// How many OIDC issuers are trusted.
    pub issuers: usize,
    /// Whether client certificates name users.
    pub certificates: bool,
}

/// Why somebody may do something, or why not.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// Whether they may.
    pub allowed: bool,
    /// The rules that give what is needed; of several that give the same, each.
    pub deciding: Vec<&'a Rule>,
    /// The rules for the caller and the repository that do not suffice, and what they lack.
    pub near: Vec<(&'a Rule, Lack)>,
    /// Whether the rules would allow it, and what the machine token was made with does not.
    pub capped: bool,
}

/// What keeps a rule from deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// It gives other actions.
    #[error("gives other actions")]
    Action,
    /// It holds for other addresses.
    #[error("holds for other addresses")]
    Address,
}

impl Rules {
    /// What can never match, by the place of its rule in the list.
    pub fn futile(&self, recognised: Recognised) -> Vec<(usize, Futile)> {
        let all: Vec<&Rule> = self.iter().collect();
        let futile = |(index, rule): (usize, &&Rule)| faults(rule, &all, recognised).into_iter().map(move |fault| (index, fault));
        all.iter().enumerate().flat_map(futile).collect()
    }

    /// The names of password users that rules speak of, singly or in groups.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        fn users_of(who: &Who) -> Vec<&str> {
            match who {
                Who::User(name) => vec![name],
                Who::Group { members, .. } => members.iter().flat_map(users_of).collect(),
                _ => Vec::new(),
            }
        }
        self.iter().flat_map(|rule| users_of(rule.who()))
    }

    /// Which rules decide whether a caller may do something.
    pub fn explain(
        &self,
        identity: &Identity,
        source: Source,
        ceiling: Option<&Ceiling>,
        (action, name): (Action, &Name),
    ) -> Explanation<'_> {
        let needed = Actions::needed(&super::Resource::Repository(name), action).with(Actions::PULL);
        let covered = |ceiling| policy::effective(self, Subject { identity, source, ceiling }, name).cover(needed);
        let (allowed, by_rules) = (covered(ceiling), covered(None));
        let mut explanation = Explanation { allowed, deciding: Vec::new(), near: Vec::new(), capped: by_rules && !allowed };
        for rule in self.iter().filter(|rule| rule.is_for(identity) && rule.covers(identity, name)) {
            let gives = !rule.actions().common(needed).is_empty();
            match (gives, rule.reaches(source)) {
                (true, true) if by_rules => explanation.deciding.push(rule),
                (_, false) => explanation.near.push((rule, Lack::Address)),
                (_, true) => explanation.near.push((rule, Lack::Action)),
            }
        }
        explanation
    }
}

fn faults(rule: &Rule, all: &[&Rule], recognised: Recognised) -> Vec<Futile> {
    let who = rule.who();
    let mut faults = Vec::new();
    match who {
        Who::Group { name, members } if members.is_empty() => faults.push(Futile::Group(name.clone())),
        Who::User(name) if name.parse::<UserName>().is_err() => faults.push(Futile::Name(name.clone())),
        Who::Oidc(_) if recognised.issuers == 0 => faults.push(Futile::Issuer(who.clone())),
        Who::Oidc(OidcName::User(_)) if recognised.issuers > 1 => faults.push(Futile::Ambiguous(who.clone())),
        Who::Certificate(_) if !recognised.certificates => faults.push(Futile::Certificate(who.clone())),
        _ => {}
    }
    let nameless = matches!(who, Who::Robot(_));
    for pattern in rule.repositories() {
        if !pattern.can_match() {
            faults.push(Futile::Repository(pattern.to_string()));
        } else if nameless && pattern.names_the_user() {
            faults.push(Futile::User(pattern.to_string(), who.clone()));
        }
    }
    let actions = rule.actions();
    let gives_nothing = actions.is_empty() || rule.repositories().is_empty();
    if gives_nothing && !rule.lists_all() {
        faults.push(Futile::Nothing);
    } else if !gives_nothing && !actions.cover(Actions::PULL) && !all.iter().any(|other| gives_pull_beside(other, rule)) {
        faults.push(Futile::Pull(actions.words().collect::<Vec<_>>().join(", ")));
    }
    faults
}

/// Whether another rule may give somebody whom this one speaks of the `pull` that it lacks. In doubt it may.
fn gives_pull_beside(other: &Rule, rule: &Rule) -> bool {
    let same = other.who() == rule.who();
    let may_be_same = match (other.who(), rule.who()) {
        (Who::Anonymous, _) => true,
        (_, Who::Anonymous) => false,
        (Who::User(_), Who::User(_)) | (Who::Robot(_), Who::Robot(_)) | (Who::Certificate(_), Who::Certificate(_)) => same,
        (Who::Authenticated | Who::Group { .. }, _) | (_, Who::Authenticated | Who::Group { .. }) => true,
        (Who::Oidc(_), Who::Oidc(_)) => true,
        _ => false,
    };
    let fixed = |pattern: &Pattern| !pattern.as_str().contains(['*', '{']);
    let overlap = |one: &Pattern, two: &Pattern| match (fixed(one), fixed(two)) {
        (true, _) => two.names_the_user() || two.matches(one.as_str(), None),
        (_, true) => one.names_the_user() || one.matches(two.as_str(), None),
        _ => true,
    };
    let overlaps = other.repositories().iter().any(|one| rule.repositories().iter().any(|two| overlap(one, two)));
    may_be_same && overlaps && other.actions().cover(Actions::PULL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::rules::{Groups, Listing};

    const ALL: Recognised = Recognised { issuers: 1, certificates: true };

    fn rule(who: &str, repositories: &[&str], actions: &[&str]) -> Rule {
        let groups = Groups::from([("team".to_owned(), [Who::User("alice".into())].into())]);
        let who = Who::parse(who, &groups, &[]).unwrap();
        let patterns = repositories.iter().map(|text| Pattern::new(text)).collect();
        Rule::new(who, String::new()).allows(patterns, actions.iter().copied()).unwrap()
    }

    fn futile(rules: Vec<Rule>, recognised: Recognised) -> Vec<(usize, Futile)> {
        Rules::new(rules).futile(recognised)
    }

    #[test]
    fn rules_that_can_never_match_are_found() {
        let robot = Who::Robot("ci".into());
        let table = [
            (rule("user:a", &["Team/**", "ok/**"], &["pull"]), Futile::Repository("Team/**".into())),
            (rule("robot:ci", &["{user}/**"], &["pull"]), Futile::User("{user}/**".into(), robot)),
            (rule("group:taem", &["**"], &["pull"]), Futile::Group("taem".into())),
            (rule("user:robot$ci", &["**"], &["pull"]), Futile::Name("robot$ci".into())),
            (rule("user:a", &["**"], &["push"]), Futile::Pull("push, create".into())),
            (rule("user:a", &["**"], &[]), Futile::Nothing),
            (rule("user:a", &[], &["pull"]), Futile::Nothing),
        ];
        for (rule, expected) in table {
            assert_eq!(futile(vec![rule], ALL), [(0, expected)]);
        }
        let none = Recognised { issuers: 0, certificates: false };
        for who in ["oidc:x", "cert:x"] {
            assert_eq!(futile(vec![rule(who, &["**"], &["pull"])], none).len(), 1, "{who}");
            assert_eq!(futile(vec![rule(who, &["**"], &["pull"])], ALL).len(), 0, "{who}");
        }
    }

    #[test]
    fn with_several_issuers_a_bare_user_is_not_clear() {
        let several = Recognised { issuers: 2, certificates: true };
        let bare = rule("oidc:alice", &["**"], &["pull"]);
        assert_eq!(futile(vec![bare.clone()], several), [(0, Futile::Ambiguous(bare.who().clone()))]);
        assert_eq!(futile(vec![bare], ALL), []);
        let clear = Who::parse("oidc:github/alice", &Groups::new(), &["github", "gitlab"]).unwrap();
        let clear = Rule::new(clear, String::new()).allows(vec![Pattern::new("**")], ["pull"]).unwrap();
        assert_eq!(futile(vec![clear], several), []);
    }

    #[test]
    fn rules_that_can_match_are_left_alone() {
        let rules = vec![
            rule("anonymous", &["public/**"], &["pull"]),
            rule("authenticated", &["{user}/**"], &["*"]),
            rule("group:team", &["team/**"], &["pull"]),
            rule("user:alice", &["team/app"], &["push"]),
            rule("user:admin", &[], &[]).lists(Listing::All),
        ];
        assert_eq!(futile(rules, ALL), []);
    }

    #[test]
    fn pull_from_a_rule_for_somebody_else_does_not_help() {
        let rules = vec![rule("user:a", &["x"], &["push"]), rule("user:b", &["x"], &["pull"]), rule("user:a", &["y"], &["pull"])];
        assert_eq!(futile(rules, ALL).len(), 1);
    }

    #[test]
    fn the_rule_that_decides_is_named_and_so_are_those_that_nearly_do() {
        let rules = Rules::new(vec![
            rule("authenticated", &["**"], &["pull"]),
            rule("user:alice", &["team/**"], &["push"]).within(vec!["10.0.0.0/8".parse().unwrap()]),
            rule("user:bob", &["team/**"], &["push"]),
        ]);
        let alice = Identity::User("alice".into());
        let name: Name = "team/app".parse().unwrap();
        let from = |text: &str| Source::direct(text.parse().unwrap());
        let inside = rules.explain(&alice, from("10.0.0.1"), None, (Action::Push, &name));
        assert!(inside.allowed && inside.near.is_empty());
        assert_eq!(inside.deciding.len(), 2, "one gives pull, the other push");
        let outside = rules.explain(&alice, from("192.0.2.1"), None, (Action::Push, &name));
        assert!(!outside.allowed && outside.deciding.is_empty());
        assert_eq!(outside.near.iter().map(|(_, lack)| *lack).collect::<Vec<_>>(), [Lack::Action, Lack::Address]);
    }
}
