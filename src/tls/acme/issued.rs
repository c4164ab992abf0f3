//! What a server has issued, and whether it is what was ordered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::super::leaf::Leaf;
use super::Error;

/// A certificate with its chain, and the key it was ordered with; both in PEM.
pub(super) struct Issued {
    chain: String,
    key: Zeroizing<String>,
}

impl Issued {
    /// Takes what was issued if it is of use: for all hosts, valid now, and of this key.
    pub(super) fn check(chain: String, key: Zeroizing<String>, hosts: &BTreeSet<String>, now: SystemTime) -> Result<Self, Error> {
        let certificates: Result<Vec<_>, _> = rustls_pemfile::certs(&mut chain.as_bytes()).collect();
        let certificates = certificates.map_err(|_| Error::Unfit("is not PEM"))?;
        let leaf = certificates.first().and_then(Leaf::read).ok_or(Error::Unfit("is no certificate"))?;
        if !hosts.is_subset(&leaf.names) {
            return Err(Error::Unfit("is not for every host"));
        }
        if leaf.not_after <= now {
            return Err(Error::Unfit("is not valid any more"));
        }
        let secret = rustls_pemfile::private_key(&mut key.as_bytes()).ok().flatten().ok_or(Error::Unfit("has lost its key"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        CertifiedKey::from_der(certificates, secret, &provider).map_err(Error::Unusable)?;
        Ok(Self { chain, key })
    }

    /// One file that holds both.
    pub(super) fn pem(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(format!("{}\n{}\n", self.key.trim_end(), self.chain.trim_end()).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate for two hosts, until the end of 2030, and its key.
    fn pair() -> (String, Zeroizing<String>) {
        let mut params = CertificateParams::new(["one.example".to_owned(), "two.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2031, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), Zeroizing::new(key.serialize_pem()))
    }

    fn check(chain: &str, key: &Zeroizing<String>, hosts: &[&str], year: u64) -> Result<Issued, Error> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_557_600);
        Issued::check(chain.to_owned(), key.clone(), &hosts, now)
    }

    #[test]
    fn what_was_ordered_is_taken_and_written_as_one_file() {
        let (chain, key) = pair();
        let issued = check(&chain, &key, &["one.example", "two.example"], 2026).unwrap();
        let pem = issued.pem();
        assert_eq!(rustls_pemfile::certs(&mut pem.as_slice()).count(), 1);
        assert!(rustls_pemfile::private_key(&mut pem.as_slice()).unwrap().is_some());
    }

    #[test]
    fn what_was_not_ordered_is_not() {
        let (chain, key) = pair();
        let refusal = |chain: &str, key, hosts, year| check(chain, key, hosts, year).err().unwrap().chain();
        assert!(refusal(&chain, &key, &["one.example", "three.example"], 2026).contains("is not for every host"));
        assert!(refusal(&chain, &key, &["one.example"], 2032).contains("is not valid any more"));
        assert!(refusal("nothing", &key, &["one.example"], 2026).contains("is no certificate"));
        assert!(refusal(&chain, &pair().1, &["one.example"], 2026).contains("cannot be served"));
    }
}
