//! `config show`: what is in force, from where, and no secret.

use std::fs;

use super::{run_with, said};

#[test]
fn each_value_is_shown_with_its_origin_and_secrets_are_masked() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("config.yml"),
        "version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\nhttp: {secret: hidden, headers: {X-One: [a: b, c]}}\n\
         notifications: {endpoints: [{name: one, url: 'http://u:hidden@h.test/e?token=hidden'}]}\n"
            .replace("[a: b, c]", "['a: b', c]"),
    )
    .unwrap();
    fs::write(directory.path().join("password"), "hidden\n").unwrap();
    let show = |arguments: &[&str]| {
        let variables = [("REGISTRY_HTTP_ADDR", "localhost:5001"), ("REGISTRY_REDIS_PASSWORD_FILE", "password")];
        let output = run_with(directory.path(), &variables, &[&["config", "show", "--config", "config.yml"], arguments].concat(), "");
        let (code, out, err) = said(&output);
        assert_eq!((code, err), (0, ""));
        assert!(!out.contains("hidden"), "{out}");
        out.to_owned()
    };
    let out = show(&[]);
    for expected in [
        "version: 0.1  # config.yml:1:10\n",
        "    rootdirectory: data  # config.yml:2:39\n",
        "  addr: \"localhost:5001\"  # REGISTRY_HTTP_ADDR\n",
        "  secret: \"********\"  # config.yml:3:16\n",
        "  headers:  # config.yml:3:33\n    X-One: [\"a: b\", c]\n",
        "  password: \"********\"  # REGISTRY_REDIS_PASSWORD_FILE (password)\n",
        "h.test/e?********\"  # config.yml:4:46\n",
        "state: data/breakwater  # default\n",
        "    idle: 1m  # default\n",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    let json: serde_json::Value = serde_json::from_str(&show(&["--json"])).unwrap();
    let of = |key: &str| json.as_array().unwrap().iter().find(|value| value["key"] == key).unwrap().clone();
    assert_eq!(of("http.secret"), serde_json::json!({"key": "http.secret", "value": "********", "origin": "config.yml:3:16"}));
    assert_eq!(of("limits.connections.total"), serde_json::json!({"key": "limits.connections.total", "value": 10000, "origin": "default"}));
    assert_eq!(of("http.headers")["value"], serde_json::json!({"X-One": ["a: b", "c"]}));
    fs::write(directory.path().join("shown.yml"), out).unwrap();
    let output = run_with(directory.path(), &[], &["check-config", "shown.yml"], "");
    assert!(said(&output).1.contains("error: http.secret: this is what `config show` prints in place of a secret"), "{:?}", said(&output));
}

#[test]
fn what_cannot_be_used_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.yml"), "version: 0.2\n").unwrap();
    let output = run_with(directory.path(), &[], &["config", "show", "--config", "config.yml"], "");
    let (code, out, err) = said(&output);
    assert!(code == 1 && out.is_empty() && err.contains("`0.2` is not a version"), "{err}");
    assert_eq!(said(&run_with(directory.path(), &[], &["config"], "")).0, 2);
}
