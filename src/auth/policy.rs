//! May they: the one place that decides, and the one place that says what a token is granted.
//!
//! Rights are simple here: a user may do all, anonymous nothing; without access control everybody may do everything. A token
//! carries exactly its scopes.

use super::identity::{Action, Caller, Identity, Resource, Rights};
use super::scope::{Actions, Scope, Target};

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

/// Whether the caller may do the action to the resource; `Push` demands `pull` as well.
pub fn decide(caller: &Caller, resource: &Resource<'_>, action: Action) -> Decision {
    match caller.rights() {
        Rights::Everything => Decision::Allowed,
        Rights::Scopes(scopes) if covered(scopes, resource, action) => Decision::Allowed,
        Rights::Scopes(_) => Decision::InsufficientScope,
        Rights::Policy => decide_by_policy(caller.identity(), resource, action),
    }
}

/// Whether the caller may see that there is a registry: `/v2/` asks for valid credentials and no scope.
pub fn decide_base(caller: &Caller) -> Decision {
    match (caller.rights(), caller.identity()) {
        (Rights::Policy, Identity::Anonymous) => Decision::Unauthenticated,
        (Rights::Everything | Rights::Scopes(_) | Rights::Policy, _) => Decision::Allowed,
    }
}

/// The scope that a challenge names for an action.
pub fn scope_text(resource: &Resource<'_>, action: Action) -> String {
    let target = match resource {
        Resource::Repository(name) => Target::Repository((*name).clone()),
        Resource::Catalog => Target::Catalog,
    };
    Scope { target, actions: Actions::needed(resource, action) }.to_string()
}

/// What of the asked scope the identity is granted: the intersection with policy; `*` only where all is allowed.
pub(super) fn grant(identity: &Identity, asked: &Scope) -> Option<Scope> {
    let resource = asked.target.resource();
    let actions = match asked.target {
        Target::Catalog if asked.actions.cover(Actions::ANY) && allows(identity, &resource, Action::Pull) => Actions::ANY,
        Target::Catalog => Actions::default(),
        Target::Repository(_) => {
            let granted = EACH
                .into_iter()
                .filter(|(action, word)| asked.actions.cover(*word) && allows(identity, &resource, *action))
                .fold(Actions::default(), |set, (_, word)| set.with(word));
            let all = EACH.into_iter().all(|(_, word)| granted.cover(word));
            if all && asked.actions.cover(Actions::ANY) { granted.with(Actions::ANY) } else { granted }
        }
    };
    (!actions.is_empty()).then(|| Scope { target: asked.target.clone(), actions })
}

fn decide_by_policy(identity: &Identity, resource: &Resource<'_>, action: Action) -> Decision {
    let pulls = allows(identity, resource, Action::Pull);
    let needs_pull = action != Action::Delete;
    if allows(identity, resource, action) && (pulls || !needs_pull) {
        return Decision::Allowed;
    }
    match identity {
        Identity::Anonymous => Decision::Unauthenticated,
        Identity::User(_) if pulls || *resource == Resource::Catalog => Decision::Denied,
        Identity::User(_) => Decision::Hidden,
    }
}

fn covered(scopes: &[Scope], resource: &Resource<'_>, action: Action) -> bool {
    let needed = Actions::needed(resource, action);
    scopes.iter().any(|scope| scope.target.resource() == *resource && scope.actions.cover(needed))
}

/// The rule itself.
fn allows(identity: &Identity, _resource: &Resource<'_>, _action: Action) -> bool {
    matches!(identity, Identity::User(_))
}

const EACH: [(Action, Actions); 3] = [(Action::Pull, Actions::PULL), (Action::Push, Actions::PUSH), (Action::Delete, Actions::DELETE)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scope;
    use crate::oci::Name;

    const ACTIONS: [Action; 3] = [Action::Pull, Action::Push, Action::Delete];

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn user() -> Identity {
        Identity::User("alice".into())
    }

    fn bearer(scopes: &[&str]) -> Caller {
        Caller::new(user(), Rights::Scopes(scope::parse_all(scopes.iter().copied()).into()))
    }

    #[test]
    fn without_access_control_everybody_may_do_everything() {
        let caller = Caller::new(Identity::Anonymous, Rights::Everything);
        for action in ACTIONS {
            assert_eq!(decide(&caller, &Resource::Repository(&name("a")), action), Decision::Allowed);
        }
        assert_eq!(decide(&caller, &Resource::Catalog, Action::Pull), Decision::Allowed);
        assert_eq!(decide_base(&caller), Decision::Allowed);
    }

    #[test]
    fn a_user_may_do_all_and_anonymous_nothing() {
        let (user, nobody) = (Caller::new(user(), Rights::Policy), Caller::new(Identity::Anonymous, Rights::Policy));
        for action in ACTIONS {
            assert_eq!(decide(&user, &Resource::Repository(&name("a")), action), Decision::Allowed);
            assert_eq!(decide(&nobody, &Resource::Repository(&name("a")), action), Decision::Unauthenticated);
        }
        assert_eq!(decide(&user, &Resource::Catalog, Action::Pull), Decision::Allowed);
        assert_eq!(decide(&nobody, &Resource::Catalog, Action::Pull), Decision::Unauthenticated);
        assert_eq!((decide_base(&user), decide_base(&nobody)), (Decision::Allowed, Decision::Unauthenticated));
    }

    #[test]
    fn a_token_opens_exactly_its_scopes() {
        let table = [
            ("repository:a:pull", "a", Action::Pull, true),
            ("repository:a:pull", "a", Action::Push, false),
            ("repository:a:push", "a", Action::Push, false),
            ("repository:a:pull,push", "a", Action::Push, true),
            ("repository:a:pull,push", "a", Action::Delete, false),
            ("repository:a:delete", "a", Action::Delete, true),
            ("repository:a:*", "a", Action::Delete, true),
            ("repository:a:*", "a", Action::Push, true),
            ("repository:a:*", "a/b", Action::Pull, false),
            ("repository:a/b:*", "a", Action::Pull, false),
            ("registry:catalog:*", "catalog", Action::Pull, false),
        ];
        for (scope, repository, action, allowed) in table {
            let expected = if allowed { Decision::Allowed } else { Decision::InsufficientScope };
            assert_eq!(
                decide(&bearer(&[scope]), &Resource::Repository(&name(repository)), action),
                expected,
                "{scope} {repository} {action:?}"
            );
        }
    }

    #[test]
    fn the_catalog_needs_its_own_scope_and_the_base_none() {
        assert_eq!(decide(&bearer(&["registry:catalog:*"]), &Resource::Catalog, Action::Pull), Decision::Allowed);
        assert_eq!(decide(&bearer(&["repository:catalog:*"]), &Resource::Catalog, Action::Pull), Decision::InsufficientScope);
        assert_eq!(decide_base(&bearer(&[])), Decision::Allowed);
    }

    #[test]
    fn a_grant_is_what_was_asked_and_is_allowed() {
        let granted = |identity: &Identity, text: &str| {
            scope::parse_all([text]).iter().filter_map(|asked| grant(identity, asked)).map(|scope| scope.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(granted(&user(), "repository:a:push,pull"), ["repository:a:pull,push"]);
        assert_eq!(granted(&user(), "repository:a:*"), ["repository:a:pull,push,delete,*"]);
        assert_eq!(granted(&user(), "repository:a:pull,push,delete"), ["repository:a:pull,push,delete"]);
        assert_eq!(granted(&user(), "registry:catalog:*"), ["registry:catalog:*"]);
        assert!(granted(&user(), "registry:catalog:pull").is_empty());
        assert!(granted(&Identity::Anonymous, "repository:a:* registry:catalog:*").is_empty());
    }

    #[test]
    fn a_challenge_names_the_scope_of_the_action() {
        let a = name("a/b");
        assert_eq!(scope_text(&Resource::Repository(&a), Action::Pull), "repository:a/b:pull");
        assert_eq!(scope_text(&Resource::Repository(&a), Action::Push), "repository:a/b:pull,push");
        assert_eq!(scope_text(&Resource::Repository(&a), Action::Delete), "repository:a/b:delete");
        assert_eq!(scope_text(&Resource::Catalog, Action::Pull), "registry:catalog:*");
    }
}
