use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::auth::machine_token::{MachineToken, TokenPurpose};
use crate::auth::pattern::Pattern;
use crate::auth::rules::{Listing, OidcName, Rule, Who};
use crate::auth::scope;

const ACTIONS: [Action; 4] = [Action::Pull, Action::Create, Action::Push, Action::Delete];

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn here() -> Source {
    Source::direct("192.0.2.1".parse().unwrap())
}

fn user() -> Identity {
    Identity::User("alice".into())
}

fn caller(identity: Identity, rights: Rights, rules: Rules) -> Caller {
    Caller::new(identity, rights, Arc::new(rules), here())
}

fn by_rules(identity: Identity, rules: Rules) -> Caller {
    caller(identity, Rights::Rules, rules)
}

fn scopes(texts: &[&str]) -> Arc<[Scope]> {
    scope::parse_all(texts.iter().copied()).into()
}

fn rule(who: Who, repositories: &[&str], actions: &[&str]) -> Rule {
    let patterns = repositories.iter().map(|text| Pattern::new(text)).collect();
    Rule::new(who, String::new()).allows(patterns, actions.iter().copied()).unwrap()
}

fn decisions(caller: &Caller, repository: &str) -> [Decision; 4] {
    ACTIONS.map(|action| decide(caller, &Resource::Repository(&name(repository)), action))
}

use Decision::{Allowed as YES, Denied as NO, Hidden as NOTHING, InsufficientScope as NARROW, Unauthenticated as WHO};

#[test]
fn without_access_control_everybody_may_do_everything() {
    let caller = caller(Identity::Anonymous, Rights::Everything, Rules::default());
    assert_eq!(decisions(&caller, "a"), [YES; 4]);
    assert_eq!(decide(&caller, &Resource::Catalog, Action::Pull), YES);
    assert!(decide_base(&caller) == YES && lists(&caller, &name("a")));
}

#[test]
fn without_rules_a_user_may_do_all_and_anonymous_nothing() {
    let (user, nobody) = (by_rules(user(), Rules::unwritten()), by_rules(Identity::Anonymous, Rules::unwritten()));
    assert_eq!((decisions(&user, "a"), decisions(&nobody, "a")), ([YES; 4], [WHO; 4]));
    assert_eq!(decide(&user, &Resource::Catalog, Action::Pull), YES);
    assert_eq!(decide(&nobody, &Resource::Catalog, Action::Pull), WHO);
    assert_eq!((decide_base(&user), decide_base(&nobody)), (YES, WHO));
    assert!(lists(&user, &name("a")));
}

#[test]
fn what_is_not_allowed_is_hidden_without_pull_and_denied_with_it() {
    let rules = || {
        Rules::new(vec![
            rule(Who::Anonymous, &["public/**"], &["pull"]),
            rule(Who::Authenticated, &["{user}/**"], &["*"]),
            rule(Who::User("alice".into()), &["team/**"], &["pull", "create"]),
            rule(Who::User("alice".into()), &["blind/**"], &["push", "delete"]),
        ])
    };
    let alice = by_rules(user(), rules());
    assert_eq!(decisions(&alice, "alice/x"), [YES; 4]);
    assert_eq!(decisions(&alice, "bob/x"), [NOTHING; 4]);
    assert_eq!(decisions(&alice, "public/x"), [YES, NO, NO, NO]);
    assert_eq!(decisions(&alice, "team/x"), [YES, YES, NO, NO]);
    assert_eq!(decisions(&alice, "blind/x"), [NOTHING; 4], "writes need pull too");
    let nobody = by_rules(Identity::Anonymous, rules());
    assert_eq!(decisions(&nobody, "public/x"), [YES, WHO, WHO, WHO]);
    assert_eq!((decide_base(&nobody), decide(&nobody, &Resource::Catalog, Action::Pull)), (WHO, WHO));
    let shown: Vec<_> =
        ["alice/x", "bob/x", "public/x", "team/x", "blind/x"].into_iter().filter(|text| lists(&alice, &name(text))).collect();
    assert_eq!(shown, ["alice/x", "public/x", "team/x"]);
}

#[test]
fn a_rule_holds_for_its_networks_only() {
    let inside = rule(Who::User("alice".into()), &["**"], &["*"]).within(vec!["192.0.2.0/24".parse().unwrap()]).lists(Listing::All);
    let outside = rule(Who::User("alice".into()), &["**"], &["*"]).within(vec!["10.0.0.0/8".parse().unwrap()]).lists(Listing::All);
    assert_eq!(decisions(&by_rules(user(), Rules::new(vec![inside])), "a"), [YES; 4]);
    let away = by_rules(user(), Rules::new(vec![outside]));
    assert!(decisions(&away, "a") == [NOTHING; 4] && !lists(&away, &name("a")));
}

#[test]
fn a_rule_may_show_the_whole_catalog_and_no_more() {
    let rules = Rules::new(vec![rule(Who::User("alice".into()), &[], &[]).lists(Listing::All)]);
    let alice = by_rules(user(), rules);
    assert!(lists(&alice, &name("a")) && decisions(&alice, "a") == [NOTHING; 4]);
}

#[test]
fn a_token_opens_exactly_its_scopes() {
    let table = [
        ("repository:a:pull", "a", [YES, NARROW, NARROW, NARROW]),
        ("repository:a:push", "a", [NARROW; 4]),
        ("repository:a:pull,create", "a", [YES, YES, NARROW, NARROW]),
        ("repository:a:pull,push", "a", [YES, YES, YES, NARROW]),
        ("repository:a:delete", "a", [NARROW, NARROW, NARROW, YES]),
        ("repository:a:*", "a", [YES; 4]),
        ("repository:a:*", "a/b", [NARROW; 4]),
        ("repository:a/b:*", "a", [NARROW; 4]),
        ("registry:catalog:*", "catalog", [NARROW; 4]),
    ];
    for (scope, repository, expected) in table {
        let ours = caller(user(), Rights::Granted(scopes(&[scope])), Rules::unwritten());
        let foreign = caller(user(), Rights::Foreign(scopes(&[scope])), Rules::default());
        assert_eq!(decisions(&ours, repository), expected, "{scope} {repository}");
        assert_eq!(decisions(&foreign, repository), expected, "{scope} {repository}, of another issuer");
        let outlawed = caller(user(), Rights::Granted(scopes(&[scope])), Rules::default());
        assert_eq!(decisions(&outlawed, repository), [NARROW; 4]);
    }
}

#[test]
fn the_catalog_needs_its_own_scope_and_the_base_none() {
    let bearer = |scope: &str| caller(user(), Rights::Granted(scopes(&[scope])), Rules::unwritten());
    assert_eq!(decide(&bearer("registry:catalog:*"), &Resource::Catalog, Action::Pull), YES);
    assert_eq!(decide(&bearer("repository:catalog:*"), &Resource::Catalog, Action::Pull), NARROW);
    assert_eq!(decide_base(&bearer("")), YES);
}

#[test]
fn a_grant_is_what_was_asked_and_is_allowed() {
    let granted = |identity: &Identity, rules: &Rules, text: &str| {
        let subject = Subject { identity, source: here(), ceiling: None };
        scope::parse_all([text]).iter().filter_map(|asked| grant(rules, subject, asked)).map(|scope| scope.to_string()).collect::<Vec<_>>()
    };
    let all = Rules::unwritten();
    assert_eq!(granted(&user(), &all, "repository:a:push,pull"), ["repository:a:pull,push"]);
    assert_eq!(granted(&user(), &all, "repository:a:*"), ["repository:a:pull,push,delete,*"]);
    assert_eq!(granted(&user(), &all, "repository:a:create"), ["repository:a:create"]);
    assert_eq!(granted(&user(), &all, "registry:catalog:*"), ["registry:catalog:*"]);
    assert!(granted(&user(), &all, "registry:catalog:pull").is_empty());
    assert!(granted(&Identity::Anonymous, &all, "repository:a:* registry:catalog:*").is_empty());
    let some = Rules::new(vec![rule(Who::Authenticated, &["a"], &["pull", "create"]), rule(Who::Anonymous, &["p"], &["pull"])]);
    assert_eq!(granted(&user(), &some, "repository:a:pull,push,delete"), ["repository:a:pull,create"]);
    assert_eq!(granted(&user(), &some, "repository:a:*"), ["repository:a:pull,create"]);
    assert!(granted(&user(), &some, "repository:b:pull").is_empty());
    assert_eq!(
        granted(&Identity::Anonymous, &some, "repository:p:pull,push registry:catalog:*"),
        ["repository:p:pull", "registry:catalog:*"]
    );
}

#[test]
fn a_challenge_names_the_scope_of_the_action() {
    let a = name("a/b");
    assert_eq!(scope_text(&Resource::Repository(&a), Action::Pull), "repository:a/b:pull");
    assert_eq!(scope_text(&Resource::Repository(&a), Action::Create), "repository:a/b:pull,push");
    assert_eq!(scope_text(&Resource::Repository(&a), Action::Push), "repository:a/b:pull,push");
    assert_eq!(scope_text(&Resource::Repository(&a), Action::Delete), "repository:a/b:delete");
    assert_eq!(scope_text(&Resource::Catalog, Action::Pull), "registry:catalog:*");
}

#[test]
fn a_machine_token_stays_below_its_ceiling() {
    let purpose = TokenPurpose::new("ci", vec!["team/**".into()], &["push".into()], None).unwrap();
    let ceiling = Arc::new(MachineToken::issue(purpose, 1).unwrap().0.ceiling());
    let robot = by_rules(Identity::Robot("ci".into()), Rules::unwritten()).below(Some(ceiling));
    assert_eq!(decisions(&robot, "team/a"), [YES, YES, YES, NO]);
    assert_eq!(decisions(&robot, "other"), [NOTHING; 4]);
    assert!(lists(&robot, &name("team/a")) && !lists(&robot, &name("other")));
}

#[test]
fn where_a_caller_may_pull_is_said_as_shortly_as_it_is_true() {
    let of = |rules: &[Rule]| pullable(&by_rules(user(), Rules::new(rules.to_vec())));
    let all = |actions: &[&str]| rule(Who::Authenticated, &["a", "**"], actions);
    assert_eq!(of(&[all(&["pull"])]), Pullable::All);
    assert_eq!(pullable(&by_rules(user(), Rules::unwritten())), Pullable::All);
    assert_eq!(pullable(&caller(user(), Rights::Everything, Rules::default())), Pullable::All);
    for rule in [all(&["push"]), rule(Who::User("bob".into()), &["**"], &["*"]), rule(Who::Authenticated, &["*"], &["*"])] {
        assert_eq!(of(&[rule]), Pullable::ByRules);
    }
    assert_eq!(of(&[all(&["pull"]).within(vec!["10.0.0.0/8".parse().unwrap()])]), Pullable::ByRules);
    for rights in [Rights::Granted, Rights::Foreign] {
        let caller = caller(user(), rights(scopes(&["repository:a:pull", "repository:b:push", "registry:catalog:*"])), Rules::unwritten());
        assert_eq!(pullable(&caller), Pullable::AtMost(vec![name("a"), name("b")]));
    }
    let (token, _) = MachineToken::issue(TokenPurpose::new("ci", vec!["**".into()], &["pull".into()], None).unwrap(), 1).unwrap();
    let robot = by_rules(Identity::Robot("ci".into()), Rules::new(vec![all(&["pull"])])).below(Some(Arc::new(token.ceiling())));
    assert_eq!(pullable(&robot), Pullable::ByRules);
}

fn whos() -> impl Strategy<Value = Who> {
    let name = || prop::sample::select(vec!["alice", "bob"]).prop_map(str::to_owned);
    prop_oneof![
        Just(Who::Anonymous),
        Just(Who::Authenticated),
        name().prop_map(Who::User),
        name().prop_map(Who::Robot),
        name().prop_map(|name| Who::Oidc(OidcName::User(name))),
        name().prop_map(Who::Certificate),
    ]
}

fn identities() -> impl Strategy<Value = Identity> {
    let name = || prop::sample::select(vec!["alice", "bob"]).prop_map(str::to_owned);
    prop_oneof![
        Just(Identity::Anonymous),
        name().prop_map(Identity::User),
        name().prop_map(Identity::Robot),
        name().prop_map(|user| Identity::Oidc { issuer: "i".into(), user }),
        name().prop_map(Identity::Certificate),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let patterns = prop::sample::subsequence(vec!["**", "a/**", "a/*", "{user}/**", "a/b", "c"], 0..3);
    let actions = prop::sample::subsequence(vec!["pull", "push", "create", "delete", "*"], 0..4);
    let network = prop::option::of(prop::sample::select(vec!["192.0.2.0/24", "10.0.0.0/8"]));
    let one = (whos(), patterns, actions, network, any::<bool>()).prop_map(|(who, patterns, actions, network, all)| {
        let from = network.map(|text| text.parse().unwrap()).into_iter().collect();
        rule(who, &patterns, &actions).within(from).lists(if all { Listing::All } else { Listing::Pullable })
    });
    prop::collection::vec(one, 0..5)
}

fn names() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["a", "a/b", "a/b/c", "alice/x", "bob/x", "c", "d"]).prop_map(name)
}

proptest! {
    #[test]
    fn the_order_of_rules_does_not_matter(rules in rules().prop_shuffle(), seed in any::<u64>(), identity in identities(), name in names()) {
        let mut turned = rules.clone();
        turned.rotate_left(seed as usize % rules.len().max(1));
        let (one, other) = (by_rules(identity.clone(), Rules::new(rules)), by_rules(identity, Rules::new(turned)));
        prop_assert_eq!(decisions(&one, name.as_str()), decisions(&other, name.as_str()));
        prop_assert_eq!(lists(&one, &name), lists(&other, &name));
    }

    #[test]
    fn another_rule_never_takes_anything_away(rules in rules(), more in rules(), identity in identities(), name in names()) {
        let both = [rules.clone(), more].concat();
        let (less, more) = (by_rules(identity.clone(), Rules::new(rules)), by_rules(identity, Rules::new(both)));
        for action in ACTIONS {
            let allowed = |caller| decide(caller, &Resource::Repository(&name), action) == Decision::Allowed;
            prop_assert!(!allowed(&less) || allowed(&more), "{:?}", action);
        }
        prop_assert!(!lists(&less, &name) || lists(&more, &name));
    }

    #[test]
    fn nothing_is_listed_where_nobody_looks(rules in rules(), identity in identities(), name in names()) {
        let caller = by_rules(identity, Rules::new(rules));
        let above = name.as_str().match_indices('/').map(|(at, _)| &name.as_str()[..at]).chain([name.as_str()]);
        for path in above.filter(|_| lists(&caller, &name)) {
            prop_assert!(lists_below(&caller, path), "{}", path);
        }
    }

    #[test]
    fn without_pull_there_is_nothing_and_nothing_is_told(rules in rules(), identity in identities(), name in names()) {
        let caller = by_rules(identity.clone(), Rules::new(rules));
        let [pull, rest @ ..] = decisions(&caller, name.as_str());
        if pull != Decision::Allowed {
            prop_assert_ne!(pullable(&caller), Pullable::All);
            let expected = if identity == Identity::Anonymous { Decision::Unauthenticated } else { Decision::Hidden };
            prop_assert_eq!([pull, rest[0], rest[1], rest[2]], [expected; 4]);
        } else {
            prop_assert!(lists(&caller, &name));
            prop_assert!(!rest.contains(&Decision::Hidden));
        }
    }

    #[test]
    fn a_token_never_opens_more_than_the_rules_and_than_was_granted(
        at_issue in rules(),
        at_use in rules(),
        identity in identities(),
        name in names(),
        words in prop::sample::subsequence(vec!["pull", "push", "create", "delete", "*"], 0..5),
    ) {
        let asked = scope::parse_all([format!("repository:{name}:{}", words.join(",")).as_str()]);
        let subject = Subject { identity: &identity, source: here(), ceiling: None };
        let issued: Vec<Scope> = asked.iter().filter_map(|asked| grant(&Rules::new(at_issue.clone()), subject, asked)).collect();
        let bearer = caller(identity.clone(), Rights::Granted(issued.into()), Rules::new(at_use.clone()));
        let (then, now) = (by_rules(identity.clone(), Rules::new(at_issue)), by_rules(identity, Rules::new(at_use)));
        for action in ACTIONS {
            let allowed = |caller| decide(caller, &Resource::Repository(&name), action) == Decision::Allowed;
            prop_assert!(!allowed(&bearer) || (allowed(&then) && allowed(&now)), "{:?}", action);
        }
    }

    #[test]
    fn nobody_is_taken_for_somebody_of_another_kind(who in whos(), identity in identities(), name in names()) {
        let caller = by_rules(identity.clone(), Rules::new(vec![rule(who.clone(), &["**"], &["*"])]));
        let allowed = decide(&caller, &Resource::Repository(&name), Action::Pull) == Decision::Allowed;
        let same = match (&who, &identity) {
            (Who::Anonymous, _) => true,
            (Who::Authenticated, one) => *one != Identity::Anonymous,
            (Who::User(a), Identity::User(b)) | (Who::Robot(a), Identity::Robot(b)) | (Who::Certificate(a), Identity::Certificate(b)) => a == b,
            (Who::Oidc(OidcName::User(a)), Identity::Oidc { user: b, .. }) => a == b,
            _ => false,
        };
        prop_assert_eq!(allowed, same);
    }
}
