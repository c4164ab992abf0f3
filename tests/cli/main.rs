//! The built binary as a user runs it: exit codes and messages.

mod check_config;
mod config_show;
#[expect(clippy::unwrap_used, reason = "a test may end in a panic")]
mod garbage_collect;
mod health;
mod names;
mod root;
mod secrets;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary in a directory, with a text on standard input and no variables of the registry but one: no port is taken that
/// others may have.
fn run(directory: &Path, arguments: &[&str], input: &str) -> Output {
    run_with(directory, &[("REGISTRY_HTTP_ADDR", "localhost:0")], arguments, input)
}

/// Runs the binary with just these variables.
fn run_with(directory: &Path, variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
    feed(command.args(arguments).current_dir(directory).env_clear().envs(variables.iter().copied()), input)
}

/// Runs a command to its end, with a text on standard input.
fn feed(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built for this test");
    // A program that refuses its arguments does not read; that is no failure of the test.
    let _ = child.stdin.take().expect("a pipe was asked for").write_all(input.as_bytes());
    child.wait_with_output().expect("a child of ours can be waited for")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the binary speaks UTF-8")
}

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (i32, &str, &str) {
    (output.status.code().expect("no signal ended it"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_usage_is_two_and_help_and_version_are_zero() {
    let directory = tempfile::tempdir().unwrap();
    let usages: [&[&str]; 8] = [
        &[],
        &["sevre"],
        &["serve", "--addr", "localhost:1"],
        &["serve", "--dev", "config.yml"],
        &["serve", "--dev", "--addr", "localhost"],
        &["user", "add", "htpasswd"],
        &["user", "add", "htpasswd", "a:b"],
        &["completions", "smalltalk"],
    ];
    for usage in usages {
        let output = run(directory.path(), usage, "");
        assert_eq!(said(&output).0, 2, "{usage:?}");
        assert!(!output.stderr.is_empty(), "{usage:?}");
    }
    for (usage, expected) in [
        (&["--help"][..], "breakwater serve --dev"),
        (&["serve", "--help"], "REGISTRY_HTTP_ADDR"),
        (&["user", "--help"], "--password-stdin"),
        (&["--version"], concat!("breakwater ", env!("CARGO_PKG_VERSION"))),
        (&["-v"], concat!("breakwater ", env!("CARGO_PKG_VERSION"))),
        (&["completions", "bash"], "_breakwater"),
        (&["completions", "zsh"], "#compdef breakwater"),
        (&["man"], ".TH breakwater 1 2026-"),
        (&["man"], ".SH \"BREAKWATER USER ADD\""),
    ] {
        let output = run(directory.path(), usage, "");
        let (code, out, err) = said(&output);
        assert_eq!(code, 0, "{usage:?}: {err}");
        assert!(out.contains(expected), "{usage:?}: {out}");
    }
}

#[test]
fn users_are_added_verified_listed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let output = run(directory.path(), arguments, input);
        let (code, out, err) = said(&output);
        (code, out.to_owned(), err.to_owned())
    };
    assert_eq!(run(&["user", "add", "htpasswd", "alice", "--password-stdin"], "one\n").1, "added alice\n");
    assert_eq!(run(&["user", "add", "htpasswd", "bob", "--password-stdin"], "zwei").0, 0);
    assert_eq!(run(&["user", "add", "htpasswd", "alice", "--password-stdin"], "two\r\n").1, "replaced the password of alice\n");
    assert_eq!(run(&["user", "verify", "htpasswd", "alice", "--password-stdin"], "two").0, 0);
    assert_eq!(run(&["user", "verify", "htpasswd", "alice", "--password-stdin"], "one").0, 1);
    assert_eq!(run(&["user", "verify", "htpasswd", "carol", "--password-stdin"], "one").0, 1);
    assert_eq!(run(&["user", "list", "htpasswd"], "").1, "alice\nbob\n");
    let json: serde_json::Value = serde_json::from_str(&run(&["user", "list", "htpasswd", "--json"], "").1).unwrap();
    assert_eq!(json[1], serde_json::json!({"name": "bob", "line": 2, "bcrypt": true}));
    assert_eq!(run(&["user", "remove", "htpasswd", "alice"], "").0, 0);
    let (code, _, err) = run(&["user", "remove", "htpasswd", "alice"], "");
    assert!(code == 1 && err.contains("there is no user alice in htpasswd"), "{err}");
    let content = std::fs::read_to_string(directory.path().join("htpasswd")).unwrap();
    assert!(content.starts_with("bob:$2y$10$"), "{content}");
}

#[test]
fn a_password_that_bcrypt_would_cut_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["user", "add", "htpasswd", "alice", "--password-stdin"], &"x".repeat(73));
    let (code, _, err) = said(&output);
    assert!(code == 1 && err.contains("73 bytes long"), "{err}");
    assert!(!directory.path().join("htpasswd").try_exists().unwrap());
}

#[test]
fn the_names_of_robots_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["user", "add", "htpasswd", "robot$ci", "--password-stdin"], "x");
    assert!(said(&output).2.contains("belong to machine tokens"), "{}", said(&output).2);
}

#[test]
fn a_configuration_that_cannot_be_used_is_one_with_every_reason() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.yml"), "version: 0.1\nstorage: inmemory\nlog:\n  level: loud\n").unwrap();
    let output = run(directory.path(), &["serve", "config.yml"], "");
    let (code, _, err) = said(&output);
    assert_eq!(code, 1);
    for expected in ["config.yml:2:10: storage.inmemory: ", "config.yml:4:10: log.level: `loud` is not a level"] {
        assert!(err.contains(expected), "{err}");
    }
    let output = run(directory.path(), &["serve", "absent.yml"], "");
    assert!(said(&output).0 == 1 && said(&output).2.contains("cannot read the configuration file absent.yml"));
}

#[test]
fn a_start_for_development_prints_the_password_once() {
    let directory = tempfile::tempdir().unwrap();
    // A configuration that is refused ends the start before anything listens.
    std::fs::create_dir(directory.path().join("var")).unwrap();
    std::fs::write(directory.path().join("var/config.yml"), "version: 0.2\n").unwrap();
    let refused = run(directory.path(), &["serve", "--dev"], "");
    assert_eq!(said(&refused).0, 1);
    assert!(said(&refused).1.contains("password: "), "whoever repairs the file needs it: {:?}", said(&refused));
    for file in ["htpasswd", "token.pem", "certs/ca.crt", "certs/localhost.crt", "certs/localhost.key"] {
        assert!(directory.path().join("var").join(file).try_exists().unwrap(), "{file}");
    }
}

const RULES: &str = r#"
version: 0.1
storage: {filesystem: {rootdirectory: data}}
auth: {htpasswd: {realm: r, path: htpasswd}}
access:
  groups: {team: [alice]}
  rules:
    - {who: anonymous, repositories: "public/**", actions: [pull]}
    - {who: "group:team", repositories: "team/**", actions: [pull, push]}
    - {who: "robot:ci", repositories: "**", actions: [pull, push], from: [10.0.0.0/8]}
"#;

/// Runs the binary on a configuration; exit code and what it said.
fn configured(directory: &Path, config: &str, arguments: &[&str]) -> (i32, String, String) {
    std::fs::write(directory.join("config.yml"), config).expect("the directory is ours");
    let output = run(directory, arguments, "");
    let (code, out, err) = said(&output);
    (code, out.to_owned(), err.to_owned())
}

#[test]
fn the_rule_that_decides_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let explain = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        configured(directory.path(), RULES, &[&["access", "explain", "--config", "config.yml"][..], &words].concat())
    };
    let (code, out, _) = explain("alice push team/app");
    assert_eq!(code, 0);
    assert!(out.starts_with("allowed: alice may push to team/app\n  by config.yml:9:7: access.rules.1: {who: \"group:team\""), "{out}");
    for (question, code) in
        [("bob pull team/app", 1), ("anonymous pull public/a", 0), ("anonymous push public/a", 1), ("alice delete team/app", 1)]
    {
        assert_eq!(explain(question).0, code, "{question}");
    }
    let json: serde_json::Value = serde_json::from_str(&explain("alice delete team/app --json").1).unwrap();
    assert_eq!((&json["allowed"], &json["near"][0]["lack"]), (&false.into(), &"gives other actions".into()));
    assert_eq!((explain("alice fly team/app").0, explain("alice pull Team").0, explain("alice pull").0), (2, 2, 2));
    assert!(explain("planet:mars pull a").2.contains("is nobody"));
}

#[test]
fn a_machine_token_is_made_listed_explained_and_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let token =
        |arguments: &[&str]| configured(directory.path(), RULES, &[&["token"], arguments, &["--config", "config.yml"][..]].concat());
    let create = ["create", "--name", "ci", "--repository", "team/**", "--action", "push", "--expires", "30d"];
    let (code, out, err) = token(&create);
    assert_eq!((code, out.lines().count()), (0, 1), "{err}");
    assert!(out.starts_with("bwt_") && err.contains("robot$ci") && !err.contains(out.trim()), "{out}{err}");
    let (code, _, err) = token(&create);
    assert!(code == 1 && err.contains("there is a token ci already"), "{err}");
    let list: serde_json::Value = serde_json::from_str(&token(&["list", "--json"]).1).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["last_used"]), (&"ci".into(), &serde_json::Value::Null));
    assert_eq!(list[0]["actions"], serde_json::json!(["pull", "push"]));
    assert!(!token(&["list"]).1.contains(out.trim()));
    let explain = |action: &str, place: &str| {
        let question = ["access", "explain", "robot$ci", action, place, "--from", "10.0.0.1", "--config", "config.yml"];
        configured(directory.path(), RULES, &question)
    };
    assert_eq!((explain("push", "team/app").0, explain("pull", "other").0), (0, 1));
    assert!(explain("pull", "other").1.contains("the token was made for less"));
    assert_eq!(token(&["revoke", "ci"]).1, "revoked ci\n");
    assert_eq!(token(&["revoke", "ci"]).0, 1);
    assert!(explain("push", "team/app").2.contains("there is no machine token ci"));
    for wrong in [&["create", "--name", "ci"][..], &["create", "--name", "ci", "--repository", "a", "--expires", "soon"]] {
        assert_eq!(token(wrong).0, 2, "{wrong:?}");
    }
    for wrong in [["a b", "**", "pull"], ["ci", "Team/**", "pull"], ["ci", "**", "fly"]] {
        let made = token(&["create", "--name", wrong[0], "--repository", wrong[1], "--action", wrong[2]]);
        assert_eq!(made.0, 1, "{wrong:?}");
    }
    let (code, out, err) = token(&["create", "--name", "other", "--repository", "**"]);
    assert!(code == 0 && !out.is_empty() && err.contains("no rule under `access` speaks of robot:other"), "{err}");
}

#[test]
fn a_secret_is_shown_even_where_a_server_cannot_be_told_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let create = |config: &str, name: &str| {
        configured(directory.path(), config, &["token", "create", "--name", name, "--repository", "**", "--config", "config.yml"])
    };
    // What lies at the socket's place hears and does not answer.
    std::fs::create_dir_all(directory.path().join("data/breakwater")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(directory.path().join("data/breakwater/control.sock")).unwrap();
    let deaf = std::thread::spawn(move || drop(socket.accept()));
    let (code, out, err) = create(RULES, "ci");
    deaf.join().unwrap();
    assert!(code == 1 && out.starts_with("bwt_") && err.contains("the running registry cannot be told"), "{out}{err}");
    // A server whose state lies so deep has no socket at all.
    let deep = format!("{RULES}state: {}\n", directory.path().join("deep".repeat(30)).display());
    let (code, out, err) = create(&deep, "ci");
    assert!(code == 0 && out.starts_with("bwt_"), "{out}{err}");
    assert_eq!(configured(directory.path(), &deep, &["token", "revoke", "ci", "--config", "config.yml"]).0, 0);
}

#[test]
fn a_signing_key_is_rotated_unless_a_certificate_holds_it_fast() {
    let directory = tempfile::tempdir().unwrap();
    let rotate = |config: &str| configured(directory.path(), config, &["token", "key", "rotate", "--config", "config.yml"]);
    assert!(rotate(RULES).2.contains("token.pem"), "there is no key before the first start");
    std::fs::create_dir_all(directory.path().join("data/breakwater")).unwrap();
    let path = directory.path().join("data/breakwater/token.pem");
    std::fs::write(&path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let (code, out, err) = rotate(RULES);
    assert!(code == 0 && out.starts_with("tokens are signed with the key "), "{err}");
    let keys = std::fs::read_to_string(&path).unwrap();
    assert_eq!((keys.matches("BEGIN PRIVATE KEY").count(), keys.matches("# retires ").count()), (2, 1));
    let (code, _, err) = rotate(&format!("{RULES}tokenservice: {{certificate: token.crt}}\n"));
    assert!(code == 1 && err.contains("belongs to the key in use"), "{err}");
}

#[test]
fn a_check_finds_rules_that_can_never_match() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("htpasswd"), "").unwrap();
    let check = |config: &str| configured(directory.path(), config, &["check-config", "config.yml"]);
    let (code, out, _) = check(RULES);
    assert!(code == 0 && out.ends_with("config.yml: can be used\n"), "{out}");
    assert!(out.contains("warning: access: `alice` is not in htpasswd (yet)"), "{out}");
    let (code, out, _) = check(&RULES.replace("team/**", "Team/**").replace("group:team", "group:taem"));
    assert_eq!(code, 1);
    for expected in ["error: access.rules.1.who: can never match", " --> config.yml:9:13\n", "`Team/**`", "errors found: 2"] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let (code, out, _) = check(&RULES.replace("pull, push], from", "pull, fly], from"));
    assert!(code == 1 && out.contains("error: access.rules.2.actions: `fly` is not an action"), "{out}");
    assert!(out.contains(" --> config.yml:10:54\n"), "{out}");
}

#[test]
fn a_check_looks_at_certificates_and_their_dates() {
    let directory = tempfile::tempdir().unwrap();
    let config = "version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\nhttp: {tls: {certificate: a.crt, key: a.key}}\n";
    let check = || configured(directory.path(), config, &["check-config", "config.yml"]);
    let issue = |year: i32| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["registry.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        std::fs::write(directory.path().join("a.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(directory.path().join("a.key"), key.serialize_pem()).unwrap();
    };
    let (code, out, _) = check();
    assert!(code == 1 && out.contains("error: http.tls.certificate: a.crt cannot be read: No such file"), "{out}");
    issue(2999);
    let (code, out, _) = check();
    assert!(code == 0 && out.contains("info: http.tls.certificate: a.crt is valid until 2999-01-01T00:00:00Z\n"), "{out}");
    issue(2001);
    let (code, out, _) = check();
    assert!(code == 1 && out.contains("error: http.tls.certificate: a.crt has expired, on 2001-01-01T00:00:00Z\n"), "{out}");
    std::fs::write(directory.path().join("a.key"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let (code, out, _) = check();
    assert!(
        code == 1 && out.contains("error: http.tls.key: a.crt and a.key do not fit together") && out.ends_with("errors found: 1\n"),
        "{out}"
    );
}

#[test]
fn rules_may_stand_in_a_file_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let (before, rules) = RULES.split_once("access:\n").unwrap();
    let rules: String = rules.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
    std::fs::write(directory.path().join("rules.yml"), rules).unwrap();
    let config = format!("{before}access: {{file: rules.yml}}\n");
    let explain = ["access", "explain", "alice", "push", "team/a", "--config", "config.yml"];
    let (code, out, err) = configured(directory.path(), &config, &explain);
    assert!(code == 0 && out.contains("by rules.yml:4:5: access.rules.1"), "{out}{err}");
    let (code, out, _) = configured(directory.path(), &format!("{config}#"), &["check-config", "absent.yml"]);
    assert!(code == 1 && out.contains("cannot read the configuration file absent.yml"), "{out}");
    let both = config.replace("file: rules.yml", "file: rules.yml, groups: {a: [b]}");
    assert!(configured(directory.path(), &both, &["check-config", "config.yml"]).1.contains("cannot stand beside rules or groups"));
    std::fs::remove_file(directory.path().join("rules.yml")).unwrap();
    assert!(configured(directory.path(), &config, &["check-config", "config.yml"]).1.contains("cannot read rules.yml"));
}

#[test]
fn the_recipes_on_rights_say_what_they_promise() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rights.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap());
    let mut promises = 0;
    for (config, rest) in blocks {
        let directory = tempfile::tempdir().unwrap();
        let check = configured(directory.path(), config, &["check-config", "config.yml"]);
        assert_eq!(check.0, 0, "{check:?}\n{config}");
        assert!(!check.1.contains("warning"), "{check:?}\n{config}");
        let commands = rest.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
        for line in commands.lines() {
            let (command, promise) = line.split_once("# ").unwrap_or((line, "allowed"));
            let words: Vec<&str> = command.split_whitespace().skip(1).map(|word| word.trim_matches('\'')).collect();
            let (code, out, err) = configured(directory.path(), config, &[&words[..], &["--config", "config.yml"]].concat());
            assert_eq!(code, i32::from(promise != "allowed"), "{line}: {out}{err}");
            promises += 1;
        }
    }
    assert!(promises > 20, "{promises}");
}
