//! Public keys that tokens are verified with: their forms (certificate, JWK), their ids, and the algorithms they are good for.
//!
//! Invariant: a key verifies only algorithms of its own kind; there is no symmetric key.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

/// A public key of a kind we verify with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// The key of a certificate; `None` for one that does not parse or holds another kind.
    pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        Self::of_spki(&parsed.subject_public_key_info())
    }

    /// The key of a DER SubjectPublicKeyInfo.
    pub(super) fn of_spki(spki: &[u8]) -> Option<Self> {
        let tail = |prefix: &[u8], length: usize| spki.strip_prefix(prefix).filter(|key| key.len() == length).map(<[u8]>::to_vec);
        if let Some(point) = tail(&P256_PREFIX, 65) {
            return Some(Self::P256(point));
        }
        if let Some(point) = tail(&P384_PREFIX, 97) {
            return Some(Self::P384(point));
        }
        if let Some(key) = tail(&ED25519_PREFIX, 32) {
            return Some(Self::Ed25519(key));
        }
        let key = aws_lc_rs::rsa::PublicKey::from_der(spki).ok()?;
        Self::rsa(key.modulus().big_endian_without_leading_zero(), key.exponent().big_endian_without_leading_zero())
    }

    /// The key of a JWK; `None` for a symmetric one or an unknown kind.
    pub(super) fn of_jwk(jwk: &Jwk) -> Option<Self> {
        match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) => {
                let (x, y) = (decode(&key.x)?, decode(&key.y)?);
                let point = |length: usize| (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat());
                match key.curve {
                    EllipticCurve::P256 => point(32).map(Self::P256),
                    EllipticCurve::P384 => point(48).map(Self::P384),
                    _ => None,
                }
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                decode(&key.x).filter(|key| key.len() == 32).map(Self::Ed25519)
            }
            AlgorithmParameters::RSA(key) => Self::rsa(&decode(&key.n)?, &decode(&key.e)?),
            _ => None,
        }
    }

    fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let trim = |number: &[u8]| number.iter().position(|byte| *byte != 0).map(|start| number[start..].to_vec());
        Some(Self::Rsa { n: trim(n)?, e: trim(e)? })
    }

    /// Whether tokens of that algorithm may be verified with this key.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::P256(_) => algorithm == Algorithm::ES256,
            Self::P384(_) => algorithm == Algorithm::ES384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDSA,
            Self::Rsa { .. } => RSA_ALGORITHMS.contains(&algorithm),
        }
    }

    /// The form in which the JWT library takes it.
    pub(super) fn decoding_key(&self) -> DecodingKey {
        match self {
            Self::P256(point) | Self::P384(point) => DecodingKey::from_ec_der(point),
            Self::Ed25519(key) => DecodingKey::from_ed_der(key),
            Self::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
        }
    }

    /// The members of RFC 7638, which are all that is required in a JWK.
    pub(super) fn members(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({"crv": name, "kty": "EC", "x": text(x), "y": text(y)})
        };
        match self {
            Self::P256(point) => curve("P-256", point),
            Self::P384(point) => curve("P-384", point),
            Self::Ed25519(key) => json!({"crv": "Ed25519", "kty": "OKP", "x": text(key)}),
            Self::Rsa { n, e } => json!({"e": text(e), "kty": "RSA", "n": text(n)}),
        }
    }

    /// The key id of distribution 3: RFC 7638 with SHA-256.
    pub(super) fn thumbprint(&self) -> String {
        // The members are written in lexicographic order and without blanks, as section 3 demands.
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.canonical_members().as_bytes()))
    }

    /// The key id of registry:2: the first 240 bits of SHA-256 over the SubjectPublicKeyInfo in base32, by fours.
    pub(super) fn libtrust_id(&self) -> Option<String> {
        let spki = self.spki()?;
        let hash = digest(&SHA256, &spki);
        let letters = base32(&hash.as_ref()[..30]);
        let groups: Vec<&str> = (0..letters.len()).step_by(4).map(|start| &letters[start..start + 4]).collect();
        Some(groups.join(":"))
    }

    fn canonical_members(&self) -> String {
        let members = self.members();
        let member = |name: &str| members.get(name).map(|value| format!("\"{name}\":{value}"));
        let present: Vec<String> = ["crv", "e", "kty", "n", "x", "y"].into_iter().filter_map(member).collect();
        format!("{{{}}}", present.join(","))
    }

    fn spki(&self) -> Option<Vec<u8>> {
        match self {
            Self::P256(point) => Some([&P256_PREFIX, point.as_slice()].concat()),
            Self::P384(point) => Some([&P384_PREFIX, point.as_slice()].concat()),
            Self::Ed25519(key) => Some([&ED25519_PREFIX, key.as_slice()].concat()),
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.as_der().ok().map(|der| der.as_ref().to_vec()),
        }
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Base32 of RFC 4648 for a multiple of five bytes, which needs no padding.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 5 * 8);
    for chunk in bytes.chunks_exact(5) {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        text.extend((0..8).rev().map(|place| char::from(BASE32[(bits >> (place * 5) & 31) as usize])));
    }
    text
}

const RSA_ALGORITHMS: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// A SubjectPublicKeyInfo up to its key (RFC 5480, RFC 8410): these kinds have but one encoding.
const P256_PREFIX: [u8; 26] = *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_PREFIX: [u8; 23] = *b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
const ED25519_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;

    use super::*;

    fn jwk(value: Value) -> Jwk {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_thumbprint_of_the_rfc_is_the_rfcs() {
        // RFC 7638, section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::of_jwk(&jwk(json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}))).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(key.allows(Algorithm::PS512) && !key.allows(Algorithm::ES256) && !key.allows(Algorithm::HS256));
    }

    #[test]
    fn the_thumbprint_of_an_ed25519_key_is_the_rfcs() {
        // RFC 8037, appendix A.3.
        let key =
            PublicKey::of_jwk(&jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}))).unwrap();
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        // RFC 4648, section 10, whole groups only.
        assert_eq!((base32(b"fooba").as_str(), base32(b"foobafooba").as_str()), ("MZXW6YTB", "MZXW6YTBMZXW6YTB"));
    }

    #[test]
    fn a_libtrust_id_is_twelve_groups_of_four_over_the_der_key() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256] {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let spki = pair.subject_public_key_info();
            let key = PublicKey::of_spki(&spki).unwrap();
            assert_eq!(key.spki().unwrap(), spki, "the encoding is the certificate's");
            let id = key.libtrust_id().unwrap();
            assert_eq!((id.len(), id.split(':').count()), (59, 12));
            assert_eq!(id.replace(':', ""), base32(&digest(&SHA256, &spki).as_ref()[..30]));
        }
    }

    #[test]
    fn the_libtrust_id_of_a_known_key_is_what_other_programs_say() {
        let key = PublicKey::of_jwk(&jwk(json!({
            "kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })))
        .unwrap();
        assert_eq!(key.libtrust_id().unwrap(), "FPI3:WDCE:VCL4:GCT2:UCMR:ZXRY:3ADC:7ZCB:3ZIN:UD2G:QJJU:J5QC");
        assert_eq!(key.thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    }

    #[test]
    fn a_key_survives_the_way_through_a_jwk() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256] {
            let key = PublicKey::of_spki(&rcgen::KeyPair::generate_for(algorithm).unwrap().subject_public_key_info()).unwrap();
            assert!(PublicKey::of_jwk(&jwk(key.members())).unwrap() == key);
        }
    }

    #[test]
    fn symmetric_short_and_unknown_keys_are_none() {
        for value in [
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            json!({"kty": "RSA", "n": "", "e": "AQAB"}),
            json!({"kty": "AKP", "pub": "AAAA"}),
        ] {
            assert!(PublicKey::of_jwk(&jwk(value.clone())).is_none(), "{value}");
        }
        assert!(PublicKey::of_spki(b"\x30\x00").is_none());
    }
}
