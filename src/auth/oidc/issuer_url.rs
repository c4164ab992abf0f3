//! The address of an issuer, and which addresses may be asked for its keys.
//!
//! Invariant: nothing is asked over plain HTTP but this very machine, and that only for an issuer on it.

use std::fmt;

use url::{Host, Url};

/// The address of an issuer, exactly as its tokens must say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerUrl {
    text: String,
    url: Url,
}

/// Why an address cannot be that of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Not `https://HOST…`, nor `http://` and this machine.
    #[error("not an https address")]
    Insecure,
    /// It has a user, a query or a fragment, which an issuer has not (OpenID Connect Core 1.0, section 2).
    #[error("has a user, a query or a fragment")]
    Superfluous,
}

impl IssuerUrl {
    /// Takes the address of an issuer: `https`, or `http` on this machine.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let url = Url::parse(text).map_err(|_| AddressFault::Insecure)?;
        if !is_secure(&url) && !is_plain_and_local(&url) {
            return Err(AddressFault::Insecure);
        }
        if has_user(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(AddressFault::Superfluous);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// The address as it was written, to be compared byte by byte.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where its metadata is (OpenID Connect Discovery 1.0, section 4.1: one slash at the end is dropped).
    pub(super) fn metadata(&self) -> Url {
        let mut url = self.url.clone();
        let path = url.path().strip_suffix('/').unwrap_or_else(|| url.path());
        url.set_path(&format!("{path}/.well-known/openid-configuration"));
        url
    }

    /// Whether it is on this machine and spoken to in the clear.
    pub(super) fn is_plain(&self) -> bool {
        !is_secure(&self.url)
    }

    /// Whether its metadata may send us to an address.
    pub(super) fn admits(&self, address: &Url) -> bool {
        !has_user(address) && (is_secure(address) || (self.is_plain() && is_plain_and_local(address)))
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" && url.has_host()
}

fn is_plain_and_local(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_reached_by_tls_or_on_this_machine() {
        for text in [
            "https://i.example",
            "https://i.example:8443/a/",
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://[::1]:1/a",
            "http://localhost",
        ] {
            assert_eq!(IssuerUrl::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "i.example",
            "http://i.example",
            "http://10.0.0.1",
            "http://localhost.example",
            "ftp://localhost",
            "file:///etc",
            "http://0.0.0.0",
        ] {
            assert_eq!(IssuerUrl::parse(text), Err(AddressFault::Insecure), "{text}");
        }
        for text in ["https://a@i.example", "https://a:b@i.example", "https://i.example?a=b", "https://i.example#a"] {
            assert_eq!(IssuerUrl::parse(text), Err(AddressFault::Superfluous), "{text}");
        }
    }

    #[test]
    fn the_metadata_is_below_the_issuer_with_one_slash() {
        for (issuer, expected) in [
            ("https://i.example", "https://i.example/.well-known/openid-configuration"),
            ("https://i.example/", "https://i.example/.well-known/openid-configuration"),
            ("https://i.example/a/b", "https://i.example/a/b/.well-known/openid-configuration"),
            ("https://i.example/a/b/", "https://i.example/a/b/.well-known/openid-configuration"),
        ] {
            assert_eq!(IssuerUrl::parse(issuer).unwrap().metadata().as_str(), expected);
        }
    }

    #[test]
    fn metadata_leads_to_plain_http_only_from_this_machine_to_itself() {
        let admits = |issuer: &str, address: &str| IssuerUrl::parse(issuer).unwrap().admits(&Url::parse(address).unwrap());
        assert!(admits("https://i.example", "https://keys.example/set?a=b"));
        assert!(admits("http://localhost:1", "http://127.0.0.1:2/set"));
        for address in
            ["http://keys.example/", "http://127.0.0.1/", "http://169.254.169.254/", "file:///etc/passwd", "https://a:b@keys.example/"]
        {
            assert!(!admits("https://i.example", address), "{address}");
        }
        assert!(!admits("http://localhost:1", "http://keys.example/"));
    }
}
