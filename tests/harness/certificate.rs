//! Certificates of an authority that the clients trust.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority and the name of the last certificate it issued.
pub(crate) struct Certificate {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) authority: String,
}

impl Certificate {
    pub(crate) fn authority() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), authority }
    }

    /// Issues a certificate for `localhost` and 127.0.0.1, and writes it and its key as `tls.crt` and `tls.key`; its DER.
    pub(crate) fn issue(&self, directory: &Path) -> Vec<u8> {
        let (certificate, key) = self.leaf();
        std::fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
        certificate.der().to_vec()
    }

    fn leaf(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}
