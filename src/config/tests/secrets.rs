//! Secrets in files of their own, and that none is shown.

use super::*;
use crate::config::schema::{self, Key, Kind};
use crate::config::{Severity, examined};

/// The variable of every secret, with the indexes of lists, each with the choice of storage that lets it stand.
fn secrets(prefix: &str, keys: &mut dyn Iterator<Item = &'static Key>, found: &mut Vec<String>) {
    for key in keys {
        let name = format!("{prefix}_{}", key.segment());
        if matches!(key.kind, Kind::Secret) {
            found.push(name.clone());
        }
        let below = if matches!(key.kind, Kind::Items(_)) { format!("{name}_0") } else { name };
        secrets(&below, &mut key.keys().iter(), found);
    }
}

fn every_secret() -> Vec<String> {
    let mut found = Vec::new();
    secrets("REGISTRY", &mut schema::top(), &mut found);
    found.push("REGISTRY_REDIS_OPTIONS_PASSWORD".to_owned());
    found
}

fn said(variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let notices = examined("config.yml", SMALL, variables).notices;
    notices.into_iter().map(|notice| format!("{:?} {}", notice.severity, notice.message)).collect()
}

#[test]
fn every_secret_comes_from_a_file_or_a_credential_and_not_from_two_places() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let file = file.to_str().unwrap();
    let every = every_secret();
    for known in ["HTTP_SECRET", "PROXY_PASSWORD", "REDIS_PASSWORD", "NOTIFICATIONS_ENDPOINTS_0_SECRET", "STORAGE_S3_SECRETKEY"] {
        assert!(every.contains(&format!("REGISTRY_{known}")), "{known}");
    }
    assert!(every.contains(&"REGISTRY_HTTP_TLS_LETSENCRYPT_EAB_HMACKEY".to_owned()));
    for name in every {
        std::fs::write(file, "hidden\r\n").unwrap();
        let named = format!("{name}_FILE");
        let by_value = said(&[(&name, "hidden")]).join("\n");
        let by_file = said(&[(&named, file)]).join("\n");
        // The same is said of both, but for the place.
        assert_eq!(by_file.replace(&format!("{named} ({file})"), &name).replace(&named, &name), by_value, "{name}");
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join(&name), "hidden\n").unwrap();
        let place = format!("CREDENTIALS_DIRECTORY ({}/{name})", credentials.path().display());
        let by_credential = said(&[("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap())]).join("\n");
        assert_eq!(by_credential.replace(&place, &name), by_value, "{name}");
        assert!(
            said(&[(&named, file), (&name, "x")]).join("\n").contains(&format!("{name} is set as well; unset one of the two")),
            "{name}"
        );
        let absent = said(&[(&named, "/nowhere/at/all")]).join("\n");
        assert!(absent.contains(&format!("{named}: cannot read the file /nowhere/at/all that it names: No such file")), "{absent}");
        std::fs::write(file, "\n").unwrap();
        assert!(said(&[(&named, file)]).join("\n").contains("is empty; write the secret into it"), "{name}");
        assert!(!format!("{by_value}{by_file}{by_credential}").contains("hidden"), "{name}");
    }
}

#[test]
fn a_secret_keeps_all_but_the_end_of_its_last_line() {
    let credentials = tempfile::tempdir().unwrap();
    let directory = credentials.path().to_str().unwrap();
    std::fs::write(credentials.path().join("REGISTRY_HTTP_SECRET"), "*a: b \n").unwrap();
    let loaded = with_environment(SMALL, &[("CREDENTIALS_DIRECTORY", directory)]).unwrap();
    assert_eq!(loaded.config.http.secret.unwrap().as_slice(), b"*a: b ");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let named = [("CREDENTIALS_DIRECTORY", directory), ("REGISTRY_HTTP_SECRET_FILE", "${CREDENTIALS_DIRECTORY}/REGISTRY_HTTP_SECRET")];
    let loaded = with_environment(SMALL, &named).unwrap();
    assert_eq!(loaded.config.http.secret.unwrap().as_slice(), b"*a: b ");
    let notice = &loaded.warnings[0];
    assert!(
        notice.severity == Severity::Info && notice.message.contains("is not used, since the same is said by REGISTRY_HTTP_SECRET_FILE")
    );
}

#[test]
fn what_is_written_wins_over_a_credential_wherever_it_stands() {
    let credentials = tempfile::tempdir().unwrap();
    let directory = credentials.path().to_str().unwrap();
    for name in ["REGISTRY_HTTP_SECRET", "REGISTRY_REDIS_OPTIONS_PASSWORD", "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_SECRET"] {
        std::fs::write(credentials.path().join(name), "credential").unwrap();
    }
    let text = format!(
        "{SMALL}  secret: written\nredis: {{password: written}}\nnotifications: {{endpoints: [{{name: a, url: 'http://a', secret: written}}]}}\n"
    );
    let loaded = with_environment(&text, &[("CREDENTIALS_DIRECTORY", directory)]).unwrap();
    assert_eq!(loaded.config.http.secret.as_ref().unwrap().as_slice(), b"written");
    let unused = loaded.warnings.iter().filter(|notice| notice.message.contains("is not used, since the same is said by config.yml:"));
    assert_eq!(unused.count(), 3, "{:?}", loaded.warnings);
    // Alone it would be an endpoint without an address.
    std::fs::remove_file(credentials.path().join("REGISTRY_NOTIFICATIONS_ENDPOINTS_0_SECRET")).unwrap();
    let whole = with_environment(SMALL, &[("CREDENTIALS_DIRECTORY", directory), ("REGISTRY_HTTP", "{secret: variable}")]).unwrap();
    assert_eq!(whole.config.http.secret.unwrap().as_slice(), b"variable");
}

#[test]
fn paths_may_begin_with_the_directory_of_credentials() {
    let text = format!("{SMALL}  tls: {{certificate: \"${{CREDENTIALS_DIRECTORY}}/c\", key: \"${{CREDENTIALS_DIRECTORY}}/k\"}}\n");
    let credentials = tempfile::tempdir().unwrap();
    let directory = credentials.path().to_str().unwrap();
    let tls = with_environment(&text, &[("CREDENTIALS_DIRECTORY", directory)]).unwrap().config.tls.unwrap();
    assert_eq!((tls.certificate, tls.key), (credentials.path().join("c"), credentials.path().join("k")));
    let text = refusal(&text, &[]);
    assert!(text.contains("config.yml:7:22: http.tls.certificate: CREDENTIALS_DIRECTORY is not set"), "{text}");
    let text = refusal(SMALL, &[("CREDENTIALS_DIRECTORY", "/nowhere/at/all")]);
    assert!(text.contains("CREDENTIALS_DIRECTORY: cannot read the directory /nowhere/at/all"), "{text}");
}
