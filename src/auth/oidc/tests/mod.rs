//! Issuers whose tokens are good and bad: keys in files, and a server on this machine that answers as it is told.

mod discovery;
mod fetching;
mod server;
mod tokens;

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::{ClaimName, Condition, IssuerUrl, Issuers, OidcKeys, OidcOptions, UserTemplate};
use crate::auth::Pattern;
use crate::auth::public_key::PublicKey;

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

/// Somebody with a key.
struct Signer {
    pair: KeyPair,
    algorithm: Algorithm,
    kid: String,
}

impl Signer {
    fn new(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { pair, algorithm: Algorithm::ES256, kid: kid.into() }
    }

    fn rsa(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        Self { pair, algorithm: Algorithm::RS256, kid: kid.into() }
    }

    fn jwk(&self) -> Value {
        let mut jwk = PublicKey::of_spki(&self.pair.subject_public_key_info()).unwrap().members();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_under(&self.header(), claims)
    }

    fn sign_under(&self, header: &Header, claims: &Value) -> String {
        let key = match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(self.pair.serialize_pem().as_bytes()).unwrap(),
            _ => EncodingKey::from_ec_der(self.pair.serialized_der()),
        };
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }
}

fn set_of(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

/// The claims of a good token, with changes; null takes one away.
fn claims(issuer: &str, changes: Value) -> Value {
    let mut claims = json!({
        "iss": issuer, "aud": "registry.example.com", "exp": NOW + 300, "nbf": NOW - 5, "iat": NOW - 5,
        "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "repository_owner": "acme",
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn entry(name: &str, issuer: &str, keys: OidcKeys, conditions: &[(&str, &str)]) -> OidcOptions {
    let condition =
        |(claim, pattern): &(&str, &str)| Condition { claim: ClaimName::new(claim).unwrap(), patterns: vec![Pattern::new(pattern)] };
    OidcOptions {
        name: name.into(),
        issuer: IssuerUrl::parse(issuer).unwrap(),
        keys,
        audience: "registry.example.com".into(),
        conditions: conditions.iter().map(condition).collect(),
        user: UserTemplate::parse("ci-{repository_owner}").unwrap(),
    }
}

/// One issuer whose keys are fetched.
async fn discovering(issuer: &str) -> Issuers {
    Issuers::open(vec![entry("ci", issuer, OidcKeys::Discovered, &[("repository", "acme/*")])]).await.unwrap()
}
