//! What variables do to the default file of registry 3's image: one table (`table.rs`), with registry 3 itself and with ours.
//!
//! Each row is set for a start of registry 3, and for `config show` of the built program. Where the two differ the row says why; a
//! row that says so without need fails too.

mod table;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Certificate;
use crate::trial::{REGISTRY_3, attempt, is_there};

/// Variables, without the prefix that all have, and what becomes of them.
struct Row {
    set: Vec<(&'static str, &'static str)>,
    theirs: Theirs,
    ours: Ours,
    /// What ours notices, each by a part of it.
    says: Vec<&'static str>,
    /// Why the two differ.
    because: &'static str,
}

/// What registry 3 does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Theirs {
    /// It starts.
    Starts,
    /// It starts, and the value is lost in silence.
    Drops,
    /// It starts, and says that it passes a variable over.
    Ignores,
    /// It leaves to chance whether it starts, so there is nothing to check.
    Leaves,
    /// It ends with a message, of which this is a part.
    Refuses(&'static str),
    /// It ends with a stack trace, in which this stands.
    Panics(&'static str),
}

/// What ours does.
enum Ours {
    /// It starts with these values.
    Shows(Vec<(&'static str, Value)>),
    /// It ends with a message, of which this is a part.
    Refuses(&'static str),
}

/// The default file of registry 3's image, on ports and in a directory of the test.
const IMAGE_3: &str = "version: 0.1
log:
  level: debug
  fields: {service: registry, environment: development}
storage:
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: DIR/data}
  tag: {concurrencylimit: 5}
http:
  addr: 127.0.0.1:0
  debug:
    addr: 127.0.0.1:0
    prometheus: {enabled: true, path: /metrics}
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
";

fn row(set: &[(&'static str, &'static str)]) -> Row {
    Row { set: set.to_vec(), theirs: Theirs::Starts, ours: Ours::Shows(Vec::new()), says: Vec::new(), because: "" }
}

impl Row {
    fn theirs(self, theirs: Theirs) -> Self {
        Self { theirs, ..self }
    }

    fn shows(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        if let Ours::Shows(values) = &mut self.ours {
            values.push((key, value.into()));
        }
        self
    }

    fn refuses(self, text: &'static str) -> Self {
        Self { ours: Ours::Refuses(text), ..self }
    }

    fn says(mut self, text: &'static str) -> Self {
        self.says.push(text);
        self
    }

    fn because(self, because: &'static str) -> Self {
        Self { because, ..self }
    }

    fn variables(&self, directory: &Path) -> Vec<(String, String)> {
        let value = |text: &str| text.replace("DIR", directory.to_str().unwrap());
        self.set.iter().map(|(name, text)| (format!("REGISTRY_{name}"), value(text))).collect()
    }

    fn differs(&self) -> bool {
        let is_passed_over = self.says.iter().any(|text| text.contains("ignored"));
        match (&self.theirs, &self.ours) {
            (Theirs::Starts, Ours::Shows(_)) => is_passed_over,
            (Theirs::Ignores, Ours::Shows(_)) => !is_passed_over,
            (Theirs::Refuses(_) | Theirs::Panics(_), Ours::Refuses(_)) => false,
            _ => true,
        }
    }
}

/// A directory with the file, and with the files that variables name.
fn place() -> TempDir {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let certificate = Certificate::authority();
    certificate.issue(path);
    std::fs::write(path.join("ca.crt"), &certificate.authority).unwrap();
    std::fs::write(path.join("htpasswd"), format!("alice:{}\n", bcrypt::hash("x", 4).unwrap())).unwrap();
    std::fs::write(path.join("secret"), "*not: yaml\n").unwrap();
    std::fs::write(path.join("config.yml"), IMAGE_3.replace("DIR", path.to_str().unwrap())).unwrap();
    directory
}

/// What registry 3 does with a row, with what it wrote when that is not what was expected.
fn of_registry_3(row: &Row) -> Result<(), String> {
    let directory = place();
    let (is_up, text) = attempt(REGISTRY_3, &directory.path().join("config.yml"), &row.variables(directory.path()));
    let is_right = match row.theirs {
        Theirs::Starts | Theirs::Drops => is_up && !text.contains("Ignoring"),
        Theirs::Ignores => is_up && text.contains("Ignoring"),
        Theirs::Leaves => true,
        Theirs::Refuses(part) => !is_up && !text.contains("panic") && text.contains(part),
        Theirs::Panics(part) => !is_up && text.contains("panic") && text.contains(part),
    };
    if is_right { Ok(()) } else { Err(format!("registry 3 is said to do {:?}:\n{text}", row.theirs)) }
}

/// What ours does with a row: its values by the built program, and its notices.
fn of_ours(row: &Row) -> Result<(), String> {
    let directory = place();
    let (path, variables) = (directory.path().join("config.yml"), row.variables(directory.path()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
    command.args(["config", "show", "--json", "--config"]).arg(&path).env_clear().envs(variables.iter().cloned());
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let values = match &row.ours {
        Ours::Refuses(part) if output.status.code() == Some(1) && errors.contains(part) => return Ok(()),
        Ours::Shows(values) if output.status.success() => values,
        Ours::Refuses(part) => return Err(format!("ours is to refuse it: {part}\n{errors}")),
        Ours::Shows(_) => return Err(format!("ours refuses it: {errors}")),
    };
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value) in values {
        let expected = value.to_string().replace("DIR", directory.path().to_str().unwrap());
        let found = shown.as_array().unwrap().iter().find(|one| one["key"] == *key).map_or(&Value::Null, |one| &one["value"]).to_string();
        if found != expected {
            return Err(format!("{key} is {found}, not {expected}"));
        }
    }
    let loaded = breakwater::config::load(&path, variables).map_err(|error| error.to_string())?;
    let notices: Vec<_> = loaded.warnings.iter().map(|notice| notice.message.clone()).collect();
    let are_right = notices.len() == row.says.len() && notices.iter().zip(&row.says).all(|(notice, part)| notice.contains(part));
    if are_right { Ok(()) } else { Err(format!("ours says {notices:#?}, not {:#?}", row.says)) }
}

/// Does something with each row, on several threads; what went wrong, with the variables of the row.
fn failures(rows: &[Row], work: fn(&Row) -> Result<(), String>) -> Vec<String> {
    let run = |rows: &[Row]| -> Vec<String> {
        rows.iter().filter_map(|row| work(row).err().map(|error| format!("{:?}: {error}", row.set))).collect()
    };
    let share = rows.len().div_ceil(4);
    std::thread::scope(|scope| {
        let threads: Vec<_> = rows.chunks(share).map(|rows| scope.spawn(move || run(rows))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn each_variable_does_with_ours_what_the_table_says() {
    let failures = failures(&table::rows(), of_ours);
    assert!(failures.is_empty(), "{} rows:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn each_variable_does_with_registry_3_what_the_table_says() {
    if is_there(REGISTRY_3) {
        let failures = failures(&table::rows(), of_registry_3);
        assert!(failures.is_empty(), "{} rows:\n{}", failures.len(), failures.join("\n"));
    }
}

/// What compose files and charts set most; `_` at the end stands for any name below.
const USUAL: &str = "\
    HTTP_ADDR HTTP_HOST HTTP_SECRET HTTP_PREFIX HTTP_RELATIVEURLS HTTP_NET HTTP_TLS_CERTIFICATE HTTP_TLS_KEY \
    HTTP_TLS_CLIENTCAS HTTP_HEADERS_ HTTP_DEBUG_ADDR HTTP_DEBUG_PROMETHEUS_ENABLED HTTP_DRAINTIMEOUT LOG_LEVEL \
    LOG_FORMATTER LOG_ACCESSLOG_DISABLED AUTH AUTH_HTPASSWD_REALM AUTH_HTPASSWD_PATH AUTH_TOKEN_REALM AUTH_TOKEN_SERVICE \
    AUTH_TOKEN_ISSUER AUTH_TOKEN_ROOTCERTBUNDLE AUTH_TOKEN_AUTOREDIRECT STORAGE STORAGE_FILESYSTEM_ROOTDIRECTORY \
    STORAGE_DELETE_ENABLED STORAGE_REDIRECT_DISABLE STORAGE_CACHE_BLOBDESCRIPTOR STORAGE_MAINTENANCE_ STORAGE_S3_ \
    STORAGE_AZURE_ STORAGE_GCS_ PROXY_REMOTEURL PROXY_USERNAME PROXY_PASSWORD PROXY_TTL REDIS_ADDR REDIS_ADDRS \
    REDIS_PASSWORD REDIS_DB NOTIFICATIONS_ENDPOINTS HEALTH_STORAGEDRIVER_ENABLED CATALOG_MAXENTRIES VALIDATION_DISABLED \
    COMPATIBILITY_SCHEMA1_ENABLED";

#[test]
fn each_variable_that_is_usual_has_its_row() {
    let rows = table::rows();
    let set: Vec<_> = rows.iter().flat_map(|row| &row.set).map(|(name, _)| *name).collect();
    let is_there = |name: &str| set.iter().any(|set| *set == name || (name.ends_with('_') && set.starts_with(name)));
    for name in USUAL.split_whitespace() {
        assert!(is_there(name), "{name}");
    }
}

#[test]
fn each_difference_has_its_reason_and_nothing_else_has() {
    for row in table::rows() {
        assert_eq!(row.differs(), !row.because.is_empty(), "{:?}", row.set);
    }
}
