//! Tokens that somebody else issues.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Running, Setup};

/// An issuer with a self-signed CA certificate, which is the usual case.
struct Issuer {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Issuer {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["issuer".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { key, certificate }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { x5c: Some(vec![STANDARD.encode(self.certificate.der())]), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(self.key.serialized_der())).unwrap()
    }
}

async fn registry_of(issuer: &Issuer) -> Running {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("bundle.pem"), issuer.certificate.pem()).unwrap();
    let token = json!({"realm": "https://them.example/token", "service": "us", "issuer": "them", "rootcertbundle": "DIR/bundle.pem"});
    Running::start_in(Setup::open().set("auth", json!({"token": token})), directory).await
}

fn claims() -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let access = json!([{"type": "repository", "name": "a", "actions": ["pull", "push"]}]);
    json!({"iss": "them", "sub": "alice", "aud": "us", "exp": now + 300, "nbf": now - 5, "iat": now - 5, "jti": "1", "access": access})
}

#[tokio::test]
async fn a_token_of_the_trusted_issuer_opens_what_it_names() {
    let issuer = Issuer::new();
    let registry = registry_of(&issuer).await;
    let challenge = registry.client().get("/v2/a/tags/list").send().await.is(401);
    let expected = "Bearer realm=\"https://them.example/token\",service=\"us\",scope=\"repository:a:pull\"";
    assert_eq!(challenge.header("www-authenticate"), expected);
    let client = registry.client().bearer(&issuer.sign(&claims()));
    let image = client.push_image("a", "1", "one").await;
    client.pull_image("a", "1", &image).await;
    let refused = client.get("/v2/b/tags/list").send().await.refuses(401, "UNAUTHORIZED");
    assert!(refused.header("www-authenticate").ends_with("error=\"insufficient_scope\""));
    registry.client().get("/auth/token").send().await.is(404);
}

#[tokio::test]
async fn tokens_of_others_for_others_and_out_of_time_are_refused() {
    let issuer = Issuer::new();
    let registry = registry_of(&issuer).await;
    let changes: [fn(&mut Value); 6] = [
        |claims| claims["iss"] = "us".into(),
        |claims| claims["aud"] = "them".into(),
        |claims| claims["exp"] = (claims["nbf"].as_u64().unwrap() - 3600).into(),
        |claims| claims["nbf"] = (claims["exp"].as_u64().unwrap() + 3600).into(),
        |claims| drop(claims.as_object_mut().unwrap().remove("exp")),
        |claims| claims["access"] = "everything".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = claims();
        change(&mut changed);
        let answer = registry.client().bearer(&issuer.sign(&changed)).get("/v2/a/tags/list").send().await;
        assert_eq!(answer.status, 401, "{number}: {answer:?}");
        assert!(answer.header("www-authenticate").ends_with("error=\"invalid_token\""), "{number}: {answer:?}");
    }
    let stranger = Issuer::new();
    registry.client().bearer(&stranger.sign(&claims())).get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
    registry.alice().get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
}
