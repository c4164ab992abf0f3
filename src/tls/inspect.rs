//! What can be said of certificates before anybody is served: for a check of the configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs::default_provider;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::certificate::{certificates, pair, private_key, serve};
use super::client::verifier;
use super::leaf::Leaf;
use super::{Error, Options};

/// How long before the end of a certificate that nobody renews here somebody should be told.
const NOTICE: Duration = Duration::from_secs(14 * 24 * 3600);

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means for who is to be served.
    pub weight: Weight,
    /// The key that names what was looked at.
    pub key: &'static str,
    /// What was found.
    pub text: String,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Nobody can be served so.
    Error,
    /// Nobody can be served so for long.
    Warning,
    /// Worth knowing.
    Info,
}

const CERTIFICATE: &str = "http.tls.certificate";
const KEY: &str = "http.tls.key";
const CLIENTS: &str = "http.tls.clientcas";
const ACME: &str = "http.tls.letsencrypt";

impl Options {
    /// Looks at the files as a start would, and at the dates. Blocks.
    pub fn inspect(&self, now: SystemTime) -> Vec<Finding> {
        let clients = self.client.as_ref().and_then(|client| verifier(client, &Arc::new(default_provider())).err());
        let clients = clients.map(|error| Finding::error(CLIENTS, &error));
        let found = match &self.acme {
            None => self.files(clients.is_none(), now),
            Some(acme) => {
                let authority = acme.authority.as_deref().and_then(|path| certificates(path).err());
                let authority = authority.map(|error| Finding::error("http.tls.letsencrypt.cacert", &error));
                let own = clients.is_none().then(|| self.of_acme(now));
                authority.into_iter().chain(own).collect()
            }
        };
        clients.into_iter().chain(found).collect()
    }

    /// The certificate and the key: each alone, and then whether they fit.
    fn files(&self, serves: bool, now: SystemTime) -> Vec<Finding> {
        let faults: Vec<Finding> = [
            certificates(&self.certificate).err().map(|error| Finding::error(CERTIFICATE, &error)),
            private_key(&self.key).err().map(|error| Finding::error(KEY, &error)),
        ]
        .into_iter()
        .flatten()
        .collect();
        match self.leaf() {
            _ if !faults.is_empty() => faults,
            // What stands in the way of the clients has been said.
            Err(_) if !serves => Vec::new(),
            Err(error) => vec![Finding::error(KEY, &error)],
            Ok(leaf) => vec![dates(&self.certificate, leaf.as_ref(), now)],
        }
    }

    /// What is missing or old is ordered at the start.
    fn of_acme(&self, now: SystemTime) -> Finding {
        let place = self.certificate.display();
        match self.leaf() {
            Ok(Some(leaf)) if leaf.not_after > now => {
                Finding::new(Weight::Info, ACME, format!("{place} is valid until {}", date(leaf.not_after)))
            }
            Err(error) if !error.is_absence() => Finding::new(Weight::Warning, ACME, format!("{}; another one is ordered", chain(&error))),
            _ => Finding::new(Weight::Info, ACME, format!("there is no good certificate at {place} yet; one is ordered at the start")),
        }
    }

    /// The certificate, if a connection could be served with it.
    fn leaf(&self) -> Result<Option<Leaf>, Error> {
        let (chain, key) = pair(self)?;
        let leaf = chain.first().and_then(Leaf::read);
        serve(self, chain, key)?;
        Ok(leaf)
    }
}

impl Finding {
    fn new(weight: Weight, key: &'static str, text: String) -> Self {
        Self { weight, key, text }
    }

    fn error(key: &'static str, error: &Error) -> Self {
        Self::new(Weight::Error, key, chain(error))
    }
}

fn dates(path: &Path, leaf: Option<&Leaf>, now: SystemTime) -> Finding {
    let place = path.display();
    let (weight, text) = match leaf {
        None => (Weight::Warning, format!("{place} holds a certificate whose dates cannot be read")),
        Some(leaf) if leaf.not_after <= now => (Weight::Error, format!("{place} has expired, on {}", date(leaf.not_after))),
        Some(leaf) if leaf.not_before > now => (Weight::Error, format!("{place} is not valid yet, only from {}", date(leaf.not_before))),
        Some(leaf) if leaf.not_after <= now + NOTICE => (Weight::Warning, format!("{place} expires soon, on {}", date(leaf.not_after))),
        Some(leaf) => (Weight::Info, format!("{place} is valid until {}", date(leaf.not_after))),
    };
    Finding::new(weight, CERTIFICATE, text)
}

fn chain(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A moment as it is said to people, to the second.
pub(super) fn date(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    moment.replace_nanosecond(0).unwrap_or(moment).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::super::{ClientAuth, ClientOptions, MinimumVersion, acme};
    use super::*;

    /// A pair that is valid throughout 2030.
    fn options(directory: &Path) -> Options {
        let mut params = CertificateParams::new(["one.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2030, 1, 1), date_time_ymd(2030, 12, 31));
        let key = KeyPair::generate().unwrap();
        let (certificate, key_path) = (directory.join("a.crt"), directory.join("a.key"));
        std::fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        Options { certificate, key: key_path, minimum: MinimumVersion::Tls12, suites: None, client: None, acme: None }
    }

    fn on(year: i32, month: u8, day: u8) -> SystemTime {
        date_time_ymd(year, month, day).into()
    }

    #[test]
    fn dates_are_judged_by_the_day_they_are_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        let place = options.certificate.display();
        for (now, expected) in [
            (on(2029, 12, 31), (Weight::Error, format!("{place} is not valid yet, only from 2030-01-01T00:00:00Z"))),
            (on(2030, 12, 16), (Weight::Info, format!("{place} is valid until 2030-12-31T00:00:00Z"))),
            (on(2030, 12, 17), (Weight::Warning, format!("{place} expires soon, on 2030-12-31T00:00:00Z"))),
            (on(2030, 12, 31), (Weight::Error, format!("{place} has expired, on 2030-12-31T00:00:00Z"))),
        ] {
            assert_eq!(options.inspect(now), [Finding::new(expected.0, CERTIFICATE, expected.1)]);
        }
    }

    #[test]
    fn what_no_connection_could_be_served_with_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let good = options(directory.path());
        let error = |options: &Options| match options.inspect(on(2030, 6, 1)).as_slice() {
            [Finding { weight: Weight::Error, key, text }] => format!("{key}: {text}"),
            other => panic!("{other:?}"),
        };
        let absent = directory.path().join("absent");
        let authorities = vec![absent.clone()];
        let client = Some(ClientOptions { authorities, level: ClientAuth::RequireAndVerify, user: None });
        let (clients, keyless) = (Options { client, ..good.clone() }, Options { key: absent.clone(), ..good.clone() });
        for (options, key) in [(&clients, CLIENTS), (&keyless, KEY)] {
            let text = error(options);
            assert!(text.starts_with(&format!("{key}: ")) && text.contains("absent cannot be read: No such file"), "{text}");
        }
        let nothing = Options { certificate: absent.clone(), key: absent, ..clients };
        let keys: Vec<_> = nothing.inspect(on(2030, 6, 1)).into_iter().map(|finding| finding.key).collect();
        assert_eq!(keys, [CLIENTS, CERTIFICATE, KEY], "each is told, not only the first");
        std::fs::write(&good.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(error(&good).contains("do not fit together"));
    }

    #[test]
    fn what_an_acme_server_will_mend_is_no_error_and_what_it_cannot_is() {
        let directory = tempfile::tempdir().unwrap();
        let pair = options(directory.path());
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        let pem = text(&pair.key) + &text(&pair.certificate);
        let absent = directory.path().join("absent");
        let mut acme = acme::Options {
            state: directory.path().to_owned(),
            directory: acme::LETS_ENCRYPT.to_owned(),
            hosts: ["one.example".to_owned()].into(),
            email: None,
            eab: None,
            http: None,
            authority: None,
        };
        let file = acme.certificate();
        let with =
            |acme: &acme::Options| Options { certificate: file.clone(), key: file.clone(), acme: Some(acme.clone()), ..pair.clone() };
        let begins = |options: &Options, now: SystemTime, expected: &str| {
            let first = options.inspect(now).remove(0);
            let found = format!("{:?} {}: {}", first.weight, first.key, first.text);
            assert!(found.starts_with(expected), "{expected}: {found}");
        };
        begins(&with(&acme), on(2030, 6, 1), "Info http.tls.letsencrypt: there is no good certificate at ");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &pem[..pem.len() / 2]).unwrap();
        begins(&with(&acme), on(2030, 6, 1), "Warning http.tls.letsencrypt: ");
        std::fs::write(&file, pem).unwrap();
        begins(&with(&acme), on(2030, 12, 30), "Info http.tls.letsencrypt: /");
        begins(&with(&acme), on(2031, 12, 30), "Info http.tls.letsencrypt: there is no good certificate at ");
        let client = Some(ClientOptions { authorities: vec![absent.clone()], level: ClientAuth::RequireAndVerify, user: None });
        begins(&Options { client, ..with(&acme) }, on(2030, 6, 1), "Error http.tls.clientcas: ");
        acme.authority = Some(absent);
        begins(&with(&acme), on(2030, 6, 1), "Error http.tls.letsencrypt.cacert: ");
    }
}
