//! The rules of `notifications`.

use std::path::Path;
use std::time::Duration;

use url::Url;

use super::Rules;
use crate::config::{Listen, Severity};
use crate::notify::{Action, Delivery, EndpointOptions, Options, References, Secret};

/// What registry:2 takes where nothing is written.
const TIMEOUT: Duration = Duration::from_secs(1);
const THRESHOLD: u32 = 10;
const BACKOFF: Duration = Duration::from_secs(1);

impl Rules<'_> {
    pub(super) fn notifications(&mut self, listen: &Listen, state: &Path) -> Options {
        let included = self.settings.truth("notifications.events.includereferences") == Some(true);
        let port = match listen {
            Listen::Tcp(address) => super::http::port_of(address),
            Listen::Unix(_) => None,
        };
        Options {
            directory: state.join("events"),
            port,
            references: if included { References::Included } else { References::Omitted },
            endpoints: self.endpoints(),
        }
    }

    /// The endpoints that can be used; of the others the problems are noted.
    fn endpoints(&mut self) -> Vec<EndpointOptions> {
        let mut endpoints: Vec<EndpointOptions> = Vec::new();
        for index in 0..self.settings.count("notifications.endpoints") {
            let path = format!("notifications.endpoints.{index}");
            let Some(endpoint) = self.endpoint(&path) else { continue };
            if endpoints.iter().any(|other| other.name == endpoint.name) {
                let text = format!("`{}` is the name of another endpoint already; each has a queue of its own, by its name", endpoint.name);
                self.problem(&format!("{path}.name"), text);
            }
            endpoints.push(endpoint);
        }
        endpoints
    }

    fn endpoint(&mut self, path: &str) -> Option<EndpointOptions> {
        let key = |name: &str| format!("{path}.{name}");
        let time = |name, usual| self.settings.duration(&key(name)).filter(|time| !time.is_zero()).unwrap_or(usual);
        let texts = |name| self.settings.texts(&key(name)).unwrap_or_default().to_vec();
        let (timeout, backoff) = (time("timeout", TIMEOUT), time("backoff", BACKOFF));
        let threshold = self.settings.integer(&key("threshold")).and_then(|count| u32::try_from(count).ok());
        let ignored_media_types = [texts("ignore.mediatypes"), texts("ignoredmediatypes")].concat();
        let delivery = if self.settings.truth(&key("disabled")) == Some(true) { Delivery::Off } else { Delivery::On };
        let name = self.settings.text(&key("name")).unwrap_or_default().to_owned();
        // Each is looked at, so that all problems are said at once.
        let url = self.endpoint_url(&key("url"), delivery);
        let headers = self.sent_headers(&key("headers"));
        let ignored_actions = self.ignored_actions(&key("ignore.actions"));
        let secret = self.endpoint_secret(&key("secret"));
        Some(EndpointOptions {
            name,
            delivery,
            url: url?,
            headers,
            timeout,
            threshold: threshold.filter(|count| *count > 0).unwrap_or(THRESHOLD),
            backoff,
            ignored_media_types,
            ignored_actions,
            secret,
        })
    }

    fn endpoint_url(&mut self, key: &str, delivery: Delivery) -> Option<Url> {
        let Some(text) = self.settings.text(key) else {
            if delivery == Delivery::On {
                self.problem(key, "missing, so events could be sent nowhere; write one such as https://ci.example.com/events");
            }
            return Url::parse("http://localhost").ok().filter(|_| delivery == Delivery::Off);
        };
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            // Not quoted: it may carry a password.
            self.problem(key, "not an http or https address; write one such as https://ci.example.com/events");
        }
        url
    }

    fn ignored_actions(&mut self, key: &str) -> Vec<String> {
        let texts = self.settings.texts(key).unwrap_or_default();
        for text in texts.iter().filter(|text| Action::ALL.iter().all(|action| action.as_str() != *text)) {
            let text = format!("`{text}` is no action, so nothing is ignored by it; the actions are pull, push, mount and delete");
            self.notice(Severity::Mistake, key, text);
        }
        texts.to_vec()
    }

    fn endpoint_secret(&mut self, key: &str) -> Option<Secret> {
        Secret::parse(self.settings.text(key)?).map_err(|fault| self.problem(key, fault)).ok()
    }
}
