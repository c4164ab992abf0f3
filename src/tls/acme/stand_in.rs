//! The certificate that is shown until there is a first one: nobody vouches for it, and no client should believe it.

use std::collections::BTreeSet;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;

/// A self-signed certificate and its key.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// The certificate.
    pub(crate) certificate: CertificateDer<'static>,
    /// Its key.
    pub(crate) key: PrivateKeyDer<'static>,
}

impl StandIn {
    pub(super) fn make(hosts: &BTreeSet<String>) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts.iter().cloned().collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, "Breakwater, until a certificate is issued");
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { certificate, key: key.into() })
    }
}
