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
