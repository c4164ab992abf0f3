//! What an ACME server finds when it looks whether a host is ours.
//!
//! TLS-ALPN-01 (RFC 8737) is answered in a handshake that offers `acme-tls/1` and nothing else, by a certificate made for it; no
//! client is asked for a certificate there, and no request is read. HTTP-01 (RFC 8555, section 8.3) is answered by a text. Either
//! is there only while an order waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use instant_acme::ChallengeType;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use sha2::{Digest as _, Sha256};

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
    pub(super) fn present(&self, kind: &ChallengeType, host: &str, token: &str, proof: &str) -> Result<Presented<'_>, Error> {
        let what = match kind {
            ChallengeType::TlsAlpn01 => {
                let host = host.to_ascii_lowercase();
                let config = Arc::new(handshake(&host, proof)?);
                self.lock().handshakes.insert(host.clone(), config);
                What::Handshake(host)
            }
            _ => {
                self.lock().texts.insert(token.to_owned(), proof.to_owned());
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

fn handshake(host: &str, proof: &str) -> Result<ServerConfig, Error> {
    let (certificate, key) = certificate(host, proof)?;
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

/// RFC 8737, section 3: self-signed, for this one name, with the digest of the proof in a critical extension.
fn certificate(host: &str, proof: &str) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&Sha256::digest(proof))];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), key.into()))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::server::{Accepted, Acceptor};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use x509_cert::certificate::Certificate;
    use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
    use x509_cert::der::{Decode as _, Encode as _};
    use x509_cert::ext::pkix::SubjectAltName;
    use x509_cert::ext::pkix::name::GeneralName;

    use super::*;

    const PROOF: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.nP1qzpXGymHBrUEepNY9HCsQk7K8KhOypzEt62jcerQ";

    fn client(host: &str, offered: &[&[u8]], roots: RootCertStore) -> ClientConnection {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        ClientConnection::new(Arc::new(config), ServerName::try_from(host.to_owned()).unwrap()).unwrap()
    }

    /// What a server has of a client's first words.
    fn hello(client: &mut ClientConnection) -> Accepted {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut bytes.as_slice()).unwrap();
        acceptor.accept().unwrap_or_else(|(error, _)| panic!("{error}")).unwrap()
    }

    fn is_answered(challenges: &Challenges, host: &str, offered: &[&[u8]]) -> bool {
        challenges.handshake(&hello(&mut client(host, offered, RootCertStore::empty())).client_hello()).is_some()
    }

    #[test]
    fn the_certificate_is_the_one_of_rfc_8737() {
        let (certificate, _) = certificate("registry.example", PROOF).unwrap();
        let certificate = Certificate::from_der(&certificate).unwrap();
        let certificate = certificate.tbs_certificate();
        let identifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");
        let extension = certificate.extensions().unwrap().iter().find(|extension| extension.extn_id == identifier).unwrap();
        assert!(extension.critical);
        let digest = OctetString::new(Sha256::digest(PROOF).to_vec()).unwrap();
        assert_eq!(extension.extn_value.as_bytes(), digest.to_der().unwrap());
        let (_, SubjectAltName(names)) = certificate.get_extension().unwrap().unwrap();
        assert!(matches!(names.as_slice(), [GeneralName::DnsName(name)] if name.as_str() == "registry.example"));
        assert_eq!(certificate.issuer(), certificate.subject());
    }

    #[test]
    fn only_a_hello_that_offers_nothing_else_and_names_a_waiting_host_is_answered() {
        let challenges = Challenges::default();
        assert!(!is_answered(&challenges, "one.example", &[PROTOCOL]));
        let presented = challenges.present(&ChallengeType::TlsAlpn01, "One.example", "token", PROOF).unwrap();
        for (host, offered, expected) in [
            ("one.example", &[PROTOCOL] as &[&[u8]], true),
            ("ONE.example", &[PROTOCOL], true),
            ("one.example", &[], false),
            ("one.example", &[b"http/1.1"], false),
            ("one.example", &[PROTOCOL, b"http/1.1"], false),
            ("one.example", &[b"http/1.1", PROTOCOL], false),
            ("two.example", &[PROTOCOL], false),
            ("192.0.2.1", &[PROTOCOL], false),
        ] {
            assert_eq!(is_answered(&challenges, host, offered), expected, "{host} {offered:?}");
        }
        drop(presented);
        assert!(!is_answered(&challenges, "one.example", &[PROTOCOL]), "the order is over");
    }

    #[test]
    fn the_handshake_ends_with_the_protocol_and_without_a_ticket() {
        let challenges = Challenges::default();
        let _presented = challenges.present(&ChallengeType::TlsAlpn01, "one.example", "token", PROOF).unwrap();
        let mut client = client("one.example", &[PROTOCOL], RootCertStore::empty());
        let accepted = hello(&mut client);
        let config = challenges.handshake(&accepted.client_hello()).unwrap();
        assert_eq!(config.send_tls13_tickets, 0);
        let server = accepted.into_connection(config).unwrap_or_else(|(error, _)| panic!("{error}"));
        assert_eq!(server.alpn_protocol(), Some(PROTOCOL));
    }

    #[test]
    fn a_token_has_its_text_as_long_as_it_waits() {
        let challenges = Challenges::default();
        let presented = challenges.present(&ChallengeType::Http01, "one.example", "token", PROOF).unwrap();
        assert_eq!(challenges.text("token").as_deref(), Some(PROOF));
        assert_eq!(challenges.text("other"), None);
        assert!(!is_answered(&challenges, "one.example", &[PROTOCOL]));
        drop(presented);
        assert_eq!(challenges.text("token"), None);
    }
}
