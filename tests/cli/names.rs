//! The program by its other names: `registry`, `htpasswd` and the entry point of the image.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::{feed, said};

/// Runs the binary by another name.
fn called(name: &str, directory: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
    command.arg0(name).args(arguments).current_dir(directory).env_clear();
    let output = feed(&mut command, input);
    let (code, out, err) = said(&output);
    (code, out.to_owned(), err.to_owned())
}

#[test]
fn as_registry_it_answers_as_the_stock_program_does() {
    let directory = tempfile::tempdir().unwrap();
    let registry = |arguments: &[&str]| called("/bin/registry", directory.path(), arguments, "");
    for flag in ["-v", "--version"] {
        let (code, out, _) = registry(&[flag]);
        assert_eq!(
            (code, out.split_whitespace().collect::<Vec<_>>()),
            (0, vec!["registry", "breakwater", concat!("v", env!("CARGO_PKG_VERSION"))])
        );
    }
    for usage in [&["help"][..], &[], &["--help"]] {
        let (code, out, err) = registry(usage);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("Usage: registry") && out.contains("garbage-collect"), "{out}");
    }
    // Where the usual places hold no file, which depends on the machine.
    assert!(breakwater::config::Error::NoPath.to_string().starts_with("configuration path unspecified"));
    let (code, _, err) = registry(&["garbage-collect", "--dry-run", "-m", "absent.yml"]);
    assert_eq!(code, 1);
    assert!(err.contains("cannot read the configuration file absent.yml: "), "{err}");
    assert_eq!(err.matches("No such file").count(), 1, "{err}");
    assert_eq!(registry(&["sevre"]).0, 2);
}

#[test]
fn the_entry_point_serves_a_file_and_runs_what_else_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let entry = |arguments: &[&str]| called("/entrypoint", directory.path(), arguments, "");
    for served in
        [&["absent.yml"][..], &["serve", "absent.yml"], &["registry", "serve", "absent.yml"], &["/bin/registry", "serve", "absent.yml"]]
    {
        let (code, _, err) = entry(served);
        assert_eq!(code, 1);
        assert!(err.contains("cannot read the configuration file absent.yml"), "{err}");
    }
    assert!(entry(&["--version"]).1.starts_with("registry breakwater v"));
    assert!(entry(&["breakwater", "--version"]).1.starts_with("breakwater "));
    assert!(entry(&["htpasswd", "-bn", "-C", "4", "a", "b"]).1.starts_with("a:$2y$04$"));
    assert!(entry(&["garbage-collect", "absent.yml"]).2.contains("cannot read the configuration file absent.yml"));
    assert_eq!(entry(&["sh", "-c", "true"]).0, 2);
}

#[test]
fn as_htpasswd_it_prints_lines_of_bcrypt() {
    let directory = tempfile::tempdir().unwrap();
    let htpasswd = |arguments: &[&str], input: &str| called("htpasswd", directory.path(), arguments, input);
    for (arguments, input, begin) in [
        (&["-Bbn", "alice", "one"][..], "", "alice:$2y$10$"),
        (&["-nbB", "alice", "one"], "", "alice:$2y$10$"),
        (&["-BbnC4", "alice", "one"], "", "alice:$2y$04$"),
        (&["-bn", "-C", "5", "alice", "one"], "", "alice:$2y$05$"),
        (&["-Bin", "alice"], "one\n", "alice:$2y$10$"),
    ] {
        let (code, out, err) = htpasswd(arguments, input);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        assert!(out.starts_with(begin) && out.ends_with("\n\n"), "{arguments:?}: {out:?}");
        std::fs::write(directory.path().join("printed"), out).unwrap();
        assert_eq!(htpasswd(&["-vb", "printed", "alice", "one"], "").0, 0);
        assert_eq!(htpasswd(&["-vb", "printed", "alice", "two"], "").0, 3);
    }
}

#[test]
fn as_htpasswd_it_writes_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let htpasswd = |arguments: &[&str], input: &str| called("htpasswd", directory.path(), arguments, input);
    let (code, _, err) = htpasswd(&["-Bb", "file", "alice", "one"], "");
    assert_eq!(code, 1);
    assert!(err.contains("use '-c' to create it"), "{err}");
    for (arguments, input, told) in [
        (&["-Bbc", "-C", "4", "file", "alice", "one"][..], "", "Adding password for user alice"),
        (&["-Bb", "-C", "4", "file", "bob", "two"], "", "Adding password for user bob"),
        (&["-Bi", "-C", "4", "file", "alice"], "three\n", "Updating password for user alice"),
        (&["-vb", "file", "alice", "three"], "", "Password for user alice correct."),
        (&["-D", "file", "bob"], "", "Deleting password for user bob"),
        (&["-D", "file", "bob"], "", "User bob not found"),
    ] {
        let (code, out, err) = htpasswd(arguments, input);
        assert_eq!((code, out.as_str(), err.trim_end()), (0, "", told), "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(directory.path().join("file")).unwrap().lines().count(), 1);
    for wrong in [&["-Bbn", "alice"][..], &["-B", "alice"], &["-Bbn", "a:b", "x"], &["-nc", "f", "a"], &["-bn", "-C", "3", "a", "b"], &[]] {
        assert_eq!(htpasswd(wrong, "").0, 2, "{wrong:?}");
    }
}
