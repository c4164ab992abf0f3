//! Certificates of an authority that the clients trust.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority and the name of the last certificate it issued.
pub(crate) struct Certificate {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) authority: String,
}

/// What a client shows: a certificate, and proof of its key.
pub(crate) struct Identity {
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: KeyPair,
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

    /// A certificate for a client of this name.
    pub(crate) fn client(&self, name: &str) -> Identity {
        self.identity(client_params(name))
    }

    /// One that was valid until long ago.
    pub(crate) fn expired_client(&self, name: &str) -> Identity {
        let mut params = client_params(name);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.identity(params)
    }

    /// One that says it is for servers.
    pub(crate) fn server(&self, name: &str) -> Identity {
        let mut params = client_params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.identity(params)
    }

    fn identity(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    fn leaf(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

fn client_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl Identity {
    /// The certificate as somebody has it who saw it: with another key.
    pub(crate) fn without_its_key(self) -> Self {
        Self { key: KeyPair::generate().unwrap(), ..self }
    }

    /// Certificate and key in one.
    pub(super) fn pem(&self) -> String {
        self.certificate.pem() + &self.key.serialize_pem()
    }
}
