//! The entries under `oidc`.

use super::*;
use crate::auth::{OidcKeys, OidcOptions, Options};
use crate::config::Severity;

const BASE: &str = "version: 0.1\nstorage: {filesystem: {rootdirectory: /data}}\nauth: {htpasswd: {realm: r, path: /p}}\n";
const GOOD: &str =
    "name: ci, issuer: 'https://ci.example', audience: r.example.com, match: {repository: 'acme/*'}, user: 'ci-{repository_owner}'";

fn entries_with(text: &str, variables: &[(&str, &str)]) -> Vec<OidcOptions> {
    let loaded = with_environment(&format!("{BASE}{text}"), variables).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(loaded.warnings.iter().all(|notice| notice.severity == Severity::Info), "{:?}", loaded.warnings);
    match loaded.config.auth {
        Options::Htpasswd(options) => options.oidc,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_has_a_name_an_issuer_keys_an_audience_conditions_and_a_user() {
    let text = "oidc:
  - name: ci.main-1
    issuer: https://ci.example/
    audience: r.example.com
    match: {repository: ['acme/*', 'acme2/*'], run_id: 7}
    user: ci-{repository_owner}
  - {name: kube, issuer: 'https://kube.example', jwks: /keys.json, audience: r, match: {/kubernetes.io/namespace: build}, user: '{sub}'}
";
    let entries = entries_with(text, &[]);
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[0].name.as_str(), entries[0].issuer.as_str()), ("ci.main-1", "https://ci.example/"));
    assert_eq!((entries[0].audience.as_str(), &entries[0].keys), ("r.example.com", &OidcKeys::Discovered));
    let written: Vec<String> = entries[0].conditions.iter().map(|one| format!("{} {:?}", one.claim, one.patterns)).collect();
    assert_eq!(written, [r#"repository [Pattern("acme/*"), Pattern("acme2/*")]"#, r#"run_id [Pattern("7")]"#]);
    assert_eq!(entries[1].keys, OidcKeys::File("/keys.json".into()));
    assert_eq!(entries[1].conditions[0].claim.to_string(), "/kubernetes.io/namespace");
    assert!(entries_with("", &[]).is_empty());
}

#[test]
fn variables_make_and_change_entries() {
    let variables = [
        ("REGISTRY_OIDC_0_NAME", "other"),
        ("REGISTRY_OIDC_1_NAME", "second"),
        ("REGISTRY_OIDC_1_ISSUER", "https://second.example"),
        ("REGISTRY_OIDC_1_AUDIENCE", "r"),
        ("REGISTRY_OIDC_1_MATCH", "{repository_owner: acme}"),
        ("REGISTRY_OIDC_1_MATCH_REPOSITORY", "acme/*"),
        ("REGISTRY_OIDC_1_USER", "'{sub}'"),
    ];
    let entries = entries_with(&format!("oidc: [{{{GOOD}}}]\n"), &variables);
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["other", "second"]);
    assert_eq!(entries[1].conditions.len(), 2);
}

#[test]
fn every_part_that_is_missing_is_named_at_its_entry() {
    let text = refusal(&format!("{BASE}oidc:\n  - {{jwks: /k}}\n"), &[]);
    for key in ["name", "issuer", "audience", "match", "user"] {
        assert!(text.contains(&format!("config.yml:5:5: oidc.0.{key}: missing")), "{key}\n{text}");
    }
    assert!(text.contains("everybody with an account at the issuer could log in"), "{text}");
    for nothing in ["oidc:\n  -\n", "oidc: [{}]\n"] {
        assert!(refusal(&format!("{BASE}{nothing}"), &[]).contains("oidc.0.name: missing"), "{nothing}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_its_place() {
    for (from, to, expected) in [
        ("name: ci", "name: CI", "oidc.0.name: `CI` is not a name"),
        ("'https://ci.example'", "'http://ci.example'", "oidc.0.issuer: `http://ci.example` cannot be an issuer: not an https address"),
        (
            "'https://ci.example'",
            "'https://ci.example?a=b'",
            "oidc.0.issuer: `https://ci.example?a=b` cannot be an issuer: has a user, a query",
        ),
        ("'ci-{repository_owner}'", "'ci-{repository_owner'", "oidc.0.user: `ci-{repository_owner` has a brace that is not closed"),
        ("'ci-{repository_owner}'", "'ci-{}'", "oidc.0.user: `ci-{}` has braces without the name of a claim"),
        ("{repository: 'acme/*'}", "{}", "oidc.0.match: missing"),
        ("{repository: 'acme/*'}", "{repository: }", "oidc.0.match: `repository` has no pattern"),
        ("{repository: 'acme/*'}", "{repository: '{user}/*'}", "oidc.0.match: `{user}/*` cannot match"),
        ("{repository: 'acme/*'}", "[a]", "oidc.0.match: a list is not a section of names"),
    ] {
        let text = refusal(&format!("{BASE}oidc: [{{{}}}]\n", GOOD.replace(from, to)), &[]);
        assert!(text.contains(&format!(": {expected}")) && text.contains("config.yml:4:"), "{expected}\n{text}");
    }
}

#[test]
fn entries_have_names_of_their_own_and_an_issuer_one_place_of_keys() {
    let text = refusal(&format!("{BASE}oidc:\n  - {{{GOOD}}}\n  - {{{GOOD}, jwks: /k}}\n"), &[]);
    assert!(text.contains("config.yml:6:12: oidc.1.name: `ci` is the name of another entry already"), "{text}");
    assert!(text.contains("oidc.1.jwks: another entry has the same issuer and other keys"), "{text}");
}

#[test]
fn other_issuers_work_beside_the_password_file_only() {
    for auth in ["", "auth: {token: {realm: 'https://t.example', service: s, issuer: i, jwks: /k}}\n"] {
        let text = refusal(&format!("{SMALL}{auth}oidc: [{{{GOOD}}}]\n"), &[]);
        assert!(text.contains(": oidc: works beside auth.htpasswd only"), "{text}");
    }
}
