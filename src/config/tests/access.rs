//! The rules under `access`, and what wrong passwords cost.

use super::*;
use crate::auth::{HtpasswdOptions, Options, TokenRealm};
use crate::config::Severity;

const BASE: &str = "version: 0.1\nstorage: {filesystem: {rootdirectory: /data}}\nauth: {htpasswd: {realm: r, path: /p}}\n";

fn options(text: &str, variables: &[(&str, &str)]) -> (HtpasswdOptions, Vec<(Severity, String)>) {
    let loaded = with_environment(&format!("{BASE}{text}"), variables).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let notices = loaded.warnings.into_iter().map(|notice| (notice.severity, notice.message)).collect();
    match loaded.config.auth {
        Options::Htpasswd(options) => (options, notices),
        other => panic!("{other:?}"),
    }
}

fn rules(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    options(text, variables).0.rules.iter().map(ToString::to_string).collect()
}

fn refusal(text: &str) -> String {
    with_environment(&format!("{BASE}{text}"), &[]).err().unwrap_or_else(|| panic!("{text}")).to_string()
}

#[test]
fn rules_are_read_as_they_are_written() {
    let text = "access:\n  groups: {team: [alice, 'robot:x']}\n  rules:\n  - {who: 'group:team', repositories: 'team/**', actions: [pull, push]}\n  \
                - {who: anonymous, repositories: [a, b/*], actions: pull, from: 10.0.0.0/8}\n  - {who: 'user:admin', repositories: '**', actions: ['*'], catalog: yes}\n";
    assert_eq!(
        rules(text, &[]),
        [
            r#"{who: "group:team", repositories: ["team/**"], actions: [pull, push]}"#,
            r#"{who: "anonymous", repositories: ["a", "b/*"], actions: [pull], from: ["10.0.0.0/8"]}"#,
            r#"{who: "user:admin", repositories: ["**"], actions: ["*"], catalog: true}"#,
        ]
    );
}

#[test]
fn variables_make_and_change_rules() {
    let whole = [("REGISTRY_ACCESS", "{rules: [{who: authenticated, repositories: '**', actions: [pull]}]}")];
    assert_eq!(rules("", &whole), [r#"{who: "authenticated", repositories: ["**"], actions: [pull]}"#]);
    let text = "access: {rules: [{who: authenticated, repositories: '**', actions: [pull]}]}\n";
    let parts = [("REGISTRY_ACCESS_RULES_0_WHO", "user:a"), ("REGISTRY_ACCESS_RULES_0_ACTIONS_1", "push")];
    assert_eq!(rules(text, &parts), [r#"{who: "user:a", repositories: ["**"], actions: [pull, push]}"#]);
}

#[test]
fn without_the_section_all_is_as_in_the_stock_registry_and_an_empty_one_lets_nobody_in() {
    let (unwritten, notices) = options("", &[]);
    assert!(!unwritten.rules.are_written() && unwritten.token_service.is_none() && notices.is_empty());
    for text in ["access:\n", "access: {}\n", "access: {rules: []}\n"] {
        let (empty, notices) = options(text, &[]);
        assert!(empty.rules.are_written() && empty.rules.iter().next().is_none(), "{text}");
        assert!(
            notices.iter().any(|(severity, text)| *severity == Severity::Mistake && text.contains("nobody may do anything")),
            "{notices:?}"
        );
    }
}

#[test]
fn a_rule_for_anonymous_callers_opens_the_realm_and_says_so() {
    let (options, notices) = options("access: {rules: [{who: anonymous, repositories: '**', actions: [pull]}]}\n", &[]);
    assert!(options.token_service.is_some() && options.token_realm == TokenRealm::ForAnonymous);
    assert!(notices.iter().any(|(severity, text)| *severity == Severity::Info && text.contains("the token service is on")), "{notices:?}");
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    for (text, expected) in [
        ("access: {rules: [{repositories: '**'}]}", "access.rules.0.who: missing"),
        ("access: {rules: [{who: alice}]}", "access.rules.0.who: `alice` is nobody"),
        ("access: {rules: [{who: 'user:a', actions: [fly]}]}", "access.rules.0.actions: `fly` is not an action"),
        ("access: {rules: [{who: 'user:a', from: [here]}]}", "access.rules.0.from: `here` is not a network"),
        ("access: {rules: [{who: 'user:a', from: []}]}", "access.rules.0.from: an empty list"),
        ("access: {groups: {a: ['group:b']}}", "access.groups: a: `group:b` cannot be a member"),
        ("access: {rules: {who: a}}", "access.rules: must be a list"),
        ("limits: {logins: {rate: often}}", "limits.logins.rate: is not a rate"),
        ("limits: {logins: {burst: 0}}", "limits.logins.burst: must be 1 or more"),
        ("limits: {exempt: [me]}", "limits.exempt: `me` is not a network"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(expected) && refusal.contains("config.yml:4:"), "{refusal}");
    }
    let without = with_environment("version: 0.1\nstorage: {filesystem: {rootdirectory: /d}}\naccess: {rules: []}\n", &[]);
    assert!(without.unwrap_err().to_string().contains("rules speak of users, who come from auth.htpasswd"));
}

#[test]
fn a_problem_is_said_once_however_many_limits_read_its_key() {
    for (text, expected) in
        [("limits: {exempt: [me]}", "`me` is not a network"), ("limits: {timeouts: {stall: 10ms}}", "must be 1s or more")]
    {
        let refusal = refusal(text);
        assert_eq!(refusal.matches(expected).count(), 1, "{refusal}");
    }
}

#[test]
fn what_wrong_passwords_cost_can_be_chosen() {
    let (options, _) = options("limits: {logins: {rate: 1/s, burst: 3}, exempt: []}\n", &[]);
    assert_eq!((options.logins.period.as_secs(), options.logins.burst.get(), options.logins.exempt.len()), (1, 3, 0));
}

#[test]
fn a_rule_that_says_what_is_not_understood_is_no_rule() {
    // A condition that is passed over gives more than was written.
    for (text, expected) in [
        (
            "access: {rules: [{who: anonymous, repositories: '**', actions: [pull], form: [10.0.0.0/8]}]}",
            "access.rules.0.form: unknown; did you mean `from`?",
        ),
        ("access: {rules: [{who: anonymous, repositories: '**', actions: [pull], from: }]}", "access.rules.0.from: an empty list"),
        ("access: {rules: [{who: anonymous, repositories: '**', actions: [pull], from: ~}]}", "access.rules.0.from: an empty list"),
        ("access: {rules: [{who: anonymous, repositories: '**', actions: [pull], from: ''}]}", "access.rules.0.from: an empty list"),
        (
            "oidc: [{name: a, issuer: 'https://i', audience: h, user: u, match: {a: b}, matches: {c: d}}]",
            "oidc.0.matches: unknown; did you mean `match`?",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(expected) && refusal.contains("config.yml:4:"), "{refusal}");
    }
}
