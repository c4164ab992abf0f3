//! What an ACME server finds when it looks whether a host is ours.
//!
//! TLS-ALPN-01 (RFC 8737) is answered in a handshake that offers `acme-tls/1` and nothing else, by a certificate made for it; no
//! client is asked for a certificate there, and no request is read. HTTP-01 (RFC 8555, section 8.3) is answered by a text. Either
//! is there only while an order waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::Error;

/// The one protocol of a handshake of TLS-ALPN-01.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// The challenges that wait to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// By host, in lower case.
    handshakes: HashMap<String, Arc<ServerConfig>>,
    /// By token.
    texts: HashMap<String, String>,
}

impl Challenges {
    /// Has a challenge answered until what is returned is dropped.
    pub(super) fn present(&self, kind: &ChallengeType, host: &str, token: &str, proof: &KeyAuthorization) -> Result<Presented<'_>, Error> {
        let what = match kind {
            ChallengeType::TlsAlpn01 => {
                let host = host.to_ascii_lowercase();
                let config = Arc::new(handshake(&host, proof.digest().as_ref())?);
                self.lock().handshakes.insert(host.clone(), config);
                What::Handshake(host)
            }
            _ => {
                self.lock().texts.insert(token.to_owned(), proof.as_str().to_owned());
                What::Text(token.to_owned())
            }
        };
        Ok(Presented { challenges: self, what })
    }

    /// The configuration for a connection that looks at a challenge, and at one that waits.
    pub(crate) fn handshake(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !hello.alpn().is_some_and(|offered| offered.eq([PROTOCOL])) {
            return None;
        }
        let host = hello.server_name()?.to_ascii_lowercase();
        self.lock().handshakes.get(&host).cloned()
    }

    /// The text for a token of HTTP-01.
    pub(crate) fn text(&self, token: &str) -> Option<String> {
        self.lock().texts.get(token).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A challenge that is answered as long as this lives.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    challenges: &'a Challenges,
    what: What,
}

#[derive(Debug)]
enum What {
    Handshake(String),
    Text(String),
}

impl Drop for Presented<'_> {
    fn drop(&mut self) {
        let mut waiting = self.challenges.lock();
        match &self.what {
            What::Handshake(host) => drop(waiting.handshakes.remove(host)),
            What::Text(token) => drop(waiting.texts.remove(token)),
        }
    }
}

fn handshake(host: &str, digest: &[u8]) -> Result<ServerConfig, Error> {
    let (certificate, key) = certificate(host, digest)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(Error::Unusable)?;
    // Not with_single_cert, which takes no certificate whose critical extensions it does not know.
    let key = any_supported_type(&key).map_err(Error::Unusable)?;
    let pair = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(pair));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// RFC 8737, section 3: self-signed, for this one name, with the digest in a critical extension.
fn certificate(host: &str, digest: &[u8]) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), key.into()))
}
