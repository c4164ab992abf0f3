//! The built binary as a user runs it: exit codes and messages.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary in a directory, with a text on standard input and no variables of the registry.
fn run(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_breakwater"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
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
        (&["man"], ".TH breakwater 1"),
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
