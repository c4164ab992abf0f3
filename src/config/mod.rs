//! The configuration: a file, the environment over it, checked and turned into the options of each layer.
//!
//! Owns every name a user may write (`schema`), reading with places (`tree`), the `REGISTRY_…` variables (`environment`), typing
//! (`check`) and the rules between keys (`assemble`). Opens nothing but the file and the files of secrets, and starts nothing.
//! Invariant: what was asked for and cannot be done is either said or stops the start; it is never dropped in silence.

mod assemble;
mod check;
mod credentials;
mod defaults;
mod environment;
mod examine;
mod excerpt;
mod problem;
mod scalar;
mod schema;
mod show;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use check::Settings;
pub use examine::{Examined, Finding, examine};
use excerpt::Excerpts;
use ipnet::IpNet;
use problem::Report;
pub use problem::{Error, Notice, Severity};
pub use show::Shown;

use crate::telemetry::Traces;

const DEFAULT_PATHS: [&str; 2] = ["/etc/distribution/config.yml", "/etc/docker/registry/config.yml"];

/// Everything that was configured, or its default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where connections come in.
    pub listen: Listen,
    /// How long a stopping server waits for its requests; zero: not at all.
    pub drain_timeout: Duration,
    /// Where keys, locks and other state of ours is kept.
    pub state: PathBuf,
    /// `storage`, as far as bytes are concerned.
    pub storage: crate::storage::Options,
    /// `storage`, as far as rules are concerned.
    pub registry: crate::registry::Options,
    /// `http`, as far as requests are concerned.
    pub http: crate::http::Options,
    /// `http.tls`; `None`: plain HTTP.
    pub tls: Option<crate::tls::Options>,
    /// `auth` and `tokenservice`.
    pub auth: crate::auth::Options,
    /// `log`.
    pub telemetry: crate::telemetry::Options,
    /// `limits`, as far as connections are concerned.
    pub connections: ConnectionLimits,
    /// `http.debug`; `None`: there is no such listener.
    pub debug: Option<DebugListener>,
    /// `health`.
    pub health: Vec<HealthCheck>,
    /// `notifications`.
    pub notifications: crate::notify::Options,
}

/// `http.debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugListener {
    /// `host:port` or `:port`.
    pub address: String,
    /// Where it serves metrics; `None`: nowhere.
    pub metrics_path: Option<String>,
}

/// One check of `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// As reports name it.
    pub name: String,
    /// What is looked at.
    pub subject: HealthSubject,
    /// The time between two looks.
    pub interval: Duration,
    /// How long a peer may take.
    pub timeout: Duration,
    /// How many failures in a row count as one.
    pub threshold: u32,
}

/// What a health check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthSubject {
    /// `health.storagedriver`: whether the store can be read.
    Storage,
    /// `health.file`: fails while the file is there.
    File(PathBuf),
    /// `health.http`: a HEAD request.
    Http {
        /// Where to.
        uri: String,
        /// Headers to send, each name with its values.
        headers: Vec<(String, Vec<String>)>,
        /// The status that is good.
        status: u16,
    },
    /// `health.tcp`: whether a connection can be made to `host:port`.
    Tcp(String),
}

/// `limits.connections`, `limits.timeouts` and `limits.exempt`.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// How many connections there may be.
    pub total: usize,
    /// How many of them from one address.
    pub per_address: usize,
    /// Addresses that are not counted one by one.
    pub exempt: Vec<IpNet>,
    /// How long a client may take.
    pub timeouts: Timeouts,
}

/// `limits.timeouts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without a byte, in a body or of an answer.
    pub stall: Duration,
}

/// `http.net` and `http.addr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `host:port` or `:port`.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A configuration that can be used, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// For the log; nothing has been written yet.
    pub warnings: Vec<Notice>,
    /// Where it was read from.
    pub source: Source,
    /// What was written, so that two readings can be told apart.
    pub(crate) settings: Settings,
}

/// Where a configuration comes from, so that it can be read again.
#[derive(Clone)]
pub struct Source {
    path: PathBuf,
    environment: BTreeMap<String, String>,
    /// The file of the rules, where they have their own.
    rules: Option<PathBuf>,
}

impl Source {
    /// The files: when one of them changes, the configuration may be another.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.rules.as_deref())
    }

    /// Reads the configuration again, with the environment of the first time.
    pub fn load(&self) -> Result<Loaded, Error> {
        load(&self.path, self.environment.clone())
    }
}

/// Without the environment, which holds secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Reads a file, lays the environment over it and checks the whole.
///
/// # Errors
/// The file cannot be read, or says what cannot be done: every such place is named, not only the first.
pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Error> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: name.clone(), source })?;
    read(&name, &text, environment.into_iter().collect())
}

/// Checks the text of a file with the environment over it.
fn read(name: &str, text: &str, environment: BTreeMap<String, String>) -> Result<Loaded, Error> {
    examined(name, text, environment).into_loaded()
}

/// Looks at the text of a file with the environment over it.
fn examined(name: &str, text: &str, environment: BTreeMap<String, String>) -> Examined {
    let (mut report, mut excerpts) = (Report::default(), Excerpts::default());
    excerpts.add(name, text);
    let mut source = Source { path: name.into(), environment, rules: None };
    let Some(mut root) = tree::read_file(name, text, &mut report) else {
        return Examined::new(None, report, source, Settings::default(), excerpts);
    };
    environment::overlay(&mut root, &source.environment, &mut report);
    let credentials = source.environment.get(credentials::DIRECTORY).map(String::as_str);
    let mut settings = check::check(&root, credentials, &mut report);
    source.rules = include_rules(&mut settings, credentials, &mut excerpts, &mut report);
    let mut config = assemble::assemble(name, &settings, &mut report);
    config.telemetry.traces = traces(&source.environment);
    Examined::new(Some(config), report, source, settings, excerpts)
}

/// Requests are traced when a collector is named, by the variables of OpenTelemetry.
fn traces(environment: &BTreeMap<String, String>) -> Traces {
    let value = |name: &str| environment.get(name).map_or("", String::as_str);
    let is_named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].iter().any(|name| !value(name).is_empty());
    let is_off = value("OTEL_TRACES_EXPORTER") == "none" || value("OTEL_SDK_DISABLED").eq_ignore_ascii_case("true");
    if is_named && !is_off { Traces::Otlp } else { Traces::Off }
}

/// Reads the rules from the file that they have been put into, if they have; where that is.
fn include_rules(settings: &mut Settings, credentials: Option<&str>, excerpts: &mut Excerpts, report: &mut Report) -> Option<PathBuf> {
    let (path, origin) = (settings.text("access.file")?.to_owned(), settings.origin("access.file").cloned());
    if ["access.rules", "access.groups"].iter().any(|key| settings.origin(key).is_some()) {
        report.problem(origin.as_ref(), "access.file", "cannot stand beside rules or groups; keep one of the two");
        return None;
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            excerpts.add(&path, &text);
            if let Some(root) = tree::read_file(&path, &text, report) {
                check::include(settings, "access", &root, schema::ACCESS, credentials, report);
            }
        }
        Err(error) => report.problem(origin.as_ref(), "access.file", format_args!("cannot read {path}: {error}")),
    }
    Some(path.into())
}

/// The file to read: the argument, else what `REGISTRY_CONFIGURATION_PATH` names, else the first that lies at a usual place.
///
/// # Errors
/// There is none.
pub fn default_path(argument: Option<PathBuf>, environment: impl IntoIterator<Item = (String, String)>) -> Result<PathBuf, Error> {
    let named = || {
        let mut variables = environment.into_iter();
        variables.find(|(name, value)| name == "REGISTRY_CONFIGURATION_PATH" && !value.is_empty()).map(|(_, value)| PathBuf::from(value))
    };
    // A file that is there but cannot be looked at is chosen, so that reading it says why.
    let usual = || DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.try_exists().unwrap_or(true));
    argument.or_else(named).or_else(usual).ok_or(Error::NoPath)
}
