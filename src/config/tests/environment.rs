//! The variables, by the table of what people set.

use super::*;
use crate::auth;
use crate::config::{HealthSubject, Listen, Severity};
use crate::registry::{Deletion, Mode};

fn set(variables: &[(&str, &str)]) -> Loaded {
    with_environment(SMALL, variables).unwrap_or_else(|error| panic!("{variables:?}: {error}"))
}

fn messages(variables: &[(&str, &str)]) -> Vec<String> {
    set(variables).warnings.into_iter().map(|notice| notice.message).collect()
}

#[test]
fn each_honoured_variable_changes_what_it_names() {
    type Shown = fn(&Config) -> String;
    let table: &[(&str, &str, Shown, &str)] = &[
        ("HTTP_ADDR", "0.0.0.0:443", |c| format!("{:?}", c.listen), r#"Tcp("0.0.0.0:443")"#),
        ("HTTP_HOST", "https://r.example.com/", |c| format!("{:?}", c.http.host), r#"Some("https://r.example.com")"#),
        ("HTTP_SECRET", "s3cret", |c| format!("{:?}", c.http.secret.as_ref().map(|s| s.len())), "Some(6)"),
        ("HTTP_PREFIX", "/r/", |c| c.http.prefix.clone(), "/r/"),
        ("HTTP_RELATIVEURLS", "yes", |c| c.http.relative_urls.to_string(), "true"),
        ("HTTP_DRAINTIMEOUT", "1m", |c| format!("{:?}", c.drain_timeout), "60s"),
        ("HTTP_TRUSTEDPROXIES", "[10.0.0.0/8, ::1]", |c| format!("{:?}", c.http.trusted_proxies), "Some([10.0.0.0/8, ::1/128])"),
        ("HTTP_ACCELREDIRECT", "/data/", |c| format!("{:?}", c.http.accel_redirect), r#"Some("/data/")"#),
        ("HTTP_TRUSTEDPROXIES_0", "10.0.0.0/8", |c| format!("{:?}", c.http.trusted_proxies), "Some([10.0.0.0/8])"),
        (
            "HTTP_HEADERS_Access-Control-Allow-Origin",
            "['*']",
            |c| format!("{:?}", c.http.headers),
            r#"[("access-control-allow-origin", ["*"])]"#,
        ),
        ("LOG_LEVEL", "error", |c| c.telemetry.level.to_string(), "ERROR"),
        ("LOGLEVEL", "debug", |c| c.telemetry.level.to_string(), "DEBUG"),
        ("LOG_FORMATTER", "json", |c| format!("{:?}", c.telemetry.formatter), "Json"),
        ("LOG_FIELDS_SITE", "north", |c| format!("{:?}", c.telemetry.fields), r#"{"site": "north"}"#),
        ("LOG_ACCESSLOG_DISABLED", "true", |c| c.telemetry.access_log.is_none().to_string(), "true"),
        ("STORAGE_FILESYSTEM_ROOTDIRECTORY", "/other", |c| c.storage.root_directory.display().to_string(), "/other"),
        ("STORAGE_FILESYSTEM", "{rootdirectory: /other}", |c| c.storage.root_directory.display().to_string(), "/other"),
        ("STORAGE", "filesystem", |c| c.storage.root_directory.display().to_string(), "/var/lib/registry"),
        ("STORAGE_DELETE_ENABLED", "true", |c| (c.registry.delete == Deletion::Enabled).to_string(), "true"),
        ("STORAGE_MAINTENANCE_READONLY_ENABLED", "true", |c| (c.registry.mode == Mode::ReadOnly).to_string(), "true"),
        ("STORAGE_MAINTENANCE_READONLY", r#"{"enabled":true}"#, |c| (c.registry.mode == Mode::ReadOnly).to_string(), "true"),
        ("STORAGE_MAINTENANCE", "{readonly: {enabled: true}}", |c| (c.registry.mode == Mode::ReadOnly).to_string(), "true"),
        ("STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED", "false", |c| c.registry.upload_purging.is_none().to_string(), "true"),
        ("STORAGE_MAINTENANCE_UPLOADPURGING_AGE", "1h", |c| format!("{:?}", c.registry.upload_purging.map(|p| p.age)), "Some(3600s)"),
        ("CATALOG_MAXENTRIES", "50", |c| c.http.catalog_max_entries.to_string(), "50"),
        ("TAGS_MAXTAGS", "7", |c| c.http.tags_max.to_string(), "7"),
        ("STATE", "/state", |c| c.state.display().to_string(), "/state"),
    ];
    for (name, value, shown, expected) in table {
        let loaded = set(&[(&format!("REGISTRY_{name}"), value)]);
        assert_eq!(&shown(&loaded.config), expected, "{name}={value}");
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
    }
}

#[test]
fn passwords_tokens_and_certificates_come_from_variables_alone() {
    let basic = set(&[
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth/htpasswd"),
    ]);
    let auth::Options::Htpasswd(options) = basic.config.auth else { panic!("open") };
    assert_eq!((options.realm.as_str(), options.path.to_str()), ("Registry Realm", Some("/auth/htpasswd")));
    let token = set(&[
        ("REGISTRY_AUTH_TOKEN_REALM", "https://a/token"),
        ("REGISTRY_AUTH_TOKEN_SERVICE", "s"),
        ("REGISTRY_AUTH_TOKEN_ISSUER", "i"),
        ("REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE", "/b.pem"),
        ("REGISTRY_AUTH_TOKEN_AUTOREDIRECT", "true"),
    ]);
    let auth::Options::Token(options) = token.config.auth else { panic!("open") };
    assert_eq!(options.auto_redirect.as_deref(), Some("/auth/token"));
    let tls = set(&[("REGISTRY_HTTP_TLS_CERTIFICATE", "/c"), ("REGISTRY_HTTP_TLS_KEY", "/k")]);
    assert_eq!(tls.config.tls.map(|tls| tls.key).as_deref().and_then(|key| key.to_str()), Some("/k"));
    let unix = set(&[("REGISTRY_HTTP_NET", "unix"), ("REGISTRY_HTTP_ADDR", "/run/r.sock")]);
    assert_eq!(unix.config.listen, Listen::Unix("/run/r.sock".into()));
}

#[test]
fn variables_that_others_set_are_passed_over() {
    let others = ["PORT", "PORT_5000_TCP", "PORT_5000_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "CONFIGURATION_PATH"];
    let of_other_services = ["DOCKER_REGISTRY_SERVICE_HOST", "DOCKER_REGISTRY_SERVICE_PORT_REGISTRY", "UI_PORT", "HTTP_PORT_80_TCP_PROTO"];
    for name in others.into_iter().chain(of_other_services) {
        assert!(messages(&[(&format!("REGISTRY_{name}"), "tcp://10.0.0.1:5000")]).is_empty(), "{name}");
    }
    for (name, value) in [("HTTP_PORT", "5000"), ("HTTP_SERVICE_HOSTS", "x"), ("HTTP_REPORT_TCP", "x"), ("UI_TITLE", "x")] {
        assert_eq!(messages(&[(&format!("REGISTRY_{name}"), value)]).len(), 1, "{name}");
    }
    assert!(messages(&[("registry_http_addr", "x"), ("PATH", "*"), ("MYREGISTRY_HTTP_ADDR", "x")]).is_empty());
}

#[test]
fn an_unknown_variable_is_a_mistake_with_the_nearest_name() {
    assert_eq!(set(&[("REGISTRY_HTPP_ADDR", ":1")]).warnings[0].severity, Severity::Mistake);
    assert_eq!(
        messages(&[("REGISTRY_HTPP_ADDR", ":1")]),
        ["REGISTRY_HTPP_ADDR: `HTPP` is unknown, so the variable is ignored; did you mean `HTTP`?"]
    );
    assert_eq!(
        messages(&[("REGISTRY_HTTP_ADDRESS_X", ":1")]),
        ["REGISTRY_HTTP_ADDRESS_X: `ADDRESS` is unknown, so the variable is ignored; did you mean `ADDR`?"]
    );
    assert_eq!(
        messages(&[("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTRY", "/x")]),
        ["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTRY: storage.filesystem.rootdirectry: unknown, so ignored; did you mean `rootdirectory`?"]
    );
    assert_eq!(
        messages(&[("REGISTRY_HTTP_ADDR_X", ":1")]),
        ["REGISTRY_HTTP_ADDR_X: `addr` has nothing below it, so the variable is ignored"]
    );
}

#[test]
fn fixed_names_go_by_their_name_in_variables() {
    for (name, key) in [
        ("LOG_HOOKS_0_MAILOPTIONS_SMTP_ADDR", "log.hooks"),
        ("REDIS_PASSWORD", "redis"),
        ("REDIS_OPTIONS_PASSWORD", "redis"),
        ("COMPATIBILITY_SCHEMA1_TRUSTKEY", "compatibility"),
    ] {
        let messages = messages(&[(&format!("REGISTRY_{name}"), "/x")]);
        assert_eq!(messages.len(), 1, "{name}: {messages:?}");
        assert!(messages[0].starts_with(&format!("REGISTRY_{name}: {key}: ")), "{name}: {messages:?}");
    }
    assert!(messages(&[("REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES", "true")]).is_empty());
}

#[test]
fn health_checks_go_by_their_name_in_variables() {
    for (name, value, check) in [
        ("FILECHECKERS_0_FILE", "/x", HealthSubject::File("/x".into())),
        ("HTTPCHECKERS_0_URI", "http://x/y", HealthSubject::Http { uri: "http://x/y".to_owned(), headers: Vec::new(), status: 200 }),
        ("TCPCHECKERS_0_ADDR", "x:1", HealthSubject::Tcp("x:1".to_owned())),
        ("STORAGEDRIVER_ENABLED", "true", HealthSubject::Storage),
    ] {
        let loaded = with_environment(SMALL, &[(&format!("REGISTRY_HEALTH_{name}"), value)]).unwrap();
        assert_eq!(loaded.config.health.iter().map(|health| &health.subject).collect::<Vec<_>>(), [&check]);
    }
}

#[test]
fn lists_grow_at_their_end_only() {
    let base = "version: 0.1\nstorage: {filesystem: }\nhttp: {trustedproxies: [10.0.0.1]}\n";
    let networks = |variables: &[(&str, &str)]| with_environment(base, variables).unwrap().config.http.trusted_proxies.unwrap().len();
    assert_eq!(networks(&[("REGISTRY_HTTP_TRUSTEDPROXIES_0", "10.0.0.2")]), 1);
    assert_eq!(networks(&[("REGISTRY_HTTP_TRUSTEDPROXIES_1", "10.0.0.2")]), 2);
    assert!(refusal(base, &[("REGISTRY_HTTP_TRUSTEDPROXIES_2", "10.0.0.2")]).contains("REGISTRY_HTTP_TRUSTEDPROXIES_2: undefined index 2"));
    assert!(refusal(base, &[("REGISTRY_HTTP_TRUSTEDPROXIES_X", "10.0.0.2")]).contains("`X` is not the index of an item"));
    let hosts = |variables: &[(&str, &str)]| {
        let tls = with_environment(base, variables).unwrap().config.tls.unwrap();
        Vec::from_iter(tls.acme.unwrap().hosts).join(" ")
    };
    assert_eq!(
        hosts(&[("REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS_0", "one.example"), ("REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS_1", "two.example")]),
        "one.example two.example"
    );
    assert_eq!(hosts(&[("REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS", "[one.example, two.example]")]), "one.example two.example");
    assert_eq!(hosts(&[("REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS", "one.example")]), "one.example");
}

#[test]
fn a_bare_name_replaces_the_section_before_its_parts_are_set() {
    let text = refusal(SMALL, &[("REGISTRY_STORAGE", "s3"), ("REGISTRY_STORAGE_S3_BUCKET", "b")]);
    assert!(text.contains("storage.s3: this storage driver is not there yet"), "{text}");
    assert!(!text.contains("only one driver"), "{text}");
    let text = refusal(SMALL, &[("REGISTRY_STORAGE_S3_BUCKET", "b")]);
    assert!(text.contains("`filesystem` (config.yml:3:3) and `s3` (REGISTRY_STORAGE_S3_BUCKET)"), "{text}");
}

#[test]
fn a_value_is_yaml_and_what_is_not_says_so() {
    let text = refusal(SMALL, &[("REGISTRY_HTTP_SECRET", "*abc")]);
    assert!(text.contains("REGISTRY_HTTP_SECRET: this is not YAML") && text.contains("put quotes inside the value"), "{text}");
    let text = refusal(SMALL, &[("REGISTRY_HTTP_SECRET", "{a: hidden}")]);
    assert!(text.contains("http.secret: a section is not one text") && !text.contains("hidden"), "{text}");
    assert!(messages(&[("REGISTRY_HTTP_SECRET", "abc #1")])[0].contains("` #` begins a comment"));
    assert_eq!(set(&[("REGISTRY_HTTP_SECRET", "'abc #1'")]).config.http.secret.map(|secret| secret.len()), Some(6));
    assert!(set(&[("REGISTRY_HTTP_ADDR", "")]).config.listen == Listen::Tcp(":5000".to_owned()), "an empty value is the default");
}

#[test]
fn a_secret_comes_from_the_file_that_a_variable_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "*not: yaml\n").unwrap();
    let path = path.to_str().unwrap();
    let secret = set(&[("REGISTRY_HTTP_SECRET_FILE", path)]).config.http.secret.unwrap();
    assert_eq!(secret.as_slice(), b"*not: yaml");
    let both = refusal(SMALL, &[("REGISTRY_HTTP_SECRET_FILE", path), ("REGISTRY_HTTP_SECRET", "x")]);
    assert!(both.contains("REGISTRY_HTTP_SECRET is set as well"), "{both}");
    assert!(refusal(SMALL, &[("REGISTRY_HTTP_SECRET_FILE", "/nowhere/at/all")]).contains("cannot read the file /nowhere/at/all"));
    assert!(messages(&[("REGISTRY_HTTP_ADDR_FILE", path)])[0].contains("ignored"), "an address is no secret");
}

#[test]
fn both_spellings_of_a_header_remain() {
    let text = "version: 0.1\nstorage: {filesystem: }\nhttp: {headers: {X-One: [a]}}\n";
    let loaded = with_environment(text, &[("REGISTRY_HTTP_HEADERS_X-One", "[b]")]).unwrap();
    let names: Vec<_> = loaded.config.http.headers.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["X-One", "x-one"]);
}
