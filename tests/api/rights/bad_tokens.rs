//! Tokens that look like ours, made with our own key where that helps.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::harness::{Running, Setup};

const PULL: &str = "/v2/team/app/tags/list";

struct Forger {
    registry: Running,
    key: KeyPair,
    kid: String,
}

impl Forger {
    async fn new() -> Self {
        let registry = Setup::tokens().start().await;
        registry.alice().push_image("team/app", "1", "one").await;
        let pem = std::fs::read_to_string(registry.path().join("data/breakwater/token.pem")).unwrap();
        let keys = registry.client().get("/auth/jwks.json").send().await.is(200).json();
        let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
        Self { registry, key: KeyPair::from_pem(&pem).unwrap(), kid }
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) }
    }

    fn signed(&self, header: &Header, claims: &Value) -> String {
        sign(&self.key, header, claims)
    }

    /// A good token, but for some claims; `null` leaves one out.
    fn with(&self, changes: Value) -> String {
        self.signed(&self.header(), &claims(changes))
    }

    async fn refuses(&self, what: &str, token: &str, problem: &str) {
        let answer = self.registry.client().bearer(token).get(PULL).send().await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert!(answer.header("www-authenticate").ends_with(&format!(",error=\"{problem}\"")), "{what}: {answer:?}");
        answer.refuses(401, "UNAUTHORIZED");
    }
}

fn sign(key: &KeyPair, header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(key.serialized_der())).unwrap()
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn claims(changes: Value) -> Value {
    let access = json!([{"type": "repository", "name": "team/app", "actions": ["pull"]}]);
    let mut claims = json!({
        "iss": "the-issuer", "sub": "alice", "aud": "the-service", "exp": now() + 60, "nbf": now(), "iat": now(), "jti": "x", "access": access,
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() { drop(claims.as_object_mut().unwrap().remove(name)) } else { claims[name] = value.clone() }
    }
    claims
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

#[tokio::test]
async fn claims_that_are_not_for_here_and_now_are_refused() {
    let forger = Forger::new().await;
    let good = forger.registry.client().bearer(&forger.with(json!({})));
    good.get(PULL).send().await.is(200);
    for changes in [
        json!({"iss": "another"}),
        json!({"iss": null}),
        json!({"iss": ["the-issuer"]}),
        json!({"aud": "another"}),
        json!({"aud": ["another", "the-service-2"]}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"exp": now() - 61}),
        json!({"exp": 0}),
        json!({"exp": -1}),
        json!({"exp": null}),
        json!({"exp": "tomorrow"}),
        json!({"nbf": now() + 120}),
        json!({"nbf": null}),
        json!({"sub": "mallory"}),
        json!({"sub": "mallory", "bearer": {"kind": "robot", "id": "x"}}),
        json!({"bearer": {"kind": "king"}}),
        json!({"bearer": "robot"}),
    ] {
        forger.refuses(&changes.to_string(), &forger.with(changes.clone()), "invalid_token").await;
    }
}

#[tokio::test]
async fn signatures_that_are_not_ours_are_refused() {
    let forger = Forger::new().await;
    let (thief, all) = (KeyPair::generate().unwrap(), claims(json!({})));
    let kid = |kid: &str| Header { kid: Some(kid.to_owned()), ..forger.header() };
    let hs256 = |secret: &[u8]| {
        let header = Header { kid: Some(forger.kid.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &all, &EncodingKey::from_secret(secret)).unwrap()
    };
    let good = forger.with(json!({}));
    let signature = good.rsplit('.').next().unwrap();
    let none = unsigned(&json!({"alg": "none", "kid": forger.kid}), &all);
    let jwk = json!({"alg": "ES256", "typ": "JWT", "kid": forger.kid, "jku": "https://127.0.0.1/", "jwk": {"kty": "EC"}});
    let path = forger.registry.path().join("data/breakwater/token.pem").display().to_string();
    for (what, token) in [
        ("no algorithm", none.clone()),
        ("no algorithm, with a signature", format!("{none}{signature}")),
        ("no algorithm, oddly written", unsigned(&json!({"alg": "nOnE", "kid": forger.kid}), &all)),
        ("no signature", unsigned(&json!({"alg": "ES256", "kid": forger.kid}), &all)),
        ("zeros", unsigned(&json!({"alg": "ES256", "kid": forger.kid}), &all) + &URL_SAFE_NO_PAD.encode([0; 64])),
        ("the public key as a secret, in PEM", hs256(forger.key.public_key_pem().as_bytes())),
        ("the public key as a secret, bare", hs256(forger.key.public_key_raw())),
        ("the public key as a secret, in DER", hs256(&forger.key.subject_public_key_info())),
        ("an empty secret", hs256(b"")),
        ("a foreign key with our kid", sign(&thief, &forger.header(), &all)),
        ("a foreign key with its own kid", sign(&thief, &kid("thief"), &all)),
        ("our key without a kid", forger.signed(&Header { kid: None, ..forger.header() }, &all)),
        ("our key with an empty kid", forger.signed(&kid(""), &all)),
        ("our key with another kid", forger.signed(&kid("another"), &all)),
        ("a kid that is the path of the key", forger.signed(&kid(&path), &all)),
        ("a kid that is the path of something empty", sign(&thief, &kid("../../../../../../dev/null"), &all)),
        ("an address of keys", unsigned(&jwk, &all) + signature),
        (
            "changed claims",
            format!("{}.{}", unsigned(&json!({"alg": "ES256", "kid": forger.kid}), &all).trim_end_matches('.'), "A".repeat(86)),
        ),
    ] {
        forger.refuses(what, &token, "invalid_token").await;
    }
}

#[tokio::test]
async fn a_token_for_something_else_does_not_suffice() {
    let forger = Forger::new().await;
    for access in [
        json!([]),
        json!([{"type": "repository", "name": "team/other", "actions": ["pull"]}]),
        json!([{"type": "repository", "name": "team", "actions": ["*"]}]),
        json!([{"type": "repository", "name": "team/*", "actions": ["*"]}]),
        json!([{"type": "repository", "name": "**", "actions": ["*"]}]),
        json!([{"type": "repository", "name": "team/app/x", "actions": ["*"]}]),
        json!([{"type": "repository", "name": "team/app", "actions": ["push", "delete", "create", "Pull", "pull "]}]),
        json!([{"type": "registry", "name": "team/app", "actions": ["pull"]}]),
        json!([{"type": "registry", "name": "catalog", "actions": ["*"]}]),
        json!(null),
    ] {
        forger.refuses(&access.to_string(), &forger.with(json!({"access": access})), "insufficient_scope").await;
    }
    // A token never gives what the rules do not.
    let mut registry = forger.registry;
    registry.configure("access", super::rules(&[super::rule("user:bob", "**", &["*"])]));
    registry.reload().await;
    let forger = Forger { registry, ..forger };
    let star = json!([{"type": "repository", "name": "team/app", "actions": ["*"]}]);
    forger.refuses("more than the rules allow", &forger.with(json!({"access": star})), "insufficient_scope").await;
}
