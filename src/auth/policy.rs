//! May they: the one place that decides, and the one place that says what a token is granted.
//!
//! Everything here is a pure function of the caller, who carries the rules of the moment. All of it rests on [`effective`]: the
//! actions that the rules give an identity, at an address, in a repository. Invariant: without `pull` there is nothing.

use super::identity::{Action, Caller, Identity, Resource, Rights, Source};
use super::machine_token::Ceiling;
use super::rules::Rules;
use super::scope::{Actions, Scope, Target};
use crate::oci::Name;

/// The answer to "may they".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allowed,
    /// No credentials were given: challenge.
    Unauthenticated,
    /// A token without the scope: challenge anew, saying so.
    InsufficientScope,
    /// Valid credentials without `pull`: as if the repository did not exist.
    Hidden,
    /// May pull, but not this.
    Denied,
}

/// Where a caller may pull, as far as that is known without asking for each repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pullable {
    /// Everywhere.
    All,
    /// In these repositories at most, of which [`decide`] must be asked.
    AtMost(Vec<Name>),
    /// Wherever [`decide`] says so.
    ByRules,
}

/// Whom the rules are asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) identity: &'a Identity,
    pub(super) source: Source,
    pub(super) ceiling: Option<&'a Ceiling>,
}

/// Whether the caller may do the action to the resource; writes demand `pull` as well.
pub fn decide(caller: &Caller, resource: &Resource<'_>, action: Action) -> Decision {
    let allowed = || match resource {
        Resource::Repository(name) => covers(effective(caller.rules(), Subject::of(caller), name), action),
        Resource::Catalog => may_list(caller.rules(), caller.identity()),
    };
    match caller.rights() {
        Rights::Everything => Decision::Allowed,
        Rights::Foreign(scopes) if covered(scopes, resource, action) => Decision::Allowed,
        Rights::Granted(scopes) if covered(scopes, resource, action) && allowed() => Decision::Allowed,
        Rights::Foreign(_) | Rights::Granted(_) => Decision::InsufficientScope,
        Rights::Rules => decide_by_rules(caller, resource, action),
    }
}

/// Whether the caller may see that there is a registry: `/v2/` asks for valid credentials and no scope, whatever the rules allow.
pub fn decide_base(caller: &Caller) -> Decision {
    match (caller.rights(), caller.identity()) {
        (Rights::Rules, Identity::Anonymous) => Decision::Unauthenticated,
        (Rights::Everything | Rights::Granted(_) | Rights::Foreign(_) | Rights::Rules, _) => Decision::Allowed,
    }
}

/// Whether a caller who may list repositories at all is shown this one: what it may pull, or everything where a rule says so.
pub fn lists(caller: &Caller, name: &Name) -> bool {
    match caller.rights() {
        Rights::Everything | Rights::Foreign(_) => true,
        Rights::Rules | Rights::Granted(_) => {
            let subject = Subject::of(caller);
            let lists_all = caller.rules().list_all(subject.identity, subject.source);
            let lists_all = lists_all && subject.ceiling.is_none_or(|ceiling| ceiling.covers(name));
            lists_all || effective(caller.rules(), subject, name).cover(Actions::PULL)
        }
    }
}

/// Where the caller may pull, as far as that is known without asking for each repository.
pub fn pullable(caller: &Caller) -> Pullable {
    match caller.rights() {
        Rights::Everything => Pullable::All,
        Rights::Granted(scopes) | Rights::Foreign(scopes) => {
            let names = scopes.iter().filter_map(|scope| match &scope.target {
                Target::Repository(name) => Some(name.clone()),
                Target::Catalog => None,
            });
            Pullable::AtMost(names.collect())
        }
        Rights::Rules if caller.ceiling().is_none() && caller.rules().pull_all(caller.identity(), caller.source()) => Pullable::All,
        Rights::Rules => Pullable::ByRules,
    }
}

/// Whether [`lists`] may say yes to a name at or below a path; where not, nobody need look.
pub fn lists_below(caller: &Caller, path: &str) -> bool {
    match caller.rights() {
        Rights::Everything | Rights::Foreign(_) => true,
        Rights::Rules | Rights::Granted(_) => caller.rules().lead_below(caller.identity(), caller.source(), path),
    }
}

/// The scope that a challenge names for an action. Whoever may only create asks for `push` as well, as every client does.
pub fn scope_text(resource: &Resource<'_>, action: Action) -> String {
    let action = if action == Action::Create { Action::Push } else { action };
    let target = match resource {
        Resource::Repository(name) => Target::Repository((*name).clone()),
        Resource::Catalog => Target::Catalog,
    };
    Scope { target, actions: Actions::needed(resource, action) }.to_string()
}

/// What of the asked scope the rules grant: `create` where `push` was asked and only that is allowed, `*` only where all is allowed.
pub(super) fn grant(rules: &Rules, subject: Subject<'_>, asked: &Scope) -> Option<Scope> {
    let actions = match &asked.target {
        Target::Catalog if asked.actions.cover(Actions::ANY) && may_list(rules, subject.identity) => Actions::ANY,
        Target::Catalog => Actions::default(),
        Target::Repository(name) => {
            let granted = asked.actions.expanded().common(effective(rules, subject, name));
            if granted.cover(Actions::PUSH) { granted.without(Actions::CREATE) } else { granted }
        }
    };
    (!actions.is_empty()).then(|| Scope { target: asked.target.clone(), actions })
}

/// The actions that the rules give in a repository: the union of what they say; none without `pull`.
pub(super) fn effective(rules: &Rules, subject: Subject<'_>, name: &Name) -> Actions {
    let given = rules.given(subject.identity, subject.source, name);
    let given = subject.ceiling.map_or(given, |ceiling| given.common(ceiling.actions_in(name)));
    if given.cover(Actions::PULL) { given } else { Actions::default() }
}

impl<'a> Subject<'a> {
    fn of(caller: &'a Caller) -> Self {
        Self { identity: caller.identity(), source: caller.source(), ceiling: caller.ceiling() }
    }
}

fn decide_by_rules(caller: &Caller, resource: &Resource<'_>, action: Action) -> Decision {
    let Resource::Repository(name) = resource else { return decide_base(caller) };
    let effective = effective(caller.rules(), Subject::of(caller), name);
    match caller.identity() {
        _ if covers(effective, action) => Decision::Allowed,
        Identity::Anonymous => Decision::Unauthenticated,
        _ if effective.is_empty() => Decision::Hidden,
        _ => Decision::Denied,
    }
}

fn covers(effective: Actions, action: Action) -> bool {
    effective.cover(match action {
        Action::Pull => Actions::PULL,
        Action::Create => Actions::CREATE,
        Action::Push => Actions::PUSH,
        Action::Delete => Actions::DELETE,
    })
}

/// Whoever is somebody may ask for the list; nobody only where something is said of nobody.
fn may_list(rules: &Rules, identity: &Identity) -> bool {
    *identity != Identity::Anonymous || rules.speak_of_anonymous()
}

fn covered(scopes: &[Scope], resource: &Resource<'_>, action: Action) -> bool {
    let needed = Actions::needed(resource, action);
    scopes.iter().any(|scope| scope.target.resource() == *resource && scope.actions.cover(needed))
}

#[cfg(test)]
mod tests;
