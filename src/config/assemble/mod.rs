//! The rules between keys, and their defaults: from typed settings to the options of each layer.

mod access;
mod auth;
mod client_certificates;
mod http;
mod letsencrypt;
mod limits;
mod middleware;
mod notifications;
mod observing;
mod oidc;
mod storage;
mod suites;
mod validation;

use std::collections::BTreeMap;

use super::Config;
use super::check::Settings;
use super::problem::{Origin, Report, Severity};
use crate::telemetry::{self, AccessLogForm};

/// Turns settings into a configuration; where a problem is noted, a default stands in, and the configuration must not be used.
pub(super) fn assemble(file: &str, settings: &Settings, report: &mut Report) -> Config {
    let mut rules = Rules { file, settings, report };
    rules.version();
    let storage = rules.storage();
    let state = rules.settings.text("state").map_or_else(|| storage.root_directory.join("breakwater"), Into::into);
    let listen = rules.listen();
    Config {
        drain_timeout: rules.settings.duration("http.draintimeout").unwrap_or_default(),
        registry: rules.registry(),
        http: rules.http(),
        tls: rules.tls(&listen, &state),
        auth: rules.auth(&state),
        telemetry: rules.telemetry(),
        connections: rules.connections(),
        debug: rules.debug(),
        health: rules.health(),
        notifications: rules.notifications(&listen, &state),
        listen,
        storage,
        state,
    }
}

struct Rules<'a> {
    file: &'a str,
    settings: &'a Settings,
    report: &'a mut Report,
}

impl Rules<'_> {
    /// Notes a problem with a key at the place where it, or else a key above it, was written.
    fn problem(&mut self, key: &str, text: impl std::fmt::Display) {
        let origin = self.settings.origin(key).or_else(|| self.settings.origin(key.rsplit_once('.')?.0));
        match origin {
            Some(origin) => self.report.problem(Some(origin), key, text),
            None => self.report.problem(Some(&Origin::Whole(self.file.into())), key, text),
        }
    }

    fn notice(&mut self, severity: Severity, key: &str, text: impl std::fmt::Display) {
        self.report.notice(severity, self.settings.origin(key), key, text);
    }

    fn version(&mut self) {
        match self.settings.text("version") {
            Some("0.1") => {}
            Some(other) => self.problem("version", format_args!("`{other}` is not a version of this format; write `version: 0.1`")),
            None => self.problem("version", "missing; write `version: 0.1`"),
        }
    }

    fn telemetry(&mut self) -> telemetry::Options {
        let fields =
            self.settings.table("log.fields").iter().map(|(name, values)| (name.clone(), values.join(","))).collect::<BTreeMap<_, _>>();
        telemetry::Options {
            level: self.level(),
            formatter: self.formatter(),
            fields,
            access_log: self.access_log(),
            audit: match self.settings.text("log.audit.output") {
                None | Some("stderr") => telemetry::AuditOutput::Stderr,
                Some("stdout") => telemetry::AuditOutput::Stdout,
                Some(path) => telemetry::AuditOutput::File(path.into()),
            },
            // Of the environment, not of the file.
            traces: telemetry::Traces::Off,
        }
    }

    fn access_log(&mut self) -> Option<AccessLogForm> {
        let form = match self.settings.text("log.accesslog.formatter") {
            None | Some("combined") => AccessLogForm::Combined,
            Some("json") => AccessLogForm::Json,
            Some(other) => {
                self.problem("log.accesslog.formatter", format_args!("`{other}` is not a form of the access log; write combined or json"));
                AccessLogForm::Combined
            }
        };
        (self.settings.truth("log.accesslog.disabled") != Some(true)).then_some(form)
    }

    fn level(&mut self) -> tracing::Level {
        let key = if self.settings.text("log.level").is_some() { "log.level" } else { "loglevel" };
        match self.settings.text(key) {
            None | Some("info") => tracing::Level::INFO,
            Some("error") => tracing::Level::ERROR,
            Some("warn") => tracing::Level::WARN,
            Some("debug") => tracing::Level::DEBUG,
            Some(other) => {
                self.problem(key, format_args!("`{other}` is not a level; write error, warn, info or debug"));
                tracing::Level::INFO
            }
        }
    }

    fn formatter(&mut self) -> telemetry::Formatter {
        match self.settings.text("log.formatter") {
            None | Some("text") => telemetry::Formatter::Text,
            Some("json") => telemetry::Formatter::Json,
            Some("logstash") => {
                self.notice(
                    Severity::Warning,
                    "log.formatter",
                    "there is no form of its own for logstash: entries are written as `json`, which its json codec reads; write json",
                );
                telemetry::Formatter::Json
            }
            Some(other) => {
                self.problem("log.formatter", format_args!("`{other}` is not a formatter; write text or json"));
                telemetry::Formatter::Text
            }
        }
    }
}
