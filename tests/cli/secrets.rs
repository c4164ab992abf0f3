//! Secrets in files of their own: what `deploy/secrets.md` says, run.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{run_with, said};

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/secrets.md")).expect("the page is there")
}

/// The fenced blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split_once("```").expect("each fence has an end").0.to_owned()).collect()
}

#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let scripts = blocks(&page(), "sh");
    assert_eq!(scripts.len(), 2);
    let program = Path::new(env!("CARGO_BIN_EXE_breakwater")).parent().unwrap().display().to_string();
    for script in scripts {
        let directory = tempfile::tempdir().unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &script]).current_dir(directory.path()).env_clear();
        shell.env("PATH", format!("{program}:/usr/local/bin:/usr/bin:/bin")).env("REGISTRY_HTTP_ADDR", "localhost:0");
        let output = shell.output().unwrap();
        let (code, out, err) = said(&output);
        assert!(code == 0 && out.contains("config.yml: can be used"), "{script}\n{out}{err}");
    }
}

#[test]
fn each_name_of_the_page_leads_to_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.yml"), "version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\n").unwrap();
    fs::write(directory.path().join("secret"), "hidden").unwrap();
    let page = page();
    let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names: Vec<&str> = words.filter_map(|word| word.strip_suffix("_FILE")).filter(|name| name.starts_with("REGISTRY_")).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in the table");
        let credentials = tempfile::tempdir().unwrap();
        fs::write(credentials.path().join(name), "hidden").unwrap();
        let ways = [(format!("{name}_FILE"), "secret"), ("CREDENTIALS_DIRECTORY".to_owned(), credentials.path().to_str().unwrap())];
        for (variable, value) in ways {
            let output = run_with(directory.path(), &[(&variable, value)], &["check-config", "--json", "config.yml"], "");
            let (_, out, _) = said(&output);
            assert!(!out.contains("ignored") && !out.contains("cannot read"), "{variable}: {out}");
        }
    }
}

#[test]
fn what_is_written_wins_over_a_credential_and_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("REGISTRY_HTTP_SECRET"), "credential\n").unwrap();
    fs::write(credentials.join("tls.key"), "of another kind").unwrap();
    let credentials = ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    let address = ("REGISTRY_HTTP_ADDR", "localhost:0");
    let check = |config: &str, variables: &[(&str, &str)]| {
        fs::write(directory.path().join("config.yml"), format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: data}}}}\n{config}"))
            .unwrap();
        let output = run_with(directory.path(), &[&[credentials, address], variables].concat(), &["check-config", "config.yml"], "");
        let (code, out, _) = said(&output);
        (code, out.to_owned())
    };
    assert_eq!(check("", &[]), (0, "config.yml: can be used\n".to_owned()));
    let used = "info: the credential REGISTRY_HTTP_SECRET is not used, since the same is said by ";
    let (code, out) = check("http: {secret: file}\n", &[]);
    assert!(code == 0 && out.contains(&format!("{used}config.yml:3:16")), "{out}");
    let (code, out) = check("", &[("REGISTRY_HTTP_SECRET", "variable")]);
    assert!(code == 0 && out.contains(&format!("{used}REGISTRY_HTTP_SECRET\n")), "{out}");
    fs::write(Path::new(credentials.1).join("REGISTRY_HTTP_ADDR"), ":80").unwrap();
    let (code, out) = check("", &[]);
    assert!(code == 1 && out.contains("the credential REGISTRY_HTTP_ADDR is not the variable of a secret, so it is ignored"), "{out}");
}
