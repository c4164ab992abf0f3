//! What is in force where nothing is written, by the dotted path of the name: read from the assembled configuration, so that it is
//! what the code has and nothing else.

use std::time::Duration;

use ipnet::IpNet;

use super::check::{Settings, Typed};
use super::{Config, Listen};
use crate::auth::Options as AuthOptions;
use crate::http::RateLimit;
use crate::notify::{Delivery, References};
use crate::registry::{Children, Deletion, LayerUrls, Mode, PurgeEffect, Reserve};
use crate::telemetry::{AccessLogForm, AuditOutput, Formatter};
use crate::tls::{ClientAuth, MinimumVersion};

/// What counts, each with its name. What is off or depends on the request has no entry.
pub(super) fn of(config: &Config, settings: &Settings) -> Vec<(String, Typed)> {
    let mut found = Defaults(Vec::new());
    found.log(config);
    found.storage(config);
    found.http(config);
    found.tls(config);
    found.tokens(config, settings);
    found.limits(config);
    found.observing(config, settings);
    found.notifications(config, settings);
    found.validation(config);
    found.0
}

struct Defaults(Vec<(String, Typed)>);

impl Defaults {
    fn add(&mut self, path: impl Into<String>, value: Typed) {
        self.0.push((path.into(), value));
    }

    fn text(&mut self, path: impl Into<String>, text: impl ToString) {
        self.add(path, Typed::Text(text.to_string()));
    }

    fn truth(&mut self, path: impl Into<String>, value: bool) {
        self.add(path, Typed::Bool(value));
    }

    fn number(&mut self, path: impl Into<String>, number: impl TryInto<i64>) {
        self.add(path, Typed::Integer(number.try_into().unwrap_or(i64::MAX)));
    }

    fn time(&mut self, path: impl Into<String>, time: Duration) {
        self.add(path, Typed::Duration(time));
    }

    fn log(&mut self, config: &Config) {
        let log = &config.telemetry;
        self.text("log.level", log.level.to_string().to_lowercase());
        self.text("log.formatter", if log.formatter == Formatter::Json { "json" } else { "text" });
        self.truth("log.accesslog.disabled", log.access_log.is_none());
        if let Some(form) = log.access_log {
            self.text("log.accesslog.formatter", if form == AccessLogForm::Json { "json" } else { "combined" });
        }
        match &log.audit {
            AuditOutput::Stderr => self.text("log.audit.output", "stderr"),
            AuditOutput::Stdout => self.text("log.audit.output", "stdout"),
            AuditOutput::File(path) => self.text("log.audit.output", path.display()),
        }
    }

    fn storage(&mut self, config: &Config) {
        const PURGING: &str = "storage.maintenance.uploadpurging";
        self.text("storage.filesystem.rootdirectory", config.storage.root_directory.display());
        self.truth("storage.delete.enabled", config.registry.delete == Deletion::Enabled);
        self.truth("storage.maintenance.readonly.enabled", config.registry.mode == Mode::ReadOnly);
        self.truth(format!("{PURGING}.enabled"), config.registry.upload_purging.is_some());
        if let Some(purging) = &config.registry.upload_purging {
            self.time(format!("{PURGING}.age"), purging.age);
            self.time(format!("{PURGING}.interval"), purging.interval);
            self.truth(format!("{PURGING}.dryrun"), purging.effect == PurgeEffect::DryRun);
        }
        self.text("state", config.state.display());
    }

    fn http(&mut self, config: &Config) {
        match &config.listen {
            Listen::Tcp(address) => {
                self.text("http.net", "tcp");
                self.text("http.addr", address);
            }
            Listen::Unix(path) => {
                self.text("http.net", "unix");
                self.text("http.addr", path.display());
            }
        }
        self.text("http.prefix", &config.http.prefix);
        self.truth("http.relativeurls", config.http.relative_urls);
        self.time("http.draintimeout", config.drain_timeout);
        if let Some(path) = config.debug.as_ref().and_then(|debug| debug.metrics_path.as_ref()) {
            self.text("http.debug.prometheus.path", path);
        }
        self.number("catalog.maxentries", config.http.catalog_max_entries);
        self.number("tags.maxtags", config.http.tags_max);
    }

    fn tls(&mut self, config: &Config) {
        let Some(tls) = &config.tls else { return };
        self.text("http.tls.minimumtls", if tls.minimum == MinimumVersion::Tls13 { "tls1.3" } else { "tls1.2" });
        if let Some(client) = &tls.client {
            let level = match client.level {
                ClientAuth::Request => "request-client-cert",
                ClientAuth::RequireAny => "require-any-client-cert",
                ClientAuth::VerifyIfGiven => "verify-client-cert-if-given",
                ClientAuth::RequireAndVerify => "require-and-verify-client-cert",
            };
            self.text("http.tls.clientauth", level);
        }
        if let Some(acme) = &tls.acme {
            self.text("http.tls.letsencrypt.cachefile", acme.state.display());
            self.text("http.tls.letsencrypt.directoryurl", &acme.directory);
        }
    }

    /// To write a name of a section that is not there would switch on what it is about.
    fn tokens(&mut self, config: &Config, settings: &Settings) {
        match &config.auth {
            AuthOptions::Htpasswd(options) => {
                let written = settings.origin("tokenservice").is_some();
                if let Some(service) = options.token_service.as_ref().filter(|_| written) {
                    self.text("tokenservice.signingkey", service.signing_key.display());
                    self.text("tokenservice.service", &service.service);
                    self.text("tokenservice.issuer", &service.issuer);
                    self.time("tokenservice.expiration", service.expiration);
                }
                self.rate("logins", RateLimit { period: options.logins.period, burst: options.logins.burst });
            }
            AuthOptions::Token(options) => self.texts("auth.token.autoredirectpath", options.auto_redirect.iter()),
            AuthOptions::Open => {}
        }
    }

    fn texts<'a>(&mut self, path: &str, one: impl Iterator<Item = &'a String>) {
        one.for_each(|text| self.text(path, text));
    }

    fn limits(&mut self, config: &Config) {
        self.rate("reads", config.http.rates.reads);
        self.rate("writes", config.http.rates.writes);
        self.add("limits.exempt", Typed::Texts(config.connections.exempt.iter().map(IpNet::to_string).collect()));
        self.number("limits.connections.total", config.connections.total);
        self.number("limits.connections.peraddress", config.connections.per_address);
        let timeouts = config.connections.timeouts;
        for (name, time) in
            [("handshake", timeouts.handshake), ("header", timeouts.header), ("idle", timeouts.idle), ("stall", timeouts.stall)]
        {
            self.time(format!("limits.timeouts.{name}"), time);
        }
        self.text("limits.minrate", if config.http.pace.min_rate == 0 { "0".into() } else { size(config.http.pace.min_rate) + "/s" });
        self.text("limits.manifestsize", size(config.http.manifest_limit as u64));
        self.text("limits.blobsize", size(config.registry.largest_blob.unwrap_or_default()));
        match config.registry.reserve {
            Reserve::Percent(percent) => self.text("limits.reserve", format_args!("{percent}%")),
            Reserve::Bytes(bytes) => self.text("limits.reserve", size(bytes)),
        }
    }

    fn rate(&mut self, name: &str, limit: RateLimit) {
        if let Some(rate) = rate(limit.period) {
            self.text(format!("limits.{name}.rate"), rate);
        }
        self.number(format!("limits.{name}.burst"), limit.burst.get());
    }

    fn observing(&mut self, config: &Config, settings: &Settings) {
        if let Some(metrics) = &config.http.metrics {
            self.truth("metrics.enabled", true);
            self.text("metrics.path", &metrics.path);
        }
        // In the order in which they were read.
        let mut places = Vec::new();
        if settings.truth("health.storagedriver.enabled") == Some(true) {
            places.push("health.storagedriver".to_owned());
        }
        for list in ["health.file", "health.http", "health.tcp"] {
            places.extend((0..settings.count(list)).map(|index| format!("{list}.{index}")));
        }
        for (place, check) in places.into_iter().zip(&config.health) {
            self.time(format!("{place}.interval"), check.interval);
            self.number(format!("{place}.threshold"), check.threshold);
            if let crate::config::HealthSubject::Http { status, .. } = &check.subject {
                self.number(format!("{place}.statuscode"), *status);
            }
            if place.starts_with("health.http.") || place.starts_with("health.tcp.") {
                self.time(format!("{place}.timeout"), check.timeout);
            }
        }
    }
}

impl Defaults {
    fn notifications(&mut self, config: &Config, settings: &Settings) {
        const LIST: &str = "notifications.endpoints";
        if settings.count(LIST) == 0 {
            return;
        }
        self.truth("notifications.events.includereferences", config.notifications.references == References::Included);
        for (index, endpoint) in config.notifications.endpoints.iter().enumerate() {
            self.truth(format!("{LIST}.{index}.disabled"), endpoint.delivery == Delivery::Off);
            self.time(format!("{LIST}.{index}.timeout"), endpoint.timeout);
            self.number(format!("{LIST}.{index}.threshold"), endpoint.threshold);
            self.time(format!("{LIST}.{index}.backoff"), endpoint.backoff);
        }
    }
}

impl Defaults {
    fn validation(&mut self, config: &Config) {
        let validation = &config.registry.validation;
        self.truth("validation.disabled", matches!(validation.urls, LayerUrls::Any));
        let platforms = match validation.children {
            Children::All => "all",
            Children::None => "none",
            Children::Of(_) => "list",
        };
        self.text("validation.manifests.indexes.platforms", platforms);
    }
}

/// A size in the largest unit that it is whole in.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// A rate as it is written; `None`: it is none that could be.
fn rate(period: Duration) -> Option<String> {
    [(1, "s"), (60, "m"), (3600, "h")].into_iter().find_map(|(seconds, unit)| {
        let whole = Duration::from_secs(seconds);
        let number = u32::try_from(whole.as_nanos().checked_div(period.as_nanos())?).ok().filter(|number| *number > 0)?;
        (whole / number == period).then(|| format!("{number}/{unit}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::scalar;
    use super::*;

    #[test]
    fn rates_and_sizes_are_written_as_they_are_read() {
        for text in ["2000/s", "200/s", "10/m", "7/h"] {
            assert_eq!(rate(scalar::rate(text).unwrap()).as_deref(), Some(text));
        }
        for text in ["0", "17", "1KiB", "4MiB", "10GiB", "1025"] {
            assert_eq!(size(scalar::size(text).unwrap()), text);
        }
    }
}
