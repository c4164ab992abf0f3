//! The keys that our own tokens are signed and verified with, as they lie in a PEM file.
//!
//! A line `# retires TIME` (RFC 3339) before a key says until when it verifies; [`rotate`] writes it. Invariant: a [`KeySet`] has at
//! least one key; the first signs, all verify until they retire.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls::pki_types::CertificateDer;
use rustls_pemfile::Item;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::claims::Date;
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
    /// From when on it verifies no more; never for the first.
    retires: Option<Date>,
}

impl SigningKey {
    /// From DER, PKCS#8 or SEC1.
    fn of_der(der: &[u8], retires: Option<Date>) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| KeyFault::NotP256)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyFault::NotP256)?;
        let public = PublicKey::P256(pair.public_key().as_ref().to_vec());
        Ok(Self {
            kid: public.thumbprint(),
            encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            decoding: public.decoding_key(),
            public,
            retires,
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

    /// From when on it verifies no more.
    pub(super) fn retires(&self) -> Option<Date> {
        self.retires
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.retires.is_none_or(|end| Date::of(now) < end)
    }
}

impl KeySet {
    /// Makes the key file when there is none. Blocks.
    pub(super) fn make(path: &Path) -> Result<(), Error> {
        if !path.try_exists().map_err(Error::storage(path))? {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Crypto)?;
            whole_file::replace(path, pair.serialize_pem().as_bytes(), PRIVATE).map_err(Error::storage(path))?;
            tracing::info!(file.path = %path.display(), "made a key to sign tokens with");
        }
        Ok(())
    }

    /// Reads the keys, and the chain of the first one. Blocks.
    pub(super) fn read(path: &Path, certificate: Option<&Path>) -> Result<Self, Error> {
        let mut keys: Vec<SigningKey> = Vec::new();
        for section in sections(&read(path)?) {
            let retires = retirement(section).filter(|_| !keys.is_empty());
            for item in items_of(section.as_bytes(), path)? {
                let key = match &item {
                    Item::Pkcs8Key(key) => SigningKey::of_der(key.secret_pkcs8_der(), retires),
                    Item::Sec1Key(key) => SigningKey::of_der(key.secret_sec1_der(), retires),
                    Item::Pkcs1Key(_) => Err(KeyFault::NotP256),
                    _ => continue,
                };
                keys.push(key.map_err(|fault| Error::key(path, fault))?);
            }
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

    /// The key of that id, until it retires.
    pub(super) fn find(&self, kid: &str, now: SystemTime) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid == kid && key.is_good(now))
    }

    /// The certificates of the first key, as `x5c` wants them.
    pub(super) fn chain(&self) -> Option<&[String]> {
        self.chain.as_deref()
    }

    /// The public halves of those that verify, as a JWK set.
    pub(super) fn jwks(&self, now: SystemTime) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .filter(|key| key.is_good(now))
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

/// Reads the keys as a start would, and keeps nothing. Blocks.
pub fn check_signing_keys(path: &Path, certificate: Option<&Path>) -> Result<(), Error> {
    KeySet::read(path, certificate).map(drop)
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

/// Puts a new key in front; those before it verify for so much longer, and those that have retired go. Replaces the file in one
/// step; the id of the new key. Blocks.
pub fn rotate(path: &Path, overlap: Duration, now: SystemTime) -> Result<String, Error> {
    let _alone = lock(path).map_err(Error::storage(path))?;
    KeySet::read(path, None)?;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Crypto)?;
    let mut text = zeroize::Zeroizing::new(pair.serialize_pem());
    let end = Date::of(now + overlap);
    let mut signs = true;
    for section in sections(&read(path)?).filter(|section| section.contains(BEGIN)) {
        let key = &section[section.find(BEGIN).unwrap_or_default()..];
        // The key that signs has no end so far, whatever stands before it.
        let known = retirement(section).filter(|_| !signs);
        signs &= !key.contains("PRIVATE KEY-----");
        match known {
            Some(retires) if retires <= Date::of(now) => continue,
            known => text.push_str(&format!("{RETIRES}{}\n{key}\n", known.filter(|known| *known < end).unwrap_or(end))),
        }
    }
    whole_file::replace(path, text.as_bytes(), PRIVATE).map_err(Error::storage(path))?;
    Ok(KeySet::read(path, None)?.first().kid().to_owned())
}

/// Waits until nobody else changes the file, and keeps others out until it is dropped. What was opened may have been replaced by then.
fn lock(path: &Path) -> io::Result<File> {
    loop {
        let file = File::open(path)?;
        file.lock()?;
        let (locked, current) = (file.metadata()?, fs::metadata(path)?);
        if (locked.dev(), locked.ino()) == (current.dev(), current.ino()) {
            return Ok(file);
        }
    }
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<String>, Error> {
    fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(Error::storage(path))
}

/// The text up to the end of each PEM block, with what stands before it; and what is left.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.find("-----END ").map_or(rest.len(), |start| start + rest[start..].find('\n').unwrap_or(rest.len() - start));
        let section;
        (section, rest) = rest.split_at(end);
        (!section.trim().is_empty()).then_some(section)
    })
}

/// What the last line before a block says of its end.
fn retirement(section: &str) -> Option<Date> {
    let line = section.lines().filter_map(|line| line.strip_prefix(RETIRES)).next_back()?;
    let time = OffsetDateTime::parse(line.trim(), &Rfc3339).ok()?;
    Some(Date(u64::try_from(time.unix_timestamp()).unwrap_or_default()))
}

fn items(path: &Path) -> Result<Vec<Item>, Error> {
    let bytes = zeroize::Zeroizing::new(fs::read(path).map_err(Error::storage(path))?);
    items_of(&bytes, path)
}

fn items_of(mut pem: &[u8], path: &Path) -> Result<Vec<Item>, Error> {
    let items: io::Result<Vec<Item>> = rustls_pemfile::read_all(&mut pem).collect();
    items.map_err(|_| Error::key(path, KeyFault::Pem))
}

const BEGIN: &str = "-----BEGIN ";
const RETIRES: &str = "# retires ";

fn warn_if_readable_by_others(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(file.path = %path.display(), "the token signing key can be read by others than its owner");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(path: &Path) -> KeySet {
        KeySet::make(path).unwrap();
        KeySet::read(path, None).unwrap()
    }

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
        let first = made(&path);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(made(&path).first().kid(), first.first().kid());
    }

    #[test]
    fn a_key_is_the_same_in_pkcs8_and_in_sec1() {
        let (_dir, path) = directory();
        let first = made(&path);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, first.first().encoding().as_bytes()).unwrap();
        let sec1: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&pair.private_key()).unwrap();
        fs::write(&path, pem("EC PRIVATE KEY", sec1.as_ref())).unwrap();
        let second = KeySet::read(&path, None).unwrap();
        assert_eq!(first.first().kid(), second.first().kid());
    }

    #[test]
    fn the_first_key_signs_and_all_are_published() {
        let (_dir, path) = directory();
        let old = made(&path);
        let new = rcgen::KeyPair::generate().unwrap();
        fs::write(&path, new.serialize_pem() + &fs::read_to_string(&path).unwrap()).unwrap();
        let both = KeySet::read(&path, None).unwrap();
        assert_ne!(both.first().kid(), old.first().kid());
        assert!(both.find(old.first().kid(), SystemTime::now()).is_some());
        let jwks = both.jwks(SystemTime::now());
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
        assert_eq!((&jwks["keys"][1]["kid"], &jwks["keys"][1]["use"]), (&json!(old.first().kid()), &json!("sig")));
        assert!(jwks["keys"][0].get("d").is_none());
    }

    #[test]
    fn a_rotation_puts_a_new_key_in_front_and_keeps_the_old_for_a_while() {
        let (_dir, path) = directory();
        let first = made(&path).first().kid().to_owned();
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds);
        let second = rotate(&path, Duration::from_secs(600), at(0)).unwrap();
        let keys = KeySet::read(&path, None).unwrap();
        assert_eq!(keys.first().kid(), second);
        assert!(keys.find(&first, at(599)).is_some() && keys.find(&first, at(600)).is_none());
        assert_eq!(keys.jwks(at(599))["keys"].as_array().unwrap().len(), 2);
        assert_eq!(keys.jwks(at(600))["keys"].as_array().unwrap().len(), 1);
        let third = rotate(&path, Duration::from_secs(600), at(300)).unwrap();
        let keys = KeySet::read(&path, None).unwrap();
        assert!(keys.find(&first, at(599)).is_some() && keys.find(&first, at(600)).is_none(), "the first end stands");
        assert!(keys.find(&second, at(899)).is_some() && keys.find(&second, at(900)).is_none());
        let fourth = rotate(&path, Duration::from_secs(600), at(950)).unwrap();
        let kids: Vec<String> = KeySet::read(&path, None).unwrap().keys.iter().map(|key| key.kid.clone()).collect();
        assert_eq!(kids, [fourth, third], "what has retired is gone");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_signs_outlives_a_rotation_whatever_was_written_before_it() {
        let (_dir, path) = directory();
        let first = made(&path).first().kid().to_owned();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        // Somebody went back to a key that had been rotated away, and left its line.
        fs::write(&path, format!("{RETIRES}2001-01-01T00:00:00Z\n{}", fs::read_to_string(&path).unwrap())).unwrap();
        rotate(&path, Duration::from_secs(600), now).unwrap();
        let keys = KeySet::read(&path, None).unwrap();
        assert!(keys.find(&first, now + Duration::from_secs(599)).is_some());
        assert!(keys.find(&first, now + Duration::from_secs(600)).is_none());
    }

    #[test]
    fn of_rotations_at_once_none_undoes_another() {
        let (_dir, path) = directory();
        made(&path);
        let now = SystemTime::now();
        let made: Vec<String> = std::thread::scope(|scope| {
            let rotations: Vec<_> = (0..16).map(|_| scope.spawn(|| rotate(&path, Duration::from_secs(600), now).unwrap())).collect();
            rotations.into_iter().map(|rotation| rotation.join().unwrap()).collect()
        });
        let keys = KeySet::read(&path, None).unwrap();
        assert!(made.iter().all(|kid| keys.find(kid, now).is_some()), "{} keys of 17 are left", keys.keys.len());
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
        made(&path);
        let pair = rcgen::KeyPair::from_pem(&fs::read_to_string(&path).unwrap()).unwrap();
        let params = rcgen::CertificateParams::new(vec!["registry".into()]).unwrap();
        let certificate = dir.path().join("token.crt");
        fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        assert_eq!(KeySet::read(&path, Some(&certificate)).unwrap().chain().unwrap().len(), 1);
        fs::write(&certificate, params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
        assert_eq!(fault(KeySet::read(&path, Some(&certificate))), KeyFault::Mismatch);
    }
}
