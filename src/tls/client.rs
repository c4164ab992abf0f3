//! Client certificates: whom the handshake asks for one, and which it takes.
//!
//! Owns the four levels and the verifier of each. With every level a certificate comes with proof that the client has its key; that
//! an authority stands behind what is written in it, only the two levels that verify know.
//!
//! Where webpki differs from Go: a certificate of version 1, which `openssl x509 -req` makes without extensions, is taken at no
//! level; one that is itself an authority's is not verified, even where it is listed; an authority's own end is not looked at.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use super::certificate::certificates;
use super::{Error, UserField};

/// `http.tls.clientcas`, `http.tls.clientauth` and `certificates`.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// PEM files with the certificates of the authorities.
    pub authorities: Vec<PathBuf>,
    /// Whom the handshake lets in.
    pub level: ClientAuth,
    /// Where a verified certificate names its user; `None`: certificates are a gate, and name nobody.
    pub user: Option<UserField>,
}

/// `http.tls.clientauth`, as Go's `crypto/tls` means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// A certificate is asked for; one of anybody will do, and so will none.
    Request,
    /// There must be a certificate; one of anybody will do.
    RequireAny,
    /// There may be a certificate; it must be of one of the authorities, and valid.
    VerifyIfGiven,
    /// There must be a certificate of one of the authorities, and valid.
    RequireAndVerify,
}

impl ClientAuth {
    /// Whether a certificate that is let in has been verified, so that what it says can be believed.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    /// Whether nobody comes in without a certificate.
    pub fn is_mandatory(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// The verifier of a level, with the authorities as they are now.
pub(super) fn verifier(options: &ClientOptions, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let roots = roots(&options.authorities)?;
    if !options.level.verifies() {
        let algorithms = provider.signature_verification_algorithms;
        return Ok(Arc::new(Possession { level: options.level, hints: roots.subjects(), algorithms }));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if options.level.is_mandatory() { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(Error::NoVerifier)
}

fn roots(paths: &[PathBuf]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|source| Error::Authority { path: path.clone(), source })?;
        }
    }
    Ok(roots)
}

/// Takes every certificate whose key the client proves to have, whoever issued it and however old it is.
#[derive(Debug)]
struct Possession {
    level: ClientAuth,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        self.level.is_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::crypto::aws_lc_rs;
    use rustls::server::VerifierBuilderError;

    use super::*;

    fn build(level: ClientAuth, authorities: Vec<PathBuf>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        verifier(&ClientOptions { authorities, level, user: None }, &Arc::new(aws_lc_rs::default_provider()))
    }

    fn authority() -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn every_level_asks_names_the_authorities_and_insists_as_it_should() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["one.crt", "two.crt"].map(|name| directory.path().join(name)).to_vec();
        std::fs::write(&files[0], authority() + &authority()).unwrap();
        std::fs::write(&files[1], authority()).unwrap();
        for (level, is_mandatory) in [
            (ClientAuth::Request, false),
            (ClientAuth::RequireAny, true),
            (ClientAuth::VerifyIfGiven, false),
            (ClientAuth::RequireAndVerify, true),
        ] {
            let verifier = build(level, files.clone()).unwrap();
            assert!(verifier.offer_client_auth(), "{level:?}");
            assert_eq!(verifier.client_auth_mandatory(), is_mandatory, "{level:?}");
            assert_eq!(verifier.root_hint_subjects().len(), 3, "{level:?}");
            assert!(!verifier.supported_verify_schemes().is_empty(), "{level:?}");
        }
    }

    #[test]
    fn only_the_levels_that_verify_need_an_authority() {
        assert!(build(ClientAuth::Request, Vec::new()).is_ok());
        assert!(build(ClientAuth::RequireAny, Vec::new()).is_ok());
        for level in [ClientAuth::VerifyIfGiven, ClientAuth::RequireAndVerify] {
            assert!(matches!(build(level, Vec::new()), Err(Error::NoVerifier(VerifierBuilderError::NoRootAnchors))), "{level:?}");
        }
    }

    #[test]
    fn an_authority_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authority.crt");
        let of = |path: &PathBuf| build(ClientAuth::RequireAndVerify, vec![path.clone()]);
        assert!(matches!(of(&path), Err(Error::Unreadable { path: named, .. }) if named == path));
        std::fs::write(&path, "").unwrap();
        assert!(matches!(of(&path), Err(Error::NoCertificate(named)) if named == path));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(of(&path), Err(Error::Authority { path: named, .. }) if named == path));
    }
}
