//! An issuer elsewhere, whose key set lies in a file.

use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::bearer_of;
use crate::harness::{Client, Running, Setup};

/// What stands under `oidc` for it.
pub(super) fn entry() -> Value {
    let conditions = json!({"repository": "acme/*"});
    json!([{"name": "ci", "issuer": "https://ci.example", "jwks": "DIR/issuer.json", "audience": "the-service", "match": conditions, "user": "{repository}"}])
}

/// Makes its key, and the set in which the registry finds the public half.
pub(super) fn make(directory: &Path) {
    let key = KeyPair::generate().unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der()).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "theirs", "x": text(x), "y": text(y)});
    std::fs::write(directory.join("issuer.json"), json!({"keys": [jwk]}).to_string()).unwrap();
    std::fs::write(directory.join("issuer.pem"), key.serialize_pem()).unwrap();
}

/// A client with a token of a job, in the place of a password.
pub(super) fn job(registry: &Running, repository: &str, life: u64) -> Client {
    let key = KeyPair::from_pem(&std::fs::read_to_string(registry.path().join("issuer.pem")).unwrap()).unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = json!({
        "iss": "https://ci.example", "aud": "the-service", "sub": format!("repo:{repository}"), "iat": now, "exp": now + life,
        "repository": repository,
    });
    let header = Header { kid: Some("theirs".into()), ..Header::new(Algorithm::ES256) };
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(key.serialized_der())).unwrap();
    registry.client().basic(("any name", &token))
}

#[tokio::test]
async fn a_job_is_nobody_but_whom_its_issuer_vouches_for() {
    let registry = Setup::tokens().ruled().peopled().await;
    let answer = job(&registry, "acme/app", 3600).token(&["repository:team/app:pull,push", "repository:other:pull"]).await.is(200);
    assert_eq!(answer.json()["scope"], "repository:team/app:pull");
    assert!(answer.json().get("refresh_token").is_none());
    job(&registry, "evil/app", 3600).token(&[]).await.refuses(401, "UNAUTHORIZED");
    // A password at the realm only.
    job(&registry, "acme/app", 3600).get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
    // A user of that name is somebody else, and so is whom the issuer calls like one.
    let other = job(&registry, "acme/other", 3600).token(&["repository:team/app:pull"]).await.is(200);
    assert_eq!(other.json()["scope"], "");
}

#[tokio::test]
async fn no_token_outlives_the_one_it_was_given_for() {
    let registry = Setup::tokens().ruled().peopled().await;
    let answer = job(&registry, "acme/app", 100).token(&[]).await.is(200);
    assert!(answer.json()["expires_in"].as_u64().unwrap() <= 100, "{answer:?}");
    let bearer = bearer_of(&job(&registry, "acme/app", 3600), &["repository:team/app:pull"]).await;
    bearer.get("/v2/team/app/manifests/1").send().await.refuses(404, "MANIFEST_UNKNOWN");
}
