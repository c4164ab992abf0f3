//! What `config show` prints is read back as the same configuration.

use super::*;

/// Everything a start would use, without the places of the rules, which are others in another file.
fn fingerprint(config: &Config) -> String {
    let text = format!("{config:?}").replace("Bearer hidden", "********");
    text.split("place: \"").enumerate().map(|(index, part)| if index == 0 { part } else { part.split_once('"').unwrap().1 }).collect()
}

/// Secrets must be given again.
const SECRETS: [(&str, &str); 3] =
    [("REGISTRY_HTTP_SECRET", "hidden"), ("REGISTRY_REDIS_PASSWORD", "hidden"), ("REGISTRY_HTTP_TLS_LETSENCRYPT_EAB_HMACKEY", "aGlkZGVu")];

fn round_trip(text: &str, variables: &[(&str, &str)]) -> String {
    let loaded = with_environment(text, variables).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let shown = loaded.shown_as_yaml();
    let secrets: Vec<_> = SECRETS.into_iter().filter(|(name, _)| loaded.settings.origin(&key_of(name)).is_some()).collect();
    let again = with_environment(&shown, &secrets).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    let (before, after) = (fingerprint(&loaded.config), fingerprint(&again.config));
    let end = before.bytes().zip(after.bytes()).take_while(|(one, other)| one == other).count();
    assert!(before == after, "…{}\n…{}\n{shown}", &before[end.saturating_sub(80)..], &after[end.saturating_sub(80)..]);
    assert!(!shown.contains("hidden") && !shown.contains("aGlkZGVu"), "{shown}");
    // What is shown of it again differs in nothing but the origins.
    let shown_of = |loaded: &Loaded| loaded.shown().into_iter().filter(|value| value.key() != "access.file");
    let values = |loaded: &Loaded| shown_of(loaded).map(|value| format!("{} {}\n", value.key(), value.value())).collect::<String>();
    assert_eq!(values(&again), values(&loaded));
    shown
}

fn key_of(variable: &str) -> String {
    variable.trim_start_matches("REGISTRY_").to_lowercase().replace('_', ".")
}

#[test]
fn the_files_people_have_are_shown_as_they_are_read() {
    for text in [SMALL, stock::IMAGE_2, stock::IMAGE_3, stock::DEBIAN, stock::CHART] {
        round_trip(text, &[]);
    }
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/config.example.yml")).unwrap();
    round_trip(&example, &[]);
}

#[test]
fn every_kind_of_value_is_shown_so_that_it_is_read_back() {
    let shown = round_trip(
        "version: '0.1'
loglevel: debug
log: {fields: {site: 'no: rth', 'on': 'yes', empty: ''}, audit: {output: '/a b'}}
storage: {filesystem: {rootdirectory: '/data: 1'}, maintenance: {uploadpurging: {enabled: false}, readonly: {enabled: on}}}
state: 'null'
http:
  addr: ':443'
  host: https://r.example.com
  secret: hidden
  draintimeout: 90500ms
  relativeurls: yes
  trustedproxies: [10.0.0.0/8, '::1']
  headers: {X-One: [\"a \\\" b\", '*', '- x'], X-Two: one, X-None: []}
  debug: {addr: ':5001', prometheus: {enabled: true}}
  tls: {letsencrypt: {hosts: [r.example.com], eab: {kid: k, hmackey: aGlkZGVu}}, clientcas: [/ca], clientauth: verify-client-cert-if-given}
auth: {htpasswd: {realm: 'My Registry', path: /p}}
tokenservice:
access:
  groups: {team: [alice, bob], empty: []}
  rules:
    - {who: anonymous, repositories: 'public/**', actions: [pull]}
    - {who: 'group:team', repositories: ['team/**', '{user}/*'], actions: ['*'], from: [10.0.0.0/8, '::1'], catalog: true}
oidc:
  - {name: ci, issuer: 'https://i.example', audience: a, match: {repository: 'acme/*', /ref: [x, y]}, user: 'ci-{o}'}
certificates: {user: cn}
catalog: {maxentries: 0}
tags: {maxtags: 7}
limits: {reads: {rate: 7/h}, minrate: 0, manifestsize: 5000000, blobsize: 10GiB, reserve: 20%, timeouts: {idle: 1h1s}, exempt: []}
metrics: {from: [127.0.0.0/8], users: [prometheus]}
health:
  storagedriver: {enabled: true}
  file: [{file: /a}]
  http: [{uri: 'http://x/y', headers: {Authorization: [Bearer hidden]}, interval: 1m}]
  tcp: [{addr: 'x:1', threshold: 0}]
redis: {password: hidden, addr: 'x:1'}
",
        &[("REGISTRY_LOG_ACCESSLOG_DISABLED", "true")],
    );
    for expected in [
        "  level: debug  # config.yml:2:11\n",
        "    disabled: true  # REGISTRY_LOG_ACCESSLOG_DISABLED\n",
        "  maxentries: 1000  # config.yml:",
        "      threshold: 1  # config.yml:",
        "        Authorization: [\"********\"]\n",
        "    - who: \"group:team\"  # config.yml:",
        "state: \"null\"  # config.yml:5:8\n",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
}

#[test]
fn rules_of_a_file_of_their_own_are_shown_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.yml");
    std::fs::write(&rules, "rules: [{who: anonymous, repositories: '**', actions: [pull]}]\n").unwrap();
    let text = format!("{SMALL}auth: {{htpasswd: {{realm: r, path: /p}}}}\naccess: {{file: {}}}\n", rules.display());
    let shown = round_trip(&text, &[]);
    assert!(shown.contains(&format!("who: anonymous  # {}:1:15\n", rules.display())), "{shown}");
}

#[test]
fn no_password_in_an_address_is_shown() {
    let text = format!("{SMALL}health: {{http: [{{uri: 'https://user:hidden@x.example/y'}}]}}\n");
    let shown = loaded(&text).shown_as_yaml();
    assert!(shown.contains("https://********@x.example") && !shown.contains("hidden"), "{shown}");
}
