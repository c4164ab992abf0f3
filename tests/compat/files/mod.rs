//! The files that people have: what they mean with ours, what it says of them, and that stock registries start on them too.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Certificate;
use crate::trial::{REGISTRY_2, REGISTRY_3, attempt, is_there};

/// A file with variables over it, and what becomes of it.
struct Case {
    file: &'static str,
    variables: &'static str,
    /// The stock registries that start on it.
    starts: Vec<&'static str>,
    values: Vec<(&'static str, Value)>,
    /// What ours notices, each by a part of it; with `refusal`, nothing.
    says: Vec<&'static str>,
    refusal: &'static str,
}

fn case(file: &'static str, variables: &'static str, starts: &[&'static str]) -> Case {
    Case { file, variables, starts: starts.to_vec(), values: Vec::new(), says: Vec::new(), refusal: "" }
}

impl Case {
    fn shows(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((key, value.into()));
        self
    }

    fn says(mut self, text: &'static str) -> Self {
        self.says.push(text);
        self
    }

    fn refused(self, refusal: &'static str) -> Self {
        Self { refusal, ..self }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(fixture(self.file)).unwrap()
    }

    fn variables(&self) -> Vec<(String, String)> {
        if self.variables.is_empty() {
            return Vec::new();
        }
        let text = std::fs::read_to_string(fixture(self.variables)).unwrap();
        text.lines().map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()).collect()
    }

    fn name(&self) -> String {
        format!("{} {}", self.file, self.variables)
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/files").join(name)
}

const NOT_YET: &str = "this storage driver is not there yet";
const NO_PROXY: &str = "proxy.remoteurl: pull-through is not there yet";

fn files() -> Vec<Case> {
    let both = [REGISTRY_2, REGISTRY_3];
    vec![
        case("image-2.yml", "", &both)
            .shows("http.addr", ":5000")
            .shows("storage.filesystem.rootdirectory", "/var/lib/registry")
            .shows("storage.delete.enabled", false)
            .shows("log.fields", json!({"service": ["registry"]}))
            .shows("health.storagedriver.enabled", true),
        // Registry 2 takes `tag` for a second driver.
        case("image-3.yml", "", &[REGISTRY_3])
            .shows("storage.delete.enabled", true)
            .shows("storage.tag.concurrencylimit", 5)
            .shows("http.debug.addr", ":5001")
            .shows("http.debug.prometheus.path", "/metrics")
            .shows("log.level", "debug"),
        case("debian.yml", "", &both)
            .shows("storage.filesystem.rootdirectory", "/var/lib/docker-registry")
            .shows("auth.htpasswd.path", "/etc/docker/registry")
            .shows("auth.htpasswd.realm", "basic-realm"),
        case("harbor.yml", "", &[REGISTRY_2])
            .shows("storage.filesystem.rootdirectory", "/storage")
            .shows("storage.maintenance.uploadpurging.age", "168h")
            .shows("auth.htpasswd.path", "/etc/registry/passwd")
            .shows("validation.disabled", true)
            .says("redis: redis is not used")
            .says("compatibility: schema 1 is gone")
            .says("storage.cache.layerinfo: redis is not used"),
        case("gitlab.yml", "", &both)
            .shows("auth.token.service", "container_registry")
            .shows("auth.token.rootcertbundle", "/certs/tls.crt")
            .shows("storage.delete.enabled", true)
            .shows("http.secret", "********"),
        case("ui.yml", "", &both).shows("storage.delete.enabled", true).shows("log.formatter", "json").shows(
            "http.headers",
            json!({
                "X-Content-Type-Options": ["nosniff"],
                "Access-Control-Allow-Origin": ["http://ui.example.com"],
                "Access-Control-Allow-Methods": ["HEAD", "GET", "OPTIONS", "DELETE"],
                "Access-Control-Allow-Headers": ["Authorization", "Accept", "Cache-Control"],
                "Access-Control-Max-Age": ["1728000"],
                "Access-Control-Allow-Credentials": ["true"],
                "Access-Control-Expose-Headers": ["Docker-Content-Digest"],
            }),
        ),
        case("portus.yml", "", &both)
            .shows("log.level", "debug")
            .shows("notifications.endpoints.0.timeout", "2s")
            .shows("notifications.endpoints.0.threshold", 5)
            .shows("http.tls.key", "/certs/tls.key"),
        case("windows.yml", "", &both).shows("validation.manifests.urls.allow", json!([r"^https?://([^/]+\.)*layers\.example\.com/"])),
        case("sections.yml", "", &both)
            .shows("http.prefix", "/my/nested/registry/")
            .shows("http.draintimeout", "1m")
            .shows("http.tls.clientauth", "require-and-verify-client-cert")
            .shows("catalog.maxentries", 500)
            .shows("policy.repository.classes", json!(["image", "plugin"]))
            .shows("notifications.endpoints.0.ignore.actions", json!(["pull"]))
            .says("log.hooks"),
        case("mirror.yml", "", &[]).refused(NO_PROXY),
        case("s3.yml", "", &both).refused(NOT_YET),
        case("typos.yml", "", &both)
            .shows("storage.delete.enabled", false)
            .says("typos.yml:6:5: storage.delete.enable: unknown, so ignored; did you mean `enabled`?")
            .says("http.adr: unknown, so ignored; did you mean `addr`?")
            .says("http.header: unknown, so ignored; did you mean `headers`?")
            .says("helth: unknown, so ignored; did you mean `health`?"),
    ]
}

/// What the chart renders for some values: a file and what stands in `env`.
fn charts() -> Vec<Case> {
    let both = [REGISTRY_2, REGISTRY_3];
    vec![
        case("chart.yml", "chart-ingress.env", &both)
            .shows("storage.filesystem.rootdirectory", "/var/lib/registry")
            .shows("storage.delete.enabled", true)
            .shows("auth.htpasswd.path", "/auth/htpasswd")
            .shows("http.secret", "********"),
        case("chart-metrics.yml", "chart-tls.env", &both)
            .shows("http.tls.certificate", "/certs/tls.crt")
            .shows("http.debug.prometheus.enabled", true),
        case("chart.yml", "chart-s3.env", &both).refused(NOT_YET),
        case("chart.yml", "chart-proxy.env", &[]).refused(NO_PROXY),
    ]
}

/// What compose files set, over the default file of an image.
fn compose_files() -> Vec<Case> {
    let both = [REGISTRY_2, REGISTRY_3];
    vec![
        case("image-2.yml", "compose-htpasswd.env", &both)
            .shows("auth.htpasswd.realm", "Registry Realm")
            .shows("auth.htpasswd.path", "/auth/htpasswd"),
        case("image-2.yml", "compose-tls.env", &both)
            .shows("http.addr", "0.0.0.0:443")
            .shows("http.tls.clientcas", json!(["/certs/ca.crt"])),
        case("image-2.yml", "compose-s3.env", &both).refused(NOT_YET),
        case("image-2.yml", "compose-proxy.env", &[]).refused(NO_PROXY),
        // Registry 2 ends with a stack trace at the switch of upload purging.
        case("image-2.yml", "compose-delete.env", &[])
            .shows("storage.delete.enabled", true)
            .shows("storage.maintenance.uploadpurging.enabled", true)
            .shows("storage.maintenance.uploadpurging.age", "168h"),
        case("image-3.yml", "compose-ui.env", &[REGISTRY_3]).shows("storage.delete.enabled", true).shows(
            "http.headers",
            json!({
                "X-Content-Type-Options": ["nosniff"],
                "access-control-allow-origin": ["http://ui.example.com"],
                "access-control-allow-methods": ["HEAD", "GET", "OPTIONS", "DELETE"],
                "access-control-allow-credentials": ["true"],
                "access-control-allow-headers": ["Authorization", "Accept", "Cache-Control"],
                "access-control-expose-headers": ["Docker-Content-Digest"],
            }),
        ),
        case("image-2.yml", "compose-nginx.env", &both).shows("http.host", "https://registry.example.com").shows("http.relativeurls", true),
        case("image-2.yml", "compose-readonly.env", &both).shows("storage.maintenance.readonly.enabled", true),
        case("image-3.yml", "compose-notifications.env", &[REGISTRY_3])
            .shows("notifications.endpoints.0.url", "http://hook.example.com:8080/events")
            .shows("notifications.endpoints.0.headers", json!({"Authorization": ["********"]}))
            .shows("notifications.endpoints.0.backoff", "10s"),
        case("image-2.yml", "compose-prometheus.env", &both)
            .shows("http.debug.addr", "0.0.0.0:5001")
            .shows("http.debug.prometheus.enabled", true),
        case("image-2.yml", "compose-redis-2.env", &[REGISTRY_2])
            .shows("redis.addr", "redis:6379")
            .says("redis: redis is not used")
            .says("storage.cache.blobdescriptor: redis is not used"),
        case("image-3.yml", "compose-redis-3.env", &[REGISTRY_3])
            .shows("redis.addrs", json!(["redis:6379"]))
            .says("redis: redis is not used")
            .says("storage.cache.blobdescriptor: redis is not used"),
        case("image-2.yml", "compose-token.env", &both).shows("auth.token.issuer", "gitlab-issuer").shows("validation.disabled", true),
        case("image-2.yml", "compose-log.env", &both)
            .shows("log.level", "warn")
            .shows("log.formatter", "json")
            .shows("log.accesslog.disabled", true)
            .shows("log.fields", json!({"service": ["registry"], "environment": ["production"]})),
        case("image-2.yml", "compose-typos.env", &both)
            .shows("storage.delete.enabled", false)
            .says("REGISTRY_HTTP_SECRETS: `SECRETS` is unknown, so the variable is ignored; did you mean `SECRET`?")
            .says("REGISTRY_STORGE_FILESYSTEM_ROOTDIRECTORY: `STORGE` is unknown, so the variable is ignored; did you mean `STORAGE`?")
            .says("REGISTRY_STORAGE_DELETE_ENABLE: storage.delete.enable: unknown, so ignored; did you mean `enabled`?"),
    ]
}

fn cases() -> impl Iterator<Item = Case> {
    files().into_iter().chain(charts()).chain(compose_files())
}

/// The file and the variables of a case with its directories and ports moved to those of a test.
struct Moved {
    path: PathBuf,
    variables: Vec<(String, String)>,
    _directory: TempDir,
}

/// What stands in the files, and what stands there instead while a test runs.
const MOVES: [(&str, &str); 14] = [
    ("/var/lib/registry", "DIR/data"),
    ("/var/lib/docker-registry", "DIR/data"),
    ("/storage", "DIR/data"),
    ("/etc/registry/passwd", "DIR/htpasswd"),
    ("/etc/docker/registry", "DIR/htpasswd"),
    ("/auth/htpasswd", "DIR/htpasswd"),
    ("/certs/", "DIR/"),
    ("addr: 127.0.0.1:", "addr: :"),
    ("addr: 0.0.0.0:", "addr: :"),
    ("addr: localhost:", "addr: :"),
    ("addr: \"localhost:5001\"", "addr: 127.0.0.1:0"),
    ("addr: \":5000\"", "addr: 127.0.0.1:0"),
    ("addr: :5000", "addr: 127.0.0.1:0"),
    ("addr: :5001", "addr: 127.0.0.1:0"),
];

impl Moved {
    fn new(case: &Case) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let certificate = Certificate::authority();
        certificate.issue(path);
        std::fs::write(path.join("ca.crt"), &certificate.authority).unwrap();
        std::fs::write(path.join("htpasswd"), format!("alice:{}\n", bcrypt::hash("x", 4).unwrap())).unwrap();
        let moved = |text: &str| {
            MOVES.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new)).replace("DIR", path.to_str().unwrap())
        };
        let mut variables = case.variables();
        for (name, value) in &mut variables {
            *value = if name.ends_with("_ADDR") { "127.0.0.1:0".to_owned() } else { moved(value) };
        }
        // What is waited for is said at this level.
        variables.push(("REGISTRY_LOG_LEVEL".to_owned(), "info".to_owned()));
        std::fs::write(path.join(case.file), moved(&case.text())).unwrap();
        Self { path: path.join(case.file), variables, _directory: directory }
    }
}

/// Checks what ours makes of a case as it stands.
fn read(case: &Case) -> Result<(), String> {
    let path = fixture(case.file);
    let loaded = match breakwater::config::load(&path, case.variables()) {
        Ok(loaded) => loaded,
        Err(error) if !case.refusal.is_empty() && error.to_string().contains(case.refusal) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let notices: Vec<_> = loaded.warnings.iter().map(|notice| notice.message.clone()).collect();
    let are_right = notices.len() == case.says.len() && notices.iter().zip(&case.says).all(|(notice, part)| notice.contains(part));
    if !are_right || !case.refusal.is_empty() {
        return Err(format!("it says {notices:#?}"));
    }
    let shown = loaded.shown();
    for (key, value) in &case.values {
        let found = shown.iter().find(|one| one.key() == *key).map_or(&Value::Null, |one| one.value());
        if found != value {
            return Err(format!("{key} is {found}, not {value}"));
        }
    }
    Ok(())
}

fn failures(check: impl Fn(&Case) -> Result<(), String>) -> Vec<String> {
    cases().filter_map(|case| check(&case).err().map(|error| format!("{}: {error}", case.name()))).collect()
}

#[test]
fn each_file_means_what_it_meant_and_nothing_is_lost_in_silence() {
    let failures = failures(read);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn ours_starts_on_each_file_or_says_why_not_and_says_what_is_unknown() {
    let failures = failures(|case| {
        let moved = Moved::new(case);
        let (is_up, log) = attempt(env!("CARGO_BIN_EXE_breakwater"), &moved.path, &moved.variables);
        let says_all = case.says.iter().filter(|part| part.contains("unknown")).all(|part| log.contains(part));
        let is_right = is_up == case.refusal.is_empty() && log.contains(case.refusal) && says_all;
        if is_right { Ok(()) } else { Err(log) }
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_stock_registries_start_on_the_files_that_are_theirs() {
    for program in [REGISTRY_2, REGISTRY_3].into_iter().filter(|program| is_there(program)) {
        let failures = failures(|case| {
            if case.refusal == NO_PROXY {
                // It would ask the other registry first.
                return Ok(());
            }
            let moved = Moved::new(case);
            let (is_up, log) = attempt(program, &moved.path, &moved.variables);
            if is_up == case.starts.contains(&program) { Ok(()) } else { Err(format!("{program}: {is_up}: {log}")) }
        });
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

#[test]
fn what_is_unknown_is_an_error_of_check_config() {
    for case in cases().filter(|case| case.refusal.is_empty()) {
        let moved = Moved::new(&case);
        let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
        command.arg("check-config").arg(&moved.path).env_clear().envs(moved.variables.iter().cloned());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let unknown = case.says.iter().filter(|part| part.contains("unknown")).count();
        assert_eq!(
            text.matches(": unknown, so ").count() + text.matches("is unknown, so the variable").count(),
            unknown,
            "{}: {text}",
            case.name()
        );
        assert_eq!(output.status.code(), Some(i32::from(unknown > 0)), "{}: {text}", case.name());
    }
}
