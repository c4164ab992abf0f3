//! The rules of `metrics`, `health` and `http.debug`.

use std::time::Duration;

use url::Url;

use super::Rules;
use crate::config::{DebugListener, HealthCheck, HealthSubject};
use crate::http::MetricsOptions;

const METRICS: &str = "/metrics";
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a peer may take where nothing is written: registry:2 would wait without end.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Rules<'_> {
    pub(super) fn metrics(&mut self) -> Option<MetricsOptions> {
        let from = self.networks("metrics.from").unwrap_or_default();
        let users = self.settings.texts("metrics.users").unwrap_or_default().to_vec();
        let path = self.path("metrics.path");
        if !users.is_empty() && self.settings.origin("auth").is_none() {
            self.problem("metrics.users", "nobody can log in without `auth`; name networks under metrics.from instead");
        }
        let is_wanted = self.settings.truth("metrics.enabled") != Some(false);
        (is_wanted && !(from.is_empty() && users.is_empty())).then_some(MetricsOptions { path, from, users })
    }

    pub(super) fn debug(&mut self) -> Option<DebugListener> {
        let metrics = "http.debug.prometheus";
        let path = self.path(&format!("{metrics}.path"));
        let serves_metrics = self.settings.truth(&format!("{metrics}.enabled")) == Some(true);
        let address = self.settings.text("http.debug.addr").map(str::to_owned);
        match &address {
            None if serves_metrics => {
                self.problem("http.debug.addr", "missing, so http.debug.prometheus is served nowhere; name an address")
            }
            Some(address) if !super::http::has_port(address) => {
                self.problem("http.debug.addr", format_args!("`{address}` is not host:port or :port; write one such as localhost:5001"));
            }
            _ => {}
        }
        Some(DebugListener { address: address?, metrics_path: serves_metrics.then_some(path) })
    }

    /// A path that metrics are served at.
    fn path(&mut self, key: &str) -> String {
        let path = self.settings.text(key).unwrap_or(METRICS).to_owned();
        let is_taken = path.starts_with("/v2/") || ["/", "/v2", "/healthz", "/readyz", "/debug/health"].contains(&path.as_str());
        if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '{' | '}')) || is_taken {
            self.problem(key, format_args!("`{path}` is no free path; write one such as {METRICS}"));
            return METRICS.to_owned();
        }
        path
    }

    pub(super) fn health(&mut self) -> Vec<HealthCheck> {
        let mut checks = Vec::new();
        if self.settings.truth("health.storagedriver.enabled") == Some(true) {
            checks.push(self.check("health.storagedriver", "storagedriver_filesystem".to_owned(), HealthSubject::Storage));
        }
        for (place, path) in self.items("health.file", "file") {
            checks.push(self.check(&place, path.clone(), HealthSubject::File(path.into())));
        }
        for (place, uri) in self.items("health.http", "uri") {
            if !uri.starts_with("http://") && !uri.starts_with("https://") {
                self.problem(&format!("{place}.uri"), format_args!("`{uri}` is no http or https address"));
            }
            let status = self.settings.integer(&format!("{place}.statuscode")).and_then(|status| u16::try_from(status).ok());
            let headers = self.settings.table(&format!("{place}.headers")).to_vec();
            let check = HealthSubject::Http { uri: uri.clone(), headers, status: status.filter(|status| *status > 0).unwrap_or(200) };
            checks.push(self.check(&place, shown(&uri), check));
        }
        for (place, address) in self.items("health.tcp", "addr") {
            if !super::http::has_port(&address) {
                self.problem(&format!("{place}.addr"), format_args!("`{address}` is not host:port"));
            }
            checks.push(self.check(&place, address.clone(), HealthSubject::Tcp(address)));
        }
        checks
    }

    /// The items of a list, each with its place and what it is about.
    fn items(&mut self, list: &str, subject: &str) -> Vec<(String, String)> {
        let mut items = Vec::new();
        for index in 0..self.settings.count(list) {
            let place = format!("{list}.{index}");
            match self.settings.text(&format!("{place}.{subject}")).map(str::to_owned) {
                Some(text) => items.push((place, text)),
                None => self.problem(&format!("{place}.{subject}"), "missing; without it there is nothing to look at"),
            }
        }
        items
    }

    fn check(&self, place: &str, name: String, subject: HealthSubject) -> HealthCheck {
        let time = |key: &str, usual| self.settings.duration(&format!("{place}.{key}")).filter(|time| !time.is_zero()).unwrap_or(usual);
        let usual_threshold = if subject == HealthSubject::Storage { 3 } else { 1 };
        let threshold = self.settings.integer(&format!("{place}.threshold")).and_then(|count| u32::try_from(count).ok());
        HealthCheck {
            name,
            subject,
            interval: time("interval", INTERVAL),
            timeout: time("timeout", TIMEOUT),
            threshold: threshold.filter(|count| *count > 0).unwrap_or(usual_threshold),
        }
    }
}

/// An address as logs and reports show it: without what may be a secret in it.
fn shown(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        return uri.to_owned();
    }
    // It has a host, or it would not have been taken for an address of http.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.into()
}
