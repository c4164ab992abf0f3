//! `check-config`: what it prints of files that cannot be used, and of what they name.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::{run_with, said};

const QUIET: (&str, &str) = ("REGISTRY_HTTP_ADDR", "localhost:0");

/// Exit code and what was printed, of a file with variables.
fn check(directory: &Path, config: &str, variables: &[(&str, &str)]) -> (i32, String) {
    fs::write(directory.join("config.yml"), config).expect("the directory is ours");
    let output = run_with(directory, variables, &["check-config", "config.yml"], "");
    let (code, out, err) = said(&output);
    assert!(err.is_empty(), "{err}");
    (code, out.to_owned())
}

const START: &str = "version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\n";

/// A file, and all that is printed of it.
const TABLE: [(&str, &str); 6] = [
    (
        "log:\n  level: loud\n",
        "error: log.level: `loud` is not a level; write error, warn, info or debug
 --> config.yml:4:10
  |
4 |   level: loud
  |          ^^^^
config.yml: errors found: 1
",
    ),
    (
        "http:\n  address: :5000  # no such name\n  prefix: registry\n",
        "error: http.address: unknown, so ignored; did you mean `addr`?
 --> config.yml:4:3
  |
4 |   address: :5000  # no such name
  |   ^^^^^^^
error: http.prefix: `registry` must begin and end with `/`; write one such as /registry/
 --> config.yml:5:11
  |
5 |   prefix: registry
  |           ^^^^^^^^
config.yml: errors found: 2
",
    ),
    (
        "http: {secret: [hidden], draintimeout: soon}\n",
        "error: http.secret: a list is not one text; if it is meant as one, put it in quotes
 --> config.yml:3:16
  |
3 | http: {secret: ********, draintimeout: soon}
  |                ^^^^^^^^
error: http.draintimeout: `soon` is not a duration; write one such as 90s, 5m or 1h30m
 --> config.yml:3:40
  |
3 | http: {secret: ********, draintimeout: soon}
  |                                        ^^^^
config.yml: errors found: 2
",
    ),
    (
        "log:\n\tlevel: info\n",
        "error: this is not YAML: tabs disallowed within this context (block indentation); check the indentation and the quotes of this \
line and the one before it
 --> config.yml:4:1
  |
4 |     level: info
  | ^^^^
config.yml: errors found: 1
",
    ),
    (
        "log:\n  level: 'info\nhttp:\n  secret: hidden\n",
        "error: this is not YAML: invalid indentation in quoted scalar; check the indentation and the quotes of this line and the one \
before it
 --> config.yml:4:10
  |
4 |   level: 'info
  |          ^
config.yml: errors found: 1
",
    ),
    (
        "log: {level: info}\nlog: {level: debug}\n",
        "warning: log: written twice; this one counts, and the one at config.yml:3:1 is ignored
 --> config.yml:4:1
  |
4 | log: {level: debug}
  | ^^^
config.yml: can be used
",
    ),
];

#[test]
fn every_problem_is_printed_with_its_line_and_a_caret() {
    let directory = tempfile::tempdir().unwrap();
    for (config, expected) in TABLE {
        let (code, out) = check(directory.path(), &format!("{START}{config}"), &[QUIET]);
        assert_eq!(out, expected, "{config}");
        assert_eq!(code, i32::from(!out.ends_with("config.yml: can be used\n")), "{out}");
        assert!(!out.contains("hidden"), "{out}");
    }
}

#[test]
fn a_value_of_a_variable_is_named_by_it_and_programs_get_the_same_in_json() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [QUIET, ("REGISTRY_LOG_LEVEL", "loud"), ("REGISTRY_HTTPP", "x"), ("REGISTRY_PORT_5000_TCP", "tcp://a")];
    let (code, out) = check(directory.path(), START, &variables);
    let expected = "error: log.level: `loud` is not a level; write error, warn, info or debug\n --> variable REGISTRY_LOG_LEVEL\n\
                    error: `HTTPP` is unknown, so the variable is ignored; did you mean `HTTP`?\n --> variable REGISTRY_HTTPP\n\
                    config.yml: errors found: 2\n";
    assert_eq!((code, out.as_str()), (1, expected));
    let json = |config: &str, variables: &[(&str, &str)]| -> serde_json::Value {
        fs::write(directory.path().join("config.yml"), config).unwrap();
        let output = run_with(directory.path(), variables, &["check-config", "--json", "config.yml"], "");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(json(START, &[QUIET]), serde_json::json!([]));
    let found = json(&format!("{START}log: {{level: loud}}\n"), &[QUIET]);
    let expected = serde_json::json!([{
        "severity": "error", "file": "config.yml", "line": 3, "column": 14, "variable": null, "key": "log.level",
        "message": "`loud` is not a level; write error, warn, info or debug",
    }]);
    assert_eq!(found, expected);
    assert_eq!(json(START, &variables)[0]["variable"], "REGISTRY_LOG_LEVEL");
}

/// Everything below a directory, with what would tell a change.
fn listing(directory: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is ours").flatten() {
        let metadata = fs::symlink_metadata(entry.path()).expect("nobody else removes it");
        found.push((entry.path(), metadata.len(), metadata.modified().expect("files have times")));
        if metadata.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

const NAMES_MUCH: &str = r#"version: 0.1
storage: {filesystem: {rootdirectory: file/data}}
state: file/state
http: {tls: {certificate: bad.pem, key: absent.key, clientcas: [bad.pem]}}
auth: {htpasswd: {realm: r, path: htpasswd}}
tokenservice: {signingkey: bad.pem}
oidc:
  - {name: "Bad Name", issuer: "https://j.example", audience: a, user: b, match: {c: d}, jwks: good.json}
  - {name: ci, issuer: "https://i.example", audience: a, user: b, match: {c: d}, jwks: bad.pem}
log: {audit: {output: absent/audit.log}}
"#;

#[test]
fn what_a_start_would_find_is_found_without_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::write(place("file"), "").unwrap();
    fs::write(place("bad.pem"), "nothing").unwrap();
    fs::write(place("good.json"), r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#)
        .unwrap();
    fs::write(place("htpasswd"), "one\nalice:plain\ntwo\n").unwrap();
    fs::write(place("config.yml"), NAMES_MUCH).unwrap();
    let before = listing(directory.path());
    let output = run_with(directory.path(), &[QUIET], &["check-config", "config.yml"], "");
    let (code, out, _) = said(&output);
    assert_eq!(code, 1);
    for expected in [
        "error: storage.filesystem.rootdirectory: file/data cannot be",
        "error: state: file/state cannot be",
        "error: http.tls.certificate: bad.pem holds no certificate\n --> config.yml:4:27\n",
        "error: http.tls.key: absent.key cannot be read: No such file",
        "error: http.tls.clientcas: bad.pem holds no certificate",
        "error: auth.htpasswd.path: htpasswd: line 1 is not user:hash",
        "error: auth.htpasswd.path: htpasswd: line 3 is not user:hash",
        "warning: auth.htpasswd.path: htpasswd: line 2 has a hash that is not bcrypt",
        "error: tokenservice.signingkey: bad.pem: no usable key or certificate inside\n --> config.yml:6:28\n",
        "error: oidc.0.name: `Bad Name` is not a name",
        "error: oidc.1.jwks: bad.pem: not a JSON web key set\n --> config.yml:9:88\n",
        "error: log.audit.output: absent/audit.log cannot be written",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    assert!(!out.contains("oidc.0.jwks"), "{out}");
    assert_eq!(listing(directory.path()), before, "a check changes nothing");
}

#[test]
fn a_good_configuration_leaves_no_trace_either() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{START}auth: {{htpasswd: {{realm: r, path: htpasswd}}}}\ntokenservice:\nlog: {{audit: {{output: audit.log}}}}\n");
    let (code, out) = check(directory.path(), &config, &[QUIET]);
    assert!(code == 0 && out.contains("info: auth.htpasswd.path: htpasswd is not there; the start makes it"), "{out}");
    assert_eq!(listing(directory.path()).len(), 1, "the configuration alone");
}

#[test]
fn keys_of_issuers_elsewhere_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("bad.pem"), "nothing").unwrap();
    let config = format!(
        "{START}auth: {{token: {{realm: r, service: s, issuer: i, rootcertbundle: bad.pem, jwks: absent, signingalgorithms: [HS256]}}}}\n"
    );
    let (code, out) = check(directory.path(), &config, &[QUIET]);
    assert_eq!(code, 1);
    for expected in ["auth.token.rootcertbundle: bad.pem: ", "auth.token.jwks: absent: No such file", "auth.token.signingalgorithms: "] {
        assert!(out.contains(&format!("error: {expected}")), "{expected}\n{out}");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_unless_the_registry_itself_serves() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let variables = [("REGISTRY_HTTP_ADDR", address.as_str())];
    let (code, out) = check(directory.path(), START, &variables);
    assert!(code == 1 && out.contains(&format!("error: http.addr: cannot listen on {address}: Address already in use")), "{out}");
    // As a server does.
    fs::create_dir_all(directory.path().join("data/breakwater")).unwrap();
    let lock = fs::File::create(directory.path().join("data/breakwater/lock")).unwrap();
    lock.lock().unwrap();
    let (code, out) = check(directory.path(), START, &variables);
    assert!(code == 0 && out.contains("info: state: a breakwater serves this directory now"), "{out}");
    assert!(out.contains("info: http.addr: ") && out.contains("is taken, as it must be"), "{out}");
    drop((lock, taken));
    let twice = [variables[0], ("REGISTRY_HTTP_DEBUG_ADDR", address.as_str())];
    let (code, out) = check(directory.path(), START, &twice);
    assert!(code == 1 && out.contains("error: http.debug.addr: cannot listen on"), "one address for two listeners: {out}");
}

#[test]
fn a_state_directory_too_deep_for_a_socket_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let (code, out) = check(directory.path(), &format!("{START}state: {}\n", "deep/".repeat(30)), &[QUIET]);
    assert!(code == 0 && out.contains("warning: state: the path of deep/deep/"), "{out}");
}

#[test]
fn a_socket_is_looked_at_and_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let unix = |path: &str| check(directory.path(), &format!("{START}http: {{net: unix, addr: {path}}}\n"), &[]);
    assert_eq!(unix("r.sock").0, 0);
    assert!(!directory.path().join("r.sock").try_exists().unwrap());
    for (path, expected) in
        [("config.yml", "in the way of the socket"), ("absent/r.sock", "cannot be"), (&"s".repeat(120), "cannot be a socket")]
    {
        let (code, out) = unix(path);
        assert!(code == 1 && out.contains("error: http.addr: ") && out.contains(expected), "{path}: {out}");
    }
}

#[test]
fn rights_are_those_of_the_user_who_asks() {
    const NOBODY: u32 = 65534;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.path().join("config.yml"), format!("{START}log: {{audit: {{output: audit.log}}}}\n")).unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    fs::write(directory.path().join("audit.log"), "").unwrap();
    for (name, mode) in [("data", 0o555), ("audit.log", 0o444)] {
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    // The one that was built may lie where others cannot look. Copied by another process: what this one has open to write, a child
    // of another test may hold at the wrong moment, and then it cannot be run.
    let program = directory.path().join("breakwater");
    assert!(Command::new("cp").args([env!("CARGO_BIN_EXE_breakwater").as_ref(), program.as_os_str()]).status().unwrap().success());
    let mut command = Command::new(&program);
    command.args(["check-config", "config.yml"]).current_dir(directory.path()).env_clear().env("REGISTRY_HTTP_ADDR", "127.0.0.1:1023");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let (code, out, err) = said(&output);
    assert_eq!(code, 1, "{err}");
    assert!(
        out.contains("error: storage.filesystem.rootdirectory: data cannot be read and written by this user: Permission denied"),
        "{out}"
    );
    assert!(out.contains("error: log.audit.output: audit.log cannot be written: Permission denied"), "{out}");
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().is_ok_and(|first| first > 1023) {
        assert!(
            out.contains("error: http.addr: cannot listen on 127.0.0.1:1023: Permission denied") && out.contains("CAP_NET_BIND"),
            "{out}"
        );
    }
}
