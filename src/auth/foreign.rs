//! Tokens issued elsewhere (`auth.token`): which keys are trusted, and which of them a token means.
//!
//! Invariant: a key that a token brings along counts only when the configured bundle vouches for it, or when it is itself among
//! the trusted; nothing is ever fetched. An algorithm is good only for keys of its kind.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, Header};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use super::ForeignTokenOptions;
use super::claims::{self, Memory, Verified};
use super::error::{Error, KeyFault, TokenFault};
use super::keys;
use super::public_key::PublicKey;
use super::trusted_keys::{self, TrustedKey, TrustedKeys};
use crate::blocking;

/// The verifier of foreign tokens.
pub(super) struct ForeignTokens {
    options: ForeignTokenOptions,
    algorithms: Vec<Algorithm>,
    trusted: ArcSwap<Trusted>,
}

/// What one reading of the files gave, and the tokens it verified.
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    keys: TrustedKeys,
    memory: Memory,
}

/// Extended key usage does not matter here: registry:2 takes any.
struct AnyUsage;

impl ForeignTokens {
    /// Reads the trusted keys.
    pub(super) async fn open(options: &ForeignTokenOptions) -> Result<Self, Error> {
        let algorithms = algorithms(&options.signing_algorithms)?;
        let trusted = Trusted::read(options).await?;
        Ok(Self { options: options.clone(), algorithms, trusted: ArcSwap::from_pointee(trusted) })
    }

    /// Reads the trusted keys again; bad files leave the old in force.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        self.trusted.store(Arc::new(Trusted::read(&self.options).await?));
        Ok(())
    }

    pub(super) fn options(&self) -> &ForeignTokenOptions {
        &self.options
    }

    /// What a good token says.
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Verified>, TokenFault> {
        let trusted = self.trusted.load();
        trusted.memory.recall(token, now, || self.examine(&trusted, token, now))
    }

    fn examine(&self, trusted: &Trusted, token: &str, now: SystemTime) -> Result<Verified, TokenFault> {
        let header = claims::header(token)?;
        let chosen = trusted.choose(&header, now).ok_or(TokenFault::UnknownKey)?;
        if !chosen.fits(header.alg) || !self.algorithms.contains(&header.alg) {
            return Err(TokenFault::Algorithm);
        }
        let claims = claims::signed_claims(token, &header, &chosen.decoding_key())?;
        claims.accept(&self.options.issuer, &self.options.service, now)
    }
}

impl Trusted {
    async fn read(options: &ForeignTokenOptions) -> Result<Self, Error> {
        let (bundle, jwks) = (options.root_cert_bundle.clone(), options.jwks.clone());
        if bundle.is_none() && jwks.is_none() {
            return Err(Error::NoTrustedKeys);
        }
        blocking::run(move || Self::of_files(bundle.as_deref(), jwks.as_deref())).await
    }

    fn of_files(bundle: Option<&Path>, jwks: Option<&Path>) -> Result<Self, Error> {
        let mut trusted = Self { certificates: Vec::new(), keys: TrustedKeys::default(), memory: Memory::new() };
        if let Some(path) = bundle {
            trusted.certificates = keys::certificates(path)?;
            for certificate in &trusted.certificates {
                EndEntityCert::try_from(certificate).map_err(|_| Error::key(path, KeyFault::Certificate))?;
            }
            let found: Vec<PublicKey> = trusted.certificates.iter().filter_map(PublicKey::of_certificate).collect();
            found.into_iter().for_each(|key| trusted.keys.add(TrustedKey::of(key)));
        }
        if let Some(path) = jwks {
            trusted_keys::read_file(path)?.into_iter().for_each(|key| trusted.keys.add(key));
        }
        Ok(trusted)
    }

    /// The key a token means: by its chain, by the key it shows, by id; without any, the only one there is.
    fn choose(&self, header: &Header, now: SystemTime) -> Option<Cow<'_, TrustedKey>> {
        if let Some(chain) = &header.x5c
            && let Some(key) = self.key_of_chain(chain, now)
        {
            return Some(Cow::Owned(TrustedKey::of(key)));
        }
        if let Some(shown) = header.jwk.as_ref().and_then(PublicKey::of_jwk)
            && let Some(known) = self.keys.find(&shown)
        {
            return Some(Cow::Borrowed(known));
        }
        self.keys.choose(header).map(Cow::Borrowed)
    }

    /// The key of the leaf, when it is one of the bundle or is signed by one.
    fn key_of_chain(&self, chain: &[String], now: SystemTime) -> Option<PublicKey> {
        if chain.len() > MAX_CHAIN || self.certificates.is_empty() {
            return None;
        }
        let decode = |text: &String| STANDARD.decode(text).ok().map(CertificateDer::from);
        let chain: Vec<CertificateDer<'static>> = chain.iter().map(decode).collect::<Option<_>>()?;
        let (leaf, intermediates) = chain.split_first()?;
        // A self-signed CA that is its own leaf is the usual issuer, and webpki refuses a CA as leaf: so compare first.
        if !self.certificates.contains(leaf) {
            self.check_path(leaf, intermediates, now)?;
        }
        PublicKey::of_certificate(leaf)
    }

    fn check_path(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], now: SystemTime) -> Option<()> {
        let anchors: Vec<TrustAnchor<'_>> =
            self.certificates.iter().filter_map(|certificate| webpki::anchor_from_trusted_cert(certificate).ok()).collect();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let time = UnixTime::since_unix_epoch(since);
        let leaf = EndEntityCert::try_from(leaf).ok()?;
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, intermediates, time, AnyUsage, None, None).ok()?;
        Some(())
    }
}

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Reads certificates and key sets as a start would, and keeps nothing. Blocks.
pub fn check_trusted_keys(bundle: Option<&Path>, jwks: Option<&Path>) -> Result<(), Error> {
    Trusted::of_files(bundle, jwks).map(drop)
}

/// Whether any of the configured algorithms verifies tokens.
pub fn check_algorithms(names: &[String]) -> Result<(), Error> {
    algorithms(names).map(drop)
}

/// The algorithms of the configuration; symmetric ones, and ES512, are known to registry:2 and of no use here.
fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, Error> {
    if names.is_empty() {
        return Ok(ASYMMETRIC.to_vec());
    }
    let mut chosen = Vec::new();
    for name in names {
        match name.parse::<Algorithm>() {
            Ok(algorithm) if ASYMMETRIC.contains(&algorithm) => chosen.push(algorithm),
            Ok(_) => tracing::warn!(algorithm = name, "symmetric algorithms verify no tokens here"),
            Err(_) if name == "ES512" => tracing::warn!(algorithm = name, "this algorithm is not supported"),
            Err(_) => return Err(Error::Algorithm(name.clone())),
        }
    }
    if chosen.is_empty() { Err(Error::Algorithm(names.join(", "))) } else { Ok(chosen) }
}

const ASYMMETRIC: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
/// The most certificates a token may bring: each is a signature that anybody can make us check.
const MAX_CHAIN: usize = 5;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use jsonwebtoken::EncodingKey;
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData as _};
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::identity::{Action, Caller, Identity, Resource, Rights, Source};
    use crate::auth::policy::{self, Decision};

    /// An issuer with a self-signed CA certificate, which is the usual case.
    struct Somebody {
        pair: KeyPair,
        params: CertificateParams,
        der: CertificateDer<'static>,
        pem: String,
    }

    impl Somebody {
        fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let mut params = CertificateParams::new(vec!["issuer".into()]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&pair).unwrap();
            Self { pem: certificate.pem(), der: certificate.der().clone(), pair, params }
        }

        fn key(&self) -> PublicKey {
            PublicKey::of_spki(&self.pair.subject_public_key_info()).unwrap()
        }

        fn jwk(&self, extra: Value) -> Value {
            let mut jwk = self.key().members();
            for (name, value) in extra.as_object().unwrap() {
                jwk[name] = value.clone();
            }
            jwk
        }

        fn sign(&self, header: &Header) -> String {
            let der = self.pair.serialized_der();
            let key = match self.key() {
                PublicKey::Rsa { .. } => EncodingKey::from_rsa_pem(self.pair.serialize_pem().as_bytes()).unwrap(),
                PublicKey::Ed25519(_) => EncodingKey::from_ed_der(der),
                PublicKey::P256(_) | PublicKey::P384(_) => EncodingKey::from_ec_der(der),
            };
            jsonwebtoken::encode(header, &claims(), &key).unwrap()
        }

        fn leaf(&self, pair: &KeyPair, usage: Option<ExtendedKeyUsagePurpose>) -> String {
            let mut params = CertificateParams::new(vec!["leaf".into()]).unwrap();
            params.extended_key_usages.extend(usage);
            let leaf = params.signed_by(pair, &Issuer::from_params(&self.params, &self.pair)).unwrap();
            STANDARD.encode(leaf.der())
        }
    }

    fn now() -> SystemTime {
        SystemTime::now()
    }

    fn claims() -> Value {
        let seconds = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let access = json!([{"type": "repository", "name": "a", "actions": ["pull"]}]);
        json!({"iss": "them", "sub": "alice", "aud": ["us", "others"], "exp": seconds + 300, "nbf": seconds, "access": access})
    }

    fn by_kid(algorithm: Algorithm, kid: &str) -> Header {
        Header { kid: Some(kid.into()), ..Header::new(algorithm) }
    }

    fn by_chain(chain: Vec<String>) -> Header {
        Header { x5c: Some(chain), ..Header::new(Algorithm::ES256) }
    }

    async fn verifier(bundle: Option<&str>, jwks: Option<Value>, names: &[&str]) -> Result<(tempfile::TempDir, ForeignTokens), Error> {
        let dir = tempfile::tempdir().unwrap();
        let keep = |name: &str, text: String| -> PathBuf {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let options = ForeignTokenOptions {
            realm: "https://them/token".into(),
            service: "us".into(),
            issuer: "them".into(),
            root_cert_bundle: bundle.map(|text| keep("bundle.pem", text.into())),
            jwks: jwks.map(|keys| keep("jwks.json", json!({ "keys": keys }).to_string())),
            signing_algorithms: names.iter().map(ToString::to_string).collect(),
            auto_redirect: None,
        };
        let opened = ForeignTokens::open(&options).await?;
        Ok((dir, opened))
    }

    fn fault(outcome: Result<Arc<Verified>, TokenFault>) -> TokenFault {
        outcome.expect_err("must be refused")
    }

    #[tokio::test]
    async fn every_kind_of_key_verifies_by_either_id_by_its_own_kid_and_by_none() {
        for (kind, algorithm) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
            (&rcgen::PKCS_ED25519, Algorithm::EdDSA),
            (&rcgen::PKCS_RSA_SHA256, Algorithm::RS256),
            (&rcgen::PKCS_RSA_SHA256, Algorithm::RS384),
            (&rcgen::PKCS_RSA_SHA256, Algorithm::PS512),
        ] {
            let them = Somebody::new(kind);
            let (_a, bundled) = verifier(Some(&them.pem), None, &[]).await.unwrap();
            let (_b, listed) = verifier(None, Some(json!([them.jwk(json!({"kid": "mine", "use": "sig"}))])), &[]).await.unwrap();
            for kid in [them.key().thumbprint(), them.key().libtrust_id().unwrap()] {
                let token = them.sign(&by_kid(algorithm, &kid));
                let verified = bundled.verify(&token, now()).unwrap();
                assert_eq!(verified.subject(), "alice");
                let source = Source::direct(std::net::Ipv4Addr::LOCALHOST.into());
                let caller = Caller::new(Identity::Anonymous, Rights::Foreign(verified.scopes()), Arc::default(), source);
                let decide = |action| policy::decide(&caller, &Resource::Repository(&"a".parse().unwrap()), action);
                assert_eq!((decide(Action::Pull), decide(Action::Push)), (Decision::Allowed, Decision::InsufficientScope));
                assert!(listed.verify(&token, now()).is_ok(), "{algorithm:?}");
            }
            assert!(listed.verify(&them.sign(&by_kid(algorithm, "mine")), now()).is_ok());
            assert!(bundled.verify(&them.sign(&Header::new(algorithm)), now()).is_ok());
        }
    }

    #[tokio::test]
    async fn a_chain_counts_when_its_leaf_is_in_the_bundle_or_signed_by_it() {
        let them = Somebody::new(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_dir, verifier) = verifier(Some(&them.pem), None, &[]).await.unwrap();
        assert!(verifier.verify(&them.sign(&by_chain(vec![STANDARD.encode(&them.der)])), now()).is_ok());
        let other = Somebody::new(&rcgen::PKCS_ECDSA_P256_SHA256);
        for usage in [
            None,
            Some(ExtendedKeyUsagePurpose::ServerAuth),
            Some(ExtendedKeyUsagePurpose::ClientAuth),
            Some(ExtendedKeyUsagePurpose::CodeSigning),
        ] {
            let token = other.sign(&by_chain(vec![them.leaf(&other.pair, usage)]));
            assert!(verifier.verify(&token, now()).is_ok());
        }
    }

    #[tokio::test]
    async fn a_chain_of_ones_own_making_is_refused() {
        let them = Somebody::new(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_dir, verifier) = verifier(Some(&them.pem), None, &[]).await.unwrap();
        let thief = Somebody::new(&rcgen::PKCS_ECDSA_P256_SHA256);
        let pair = KeyPair::generate().unwrap();
        for chain in [
            vec![STANDARD.encode(&thief.der)],
            vec![thief.leaf(&pair, None), STANDARD.encode(&thief.der)],
            vec![STANDARD.encode(&thief.der), STANDARD.encode(&them.der)],
            vec![STANDARD.encode(&them.der)],
            vec!["!".into()],
            vec![],
            vec![STANDARD.encode(&them.der); MAX_CHAIN + 1],
        ] {
            assert_eq!(fault(verifier.verify(&thief.sign(&by_chain(chain)), now())), TokenFault::Signature);
        }
    }

    #[tokio::test]
    async fn a_key_that_a_token_brings_counts_only_when_it_is_trusted_already() {
        let (them, thief) = (Somebody::new(&rcgen::PKCS_ECDSA_P256_SHA256), Somebody::new(&rcgen::PKCS_ECDSA_P256_SHA256));
        let second = Somebody::new(&rcgen::PKCS_ED25519);
        let (_dir, verifier) = verifier(None, Some(json!([them.jwk(json!({})), second.jwk(json!({}))])), &[]).await.unwrap();
        let shown = |who: &Somebody| Header { jwk: serde_json::from_value(who.jwk(json!({}))).unwrap(), ..Header::new(Algorithm::ES256) };
        assert!(verifier.verify(&them.sign(&shown(&them)), now()).is_ok());
        assert_eq!(fault(verifier.verify(&thief.sign(&shown(&thief)), now())), TokenFault::UnknownKey);
        assert_eq!(fault(verifier.verify(&thief.sign(&shown(&them)), now())), TokenFault::Signature);
        let linked = Header { jku: Some("https://thief/".into()), x5u: Some("https://thief/".into()), ..Header::new(Algorithm::ES256) };
        assert_eq!(fault(verifier.verify(&thief.sign(&linked), now())), TokenFault::UnknownKey);
        assert_eq!(
            fault(verifier.verify(&them.sign(&Header::new(Algorithm::ES256)), now())),
            TokenFault::UnknownKey,
            "two keys and no kid"
        );
    }

    #[tokio::test]
    async fn an_algorithm_is_bound_to_its_key_and_to_the_configuration() {
        let (rsa, ec) = (Somebody::new(&rcgen::PKCS_RSA_SHA256), Somebody::new(&rcgen::PKCS_ECDSA_P256_SHA256));
        let listed = json!([rsa.jwk(json!({"kid": "r", "alg": "RS256"})), ec.jwk(json!({"kid": "e"}))]);
        let (_dir, verifier) = verifier(None, Some(listed), &["RS256", "RS512", "HS256"]).await.unwrap();
        assert!(verifier.verify(&rsa.sign(&by_kid(Algorithm::RS256, "r")), now()).is_ok());
        assert_eq!(fault(verifier.verify(&rsa.sign(&by_kid(Algorithm::RS512, "r")), now())), TokenFault::Algorithm);
        assert_eq!(fault(verifier.verify(&rsa.sign(&by_kid(Algorithm::RS256, "e")), now())), TokenFault::Algorithm);
        assert_eq!(fault(verifier.verify(&ec.sign(&by_kid(Algorithm::ES256, "e")), now())), TokenFault::Algorithm);
        for secret in [rsa.pair.public_key_pem().into_bytes(), rsa.pair.subject_public_key_info(), rsa.pair.public_key_raw().to_vec()] {
            let token = jsonwebtoken::encode(&by_kid(Algorithm::HS256, "r"), &claims(), &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(fault(verifier.verify(&token, now())), TokenFault::Algorithm);
        }
    }

    #[tokio::test]
    async fn a_start_without_usable_keys_or_algorithms_fails() {
        let them = Somebody::new(&rcgen::PKCS_ED25519);
        let fault = |outcome: Result<_, Error>| match outcome {
            Err(Error::Key { fault, .. }) => Some(fault),
            _ => None,
        };
        assert!(matches!(verifier(None, None, &[]).await, Err(Error::NoTrustedKeys)));
        assert_eq!(fault(verifier(Some(""), None, &[]).await), Some(KeyFault::Empty));
        assert_eq!(fault(verifier(None, Some(json!("x")), &[]).await), Some(KeyFault::KeySet));
        let useless = json!([{"kty": "oct", "k": "c2VjcmV0"}, them.jwk(json!({"use": "enc"})), {"kty": "RSA"}, 7]);
        assert_eq!(fault(verifier(None, Some(useless), &[]).await), Some(KeyFault::Empty));
        for names in [["RS257"], ["HS256"], ["none"]] {
            assert!(matches!(verifier(Some(&them.pem), None, &names).await, Err(Error::Algorithm(_))), "{names:?}");
        }
    }

    #[tokio::test]
    async fn a_reload_forgets_what_old_keys_verified_and_a_bad_file_changes_nothing() {
        let (old, new) = (Somebody::new(&rcgen::PKCS_ED25519), Somebody::new(&rcgen::PKCS_ED25519));
        let (dir, verifier) = verifier(Some(&old.pem), None, &[]).await.unwrap();
        let token = old.sign(&Header::new(Algorithm::EdDSA));
        assert!(verifier.verify(&token, now()).is_ok());
        fs::write(dir.path().join("bundle.pem"), "nothing").unwrap();
        assert!(verifier.reload().await.is_err());
        assert!(verifier.verify(&token, now()).is_ok());
        fs::write(dir.path().join("bundle.pem"), &new.pem).unwrap();
        verifier.reload().await.unwrap();
        assert_eq!(fault(verifier.verify(&token, now())), TokenFault::Signature);
        assert_eq!(
            fault(verifier.verify(&new.sign(&Header::new(Algorithm::EdDSA)), now() + Duration::from_secs(500))),
            TokenFault::Expired
        );
    }
}
