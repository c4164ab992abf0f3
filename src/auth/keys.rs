//! The keys that our own tokens are signed and verified with, as they lie in a PEM file.
//!
//! Invariant: a [`KeySet`] has at least one key; the first signs, all verify.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls::pki_types::CertificateDer;
use rustls_pemfile::Item;
use serde_json::{Value, json};

use super::error::{Error, KeyFault};
use super::public_key::PublicKey;
use crate::whole_file::{self, PRIVATE};

/// The keys of one reading of the files.
pub(super) struct KeySet {
    keys: Vec<SigningKey>,
    chain: Option<Vec<String>>,
}

/// One ECDSA P-256 key, in the forms it is used in.
pub(super) struct SigningKey {
    kid: String,
    public: PublicKey,
    encoding: EncodingKey,
    decoding: DecodingKey,
    refresh: hmac::Key,
}

impl SigningKey {
    /// From DER, PKCS#8 or SEC1.
    fn of_der(der: &[u8]) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| KeyFault::NotP256)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyFault::NotP256)?;
        let scalar = pair.private_key().as_be_bytes().map_err(|_| KeyFault::NotP256)?;
        let public = PublicKey::P256(pair.public_key().as_ref().to_vec());
        Ok(Self {
            kid: public.thumbprint(),
            encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            decoding: public.decoding_key(),
            refresh: derive(scalar.as_ref()).map_err(|_| KeyFault::NotP256)?,
            public,
        })
    }

    /// The id by RFC 7638.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// The key of the refresh tokens, which is good for nothing else.
    pub(super) fn refresh(&self) -> &hmac::Key {
        &self.refresh
    }
}

impl KeySet {
    /// Makes the key file when there is none, then reads it. Blocks.
    pub(super) fn open(path: &Path, certificate: Option<&Path>) -> Result<Self, Error> {
        if !path.try_exists().map_err(Error::storage(path))? {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Crypto)?;
            whole_file::replace(path, pair.serialize_pem().as_bytes(), PRIVATE).map_err(Error::storage(path))?;
            tracing::info!(file.path = %path.display(), "made a key to sign tokens with");
        }
        Self::read(path, certificate)
    }

    /// Reads the keys, and the chain of the first one. Blocks.
    pub(super) fn read(path: &Path, certificate: Option<&Path>) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for item in items(path)? {
            let key = match &item {
                Item::Pkcs8Key(key) => SigningKey::of_der(key.secret_pkcs8_der()),
                Item::Sec1Key(key) => SigningKey::of_der(key.secret_sec1_der()),
                Item::Pkcs1Key(_) => Err(KeyFault::NotP256),
                _ => continue,
            };
            keys.push(key.map_err(|fault| Error::key(path, fault))?);
        }
        let first = keys.first().ok_or_else(|| Error::key(path, KeyFault::Empty))?;
        let chain = certificate.map(|certificate| chain_of(first, certificate)).transpose()?;
        warn_if_readable_by_others(path);
        Ok(Self { keys, chain })
    }

    /// The key that signs.
    pub(super) fn first(&self) -> &SigningKey {
        &self.keys[0]
    }

    /// The key of that id.
    pub(super) fn find(&self, kid: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// All keys, the one that signs first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter()
    }

    /// The certificates of the first key, as `x5c` wants them.
    pub(super) fn chain(&self) -> Option<&[String]> {
        self.chain.as_deref()
    }

    /// The public halves as a JWK set.
    pub(super) fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| {
                let mut jwk = key.public.members();
                jwk["kid"] = json!(key.kid);
                jwk["use"] = json!("sig");
                jwk["alg"] = json!("ES256");
                jwk
            })
            .collect();
        json!({ "keys": keys })
    }
}

/// Reads the certificates of a PEM file, of which there is at least one. Blocks.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let only_certificates = |item| if let Item::X509Certificate(certificate) = item { Some(certificate) } else { None };
    let certificates: Vec<_> = items(path)?.into_iter().filter_map(only_certificates).collect();
    if certificates.is_empty() { Err(Error::key(path, KeyFault::Empty)) } else { Ok(certificates) }
}

fn chain_of(first: &SigningKey, path: &Path) -> Result<Vec<String>, Error> {
    let certificates = certificates(path)?;
    let leaf = PublicKey::of_certificate(&certificates[0]).ok_or_else(|| Error::key(path, KeyFault::Certificate))?;
    if leaf != first.public {
        return Err(Error::key(path, KeyFault::Mismatch));
    }
    Ok(certificates.iter().map(|certificate| STANDARD.encode(certificate)).collect())
}

fn items(path: &Path) -> Result<Vec<Item>, Error> {
    let bytes = zeroize::Zeroizing::new(fs::read(path).map_err(Error::storage(path))?);
    let items: io::Result<Vec<Item>> = rustls_pemfile::read_all(&mut bytes.as_slice()).collect();
    items.map_err(|_| Error::key(path, KeyFault::Pem))
}

fn derive(secret: &[u8]) -> Result<hmac::Key, aws_lc_rs::error::Unspecified> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"breakwater").extract(secret);
    Ok(extracted.expand(&[b"refresh token, version 1"], hmac::HMAC_SHA256)?.into())
}

fn warn_if_readable_by_others(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(file.path = %path.display(), "the token signing key can be read by others than its owner");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/token.pem");
        (dir, path)
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn fault(outcome: Result<KeySet, Error>) -> KeyFault {
        match outcome {
            Err(Error::Key { fault, .. }) => fault,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        }
    }

    #[test]
    fn a_missing_key_is_made_once_for_the_owner_alone() {
        let (_dir, path) = directory();
        let made = KeySet::open(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(KeySet::open(&path, None).unwrap().first().kid(), made.first().kid());
    }

    #[test]
    fn a_key_is_the_same_in_pkcs8_and_in_sec1() {
        let (_dir, path) = directory();
        let first = KeySet::open(&path, None).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, first.first().encoding().as_bytes()).unwrap();
        let sec1: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&pair.private_key()).unwrap();
        fs::write(&path, pem("EC PRIVATE KEY", sec1.as_ref())).unwrap();
        let second = KeySet::read(&path, None).unwrap();
        assert_eq!(first.first().kid(), second.first().kid());
        let (one, two) = (hmac::sign(first.first().refresh(), b"x"), hmac::sign(second.first().refresh(), b"x"));
        assert_eq!(one.as_ref(), two.as_ref());
    }

    #[test]
    fn the_first_key_signs_and_all_are_published() {
        let (_dir, path) = directory();
        let old = KeySet::open(&path, None).unwrap();
        let new = rcgen::KeyPair::generate().unwrap();
        fs::write(&path, new.serialize_pem() + &fs::read_to_string(&path).unwrap()).unwrap();
        let both = KeySet::read(&path, None).unwrap();
        assert_ne!(both.first().kid(), old.first().kid());
        assert!(both.find(old.first().kid()).is_some());
        let jwks = both.jwks();
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
        assert_eq!((&jwks["keys"][1]["kid"], &jwks["keys"][1]["use"]), (&json!(old.first().kid()), &json!("sig")));
        assert!(jwks["keys"][0].get("d").is_none());
    }

    #[test]
    fn other_keys_and_empty_files_are_refused() {
        let (dir, _) = directory();
        let path = dir.path().join("token.pem");
        for (text, expected) in [
            (String::new(), KeyFault::Empty),
            ("-----BEGIN PRIVATE KEY-----\n!\n".into(), KeyFault::Pem),
            (rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem(), KeyFault::NotP256),
            (rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem(), KeyFault::NotP256),
            (pem("RSA PRIVATE KEY", b"\x30\x00"), KeyFault::NotP256),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(fault(KeySet::read(&path, None)), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_must_be_the_first_keys() {
        let (dir, path) = directory();
        KeySet::open(&path, None).unwrap();
        let pair = rcgen::KeyPair::from_pem(&fs::read_to_string(&path).unwrap()).unwrap();
        let params = rcgen::CertificateParams::new(vec!["registry".into()]).unwrap();
        let certificate = dir.path().join("token.crt");
        fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        assert_eq!(KeySet::read(&path, Some(&certificate)).unwrap().chain().unwrap().len(), 1);
        fs::write(&certificate, params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
        assert_eq!(fault(KeySet::read(&path, Some(&certificate))), KeyFault::Mismatch);
    }
}
