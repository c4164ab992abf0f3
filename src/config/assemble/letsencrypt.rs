//! The rules of `http.tls.letsencrypt`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::DnsName;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::Rules;
use super::http::{has_port, port_of};
use crate::config::Listen;
use crate::config::problem::Severity;
use crate::tls::ClientOptions;
use crate::tls::acme::{ExternalAccount, LETS_ENCRYPT, Options};

const SECTION: &str = "http.tls.letsencrypt";
const KEYS: [&str; 6] = ["cachefile", "email", "directoryurl", "eab.kid", "http", "cacert"];

impl Rules<'_> {
    /// `None`: no ACME server is asked for anything.
    pub(super) fn letsencrypt(&mut self, listen: &Listen, state: &Path, client: Option<&ClientOptions>) -> Option<Options> {
        let key = |name: &str| format!("{SECTION}.{name}");
        let hosts = self.settings.texts(&key("hosts")).unwrap_or_default();
        if hosts.is_empty() && KEYS.iter().all(|name| self.settings.text(&key(name)).is_none()) {
            return None;
        }
        let http = self.settings.text(&key("http")).map(str::to_owned);
        if http.as_ref().is_some_and(|address| !has_port(address)) {
            self.problem(&key("http"), "is not host:port or :port; write one such as :80");
        }
        if ["http.tls.certificate", "http.tls.key"].iter().any(|key| self.settings.text(key).is_some()) {
            let text = "cannot stand beside http.tls.certificate and http.tls.key; keep the one or the other";
            self.problem(SECTION, text);
        }
        self.admit_the_validator(listen, http.as_deref(), client);
        let state = self.settings.text(&key("cachefile")).map_or_else(|| state.join("acme"), PathBuf::from);
        Some(Options {
            state,
            directory: self.directory(&key("directoryurl")),
            hosts: self.hosts(&key("hosts")),
            email: self.settings.text(&key("email")).map(|email| email.trim_start_matches("mailto:").to_owned()),
            eab: self.external_account(),
            http,
            authority: self.settings.text(&key("cacert")).map(PathBuf::from),
        })
    }

    /// The server must be able to look: at a port that it chooses, and without a certificate of its own.
    fn admit_the_validator(&mut self, listen: &Listen, http: Option<&str>, client: Option<&ClientOptions>) {
        if http.is_none() && client.is_some_and(|client| client.level.is_mandatory()) {
            let text = "the ACME server looks at the hosts by TLS, and no exception is made for it where every client must show a \
                 certificate; add `http: \":80\"`, where it looks without TLS, or lower http.tls.clientauth";
            self.problem(SECTION, text);
        }
        let (wanted, key) = if http.is_some() { (80, "http.tls.letsencrypt.http") } else { (443, "http.addr") };
        let (found, place) = match (http, listen) {
            (Some(address), _) => (port_of(address), address.to_owned()),
            (None, Listen::Tcp(address)) => (port_of(address), address.clone()),
            (None, Listen::Unix(path)) => (None, path.display().to_string()),
        };
        if found != Some(wanted) {
            let text = format!(
                "the ACME server connects to port {wanted} of each host in http.tls.letsencrypt.hosts, and not to `{place}`; have that \
                 port forwarded here"
            );
            self.notice(Severity::Info, key, text);
        }
    }

    fn directory(&mut self, key: &str) -> String {
        let address = self.settings.text(key).unwrap_or(LETS_ENCRYPT);
        if !Url::parse(address).is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
            self.problem(key, format_args!("`{address}` is not an https address; write one such as {LETS_ENCRYPT}"));
        }
        address.to_owned()
    }

    fn hosts(&mut self, key: &str) -> BTreeSet<String> {
        let texts = self.settings.texts(key).unwrap_or_default();
        if texts.is_empty() {
            self.problem(key, "missing; list the names that clients use, such as `hosts: [registry.example.com]`");
        }
        let mut hosts = BTreeSet::new();
        for text in texts {
            match host(text) {
                Some(host) => drop(hosts.insert(host)),
                None => {
                    let text = format!(
                        "`{text}` is not the name of a host, such as registry.example.com; addresses and `*` cannot be certified so"
                    );
                    self.problem(key, text);
                }
            }
        }
        hosts
    }

    fn external_account(&mut self) -> Option<ExternalAccount> {
        let (id, key) = ("http.tls.letsencrypt.eab.kid", "http.tls.letsencrypt.eab.hmackey");
        match (self.settings.text(id), self.settings.text(key)) {
            (None, None) => None,
            (Some(id), Some(secret)) => match BASE64_URL.decode(secret.trim()) {
                Ok(secret) if !secret.is_empty() => Some(ExternalAccount { id: id.to_owned(), key: Zeroizing::new(secret) }),
                _ => {
                    self.problem(key, "is not base64url; copy the HMAC key as the ACME server's operator shows it");
                    None
                }
            },
            (Some(_), None) => {
                self.problem(key, "missing beside eab.kid; both come from the ACME server's operator");
                None
            }
            (None, Some(_)) => {
                self.problem(id, "missing beside eab.hmackey; both come from the ACME server's operator");
                None
            }
        }
    }
}

/// With or without `=` at its end: operators show both.
const BASE64_URL: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A name as a certificate holds it: in lower case, and in ASCII.
fn host(text: &str) -> Option<String> {
    let Ok(Host::Domain(name)) = Host::parse(text.trim_end_matches('.')) else { return None };
    DnsName::try_from(name.as_str()).is_ok().then_some(name)
}
