//! The rules of `http`, `catalog` and `tags`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use url::Url;
use zeroize::Zeroizing;

use super::Rules;
use crate::config::Listen;
use crate::http;
use crate::tls::{self, MinimumVersion};

const ADDRESS: &str = ":5000";
const PAGE: usize = 1000;

impl Rules<'_> {
    pub(super) fn listen(&mut self) -> Listen {
        let address = self.settings.text("http.addr");
        match self.settings.text("http.net") {
            None | Some("tcp") => {
                let address = address.unwrap_or(ADDRESS).to_owned();
                if !has_port(&address) {
                    self.problem("http.addr", format_args!("`{address}` is not host:port or :port; write one such as :5000"));
                }
                Listen::Tcp(address)
            }
            Some("unix") => {
                if address.is_none() {
                    self.problem("http.addr", "missing; with `net: unix` it is the path of the socket");
                }
                Listen::Unix(PathBuf::from(address.unwrap_or_default()))
            }
            Some(other) => {
                self.problem("http.net", format_args!("`{other}` is not a kind of network; write tcp or unix"));
                Listen::Tcp(ADDRESS.to_owned())
            }
        }
    }

    pub(super) fn http(&mut self) -> http::Options {
        http::Options {
            prefix: self.prefix(),
            host: self.host(),
            relative_urls: self.settings.truth("http.relativeurls") == Some(true),
            secret: self.settings.text("http.secret").map(|secret| Zeroizing::new(secret.as_bytes().to_vec())),
            headers: self.sent_headers("http.headers"),
            trusted_proxies: self.trusted_proxies(),
            accel_redirect: self.accel_redirect(),
            blob_redirect: self.blob_redirect(),
            catalog_max_entries: self.page("catalog.maxentries"),
            tags_max: self.tags_max(),
            pace: self.pace(),
            manifest_limit: self.manifest_limit(),
            rates: self.rates(),
            metrics: self.metrics(),
        }
    }

    fn prefix(&mut self) -> String {
        let prefix = self.settings.text("http.prefix").unwrap_or("/");
        if !prefix.starts_with('/') || !prefix.ends_with('/') {
            self.problem("http.prefix", format_args!("`{prefix}` must begin and end with `/`; write one such as /registry/"));
        } else if prefix.contains("//") || prefix.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '{' | '}')) {
            self.problem("http.prefix", format_args!("`{prefix}` is not a plain path; write one such as /registry/"));
        }
        prefix.to_owned()
    }

    fn host(&mut self) -> Option<String> {
        let text = self.settings.text("http.host")?;
        match parsed_host(text) {
            Some(_) => Some(text.trim_end_matches('/').to_owned()),
            None => {
                let text = format!("`{text}` is not an absolute address; write one such as https://registry.example.com");
                self.problem("http.host", text);
                None
            }
        }
    }

    pub(super) fn sent_headers(&mut self, table: &str) -> Vec<(String, Vec<String>)> {
        let headers = self.settings.table(table);
        for (name, values) in headers {
            let key = format!("{table}.{name}");
            if actix_web::http::header::HeaderName::try_from(name.as_str()).is_err() {
                self.problem(table, format_args!("`{name}` cannot be the name of a header; use letters, digits and `-`"));
            } else if values.iter().any(|value| actix_web::http::header::HeaderValue::try_from(value.as_str()).is_err()) {
                self.problem(&key, "a header's value cannot hold line breaks or control characters");
            }
        }
        headers.to_vec()
    }

    fn trusted_proxies(&mut self) -> Option<Vec<IpNet>> {
        self.networks("http.trustedproxies")
    }

    fn accel_redirect(&mut self) -> Option<String> {
        let prefix = self.settings.text("http.accelredirect")?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
        if !prefix.starts_with('/') || !prefix.ends_with('/') {
            let text = format!("`{prefix}` must begin and end with `/`; write one such as /breakwater-data/");
            self.problem("http.accelredirect", text);
        } else if prefix.contains("//") || prefix.contains("/.") || !prefix.chars().all(is_plain) {
            let text = format!("`{prefix}` is not a plain path of letters, digits, `-` and `_`; write one such as /breakwater-data/");
            self.problem("http.accelredirect", text);
        }
        Some(prefix.to_owned())
    }

    /// A list of networks, or of addresses that stand for themselves.
    pub(super) fn networks(&mut self, key: &str) -> Option<Vec<IpNet>> {
        let mut networks = Vec::new();
        for text in self.settings.texts(key)? {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => networks.push(network),
                Err(_) => self.problem(key, format_args!("`{text}` is not a network; write one such as 10.0.0.0/8 or ::1/128")),
            }
        }
        Some(networks)
    }

    fn page(&self, key: &str) -> usize {
        let number = self.settings.integer(key).and_then(|number| usize::try_from(number).ok());
        number.filter(|number| *number > 0).unwrap_or(PAGE)
    }

    fn tags_max(&mut self) -> usize {
        if self.settings.integer("tags.maxtags").is_some_and(|number| number < 0) {
            self.problem("tags.maxtags", "must not be below 0; leave it out for 1000");
        }
        self.page("tags.maxtags")
    }

    pub(super) fn tls(&mut self, listen: &Listen, state: &Path) -> Option<tls::Options> {
        let minimum = self.minimum_tls();
        let suites = self.cipher_suites(minimum);
        let client = self.client_certificates();
        if let Some(acme) = self.letsencrypt(listen, state, client.as_ref()) {
            let file = acme.certificate();
            return Some(tls::Options { certificate: file.clone(), key: file, minimum, suites, client, acme: Some(acme) });
        }
        match (self.settings.text("http.tls.certificate"), self.settings.text("http.tls.key")) {
            (Some(certificate), Some(key)) => {
                Some(tls::Options { certificate: certificate.into(), key: key.into(), minimum, suites, client, acme: None })
            }
            (Some(_), None) => {
                self.problem("http.tls.key", "missing beside http.tls.certificate; name the PEM file of its private key");
                None
            }
            (None, Some(_)) => {
                self.problem("http.tls.certificate", "missing beside http.tls.key; name the PEM file of the certificate and its chain");
                None
            }
            (None, None) => {
                if client.is_some() {
                    let text = "missing, so connections are plain and nobody is asked for a client certificate; name the PEM file, or \
                         remove http.tls.clientcas and http.tls.clientauth if a proxy in front asks for them";
                    self.problem("http.tls.certificate", text);
                }
                None
            }
        }
    }

    fn minimum_tls(&mut self) -> MinimumVersion {
        match self.settings.text("http.tls.minimumtls") {
            None | Some("tls1.2") => MinimumVersion::Tls12,
            Some("tls1.3") => MinimumVersion::Tls13,
            Some(old @ ("tls1.0" | "tls1.1")) => {
                self.problem("http.tls.minimumtls", format_args!("`{old}` is broken and not spoken; write tls1.2 or tls1.3"));
                MinimumVersion::Tls12
            }
            Some(other) => {
                self.problem("http.tls.minimumtls", format_args!("`{other}` is not a version; write tls1.2 or tls1.3"));
                MinimumVersion::Tls12
            }
        }
    }
}

/// An absolute http or https address with a host, and with nothing behind its path.
pub(super) fn parsed_host(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (plain && url.has_host()).then_some(url)
}

pub(super) fn has_port(address: &str) -> bool {
    port_of(address).is_some()
}

/// The port of `host:port` or `:port`.
pub(super) fn port_of(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let host_is_whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    port.parse().ok().filter(|_| host_is_whole)
}
