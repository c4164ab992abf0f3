//! The registry as its own token realm: issues access and refresh tokens, and verifies the access tokens it issued.
//!
//! Invariants: a token grants no more than policy allows and was asked for; only keys of the configured file verify, whatever a
//! header says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, Header};
use serde_json::Value;

use super::TokenServiceOptions;
use super::claims::{self, Access, Audience, Claims, Date, Memory, Verified};
use super::entries::Hash;
use super::error::{Error, TokenFault};
use super::htpasswd::Passwords;
use super::identity::{Caller, Identity};
use super::keys::KeySet;
use super::policy;
use super::refresh::RefreshToken;
use super::scope::{self, Scope};
use crate::blocking;

/// The token realm.
pub struct TokenService {
    options: TokenServiceOptions,
    passwords: Arc<Passwords>,
    state: ArcSwap<State>,
}

/// What a client asks the realm for.
#[derive(Clone, Debug)]
pub struct TokenRequest<'a> {
    /// Who it says it is.
    pub grant: Grant<'a>,
    /// The service it named; tokens are for ours whatever it says.
    pub service: Option<&'a str>,
    /// Scope texts as they came; each may hold several, split by blanks.
    pub scopes: Vec<&'a str>,
    /// Whether it wants a refresh token.
    pub access: Offline,
    /// What it calls itself.
    pub client_id: Option<&'a str>,
}

/// How a client says who it is.
#[derive(Clone, Copy)]
pub enum Grant<'a> {
    /// Not at all.
    Anonymous,
    /// By name and password; both empty count as anonymous.
    Password {
        /// The name.
        user: &'a str,
        /// The password.
        password: &'a str,
    },
    /// By a refresh token.
    Refresh(&'a str),
}

/// Whether a refresh token is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// `offline_token=true` or `access_type=offline`.
    Wanted,
    /// An access token is enough.
    NotWanted,
}

/// The realm's answer.
#[derive(Clone)]
pub struct IssuedToken {
    /// The access token.
    pub token: String,
    /// Its life.
    pub expires_in: Duration,
    /// When its life began.
    pub issued_at: SystemTime,
    /// For clients with credentials that want one; always after a refresh.
    pub refresh_token: Option<String>,
    /// What was granted: scopes split by blanks.
    pub scope: String,
}

/// The keys of one reading, and the tokens they verified.
struct State {
    keys: KeySet,
    memory: Memory,
}

/// Who asks, and what a refresh token would be bound to.
struct Asking {
    identity: Identity,
    entry: Option<Hash>,
    since: Date,
}

impl std::fmt::Debug for Grant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password",
            Self::Refresh(_) => "Refresh",
        })
    }
}

impl TokenService {
    /// Reads the keys; makes one when the file is missing.
    pub(super) async fn open(options: &TokenServiceOptions, passwords: Arc<Passwords>) -> Result<Self, Error> {
        let (key, certificate) = files(options);
        let keys = blocking::run(move || KeySet::open(&key, certificate.as_deref())).await?;
        Ok(Self { options: options.clone(), passwords, state: ArcSwap::from_pointee(State::new(keys)) })
    }

    /// Reads the keys again; bad ones leave the old in force.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        let (key, certificate) = files(&self.options);
        let keys = blocking::run(move || KeySet::read(&key, certificate.as_deref())).await?;
        self.state.store(Arc::new(State::new(keys)));
        Ok(())
    }

    /// Issues a token for what was asked and is allowed; fails on wrong credentials, never for lack of rights.
    pub async fn issue(&self, request: TokenRequest<'_>, now: SystemTime) -> Result<IssuedToken, Error> {
        let state = self.state.load_full();
        let asking = self.identify(request.grant, &state, now).await?;
        let scopes: Vec<Scope> =
            scope::parse_all(request.scopes).iter().filter_map(|asked| policy::grant(&asking.identity, asked)).collect();
        let token = self.sign(&state, &asking.identity, &scopes, now)?;
        let wanted = request.access == Offline::Wanted || matches!(request.grant, Grant::Refresh(_));
        let refresh_token = match (&asking.identity, &asking.entry) {
            (Identity::User(user), Some(entry)) if wanted => {
                Some(RefreshToken::mint(state.keys.first().refresh(), user, &self.options.service, entry, asking.since))
            }
            _ => None,
        };
        let scope: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        Ok(IssuedToken { token, expires_in: self.options.expiration, issued_at: now, refresh_token, scope: scope.join(" ") })
    }

    /// The public keys as a JWK set.
    pub fn jwks(&self) -> Value {
        self.state.load().keys.jwks()
    }

    /// The caller of one of our access tokens.
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Caller, TokenFault> {
        let state = self.state.load();
        state.memory.recall(token, now, || self.examine(&state.keys, token, now))
    }

    pub(super) fn options(&self) -> &TokenServiceOptions {
        &self.options
    }

    fn examine(&self, keys: &KeySet, token: &str, now: SystemTime) -> Result<Verified, TokenFault> {
        let header = claims::header(token)?;
        if header.alg != Algorithm::ES256 {
            return Err(TokenFault::Algorithm);
        }
        let kid = header.kid.as_deref().ok_or(TokenFault::UnknownKey)?;
        let key = keys.find(kid).ok_or(TokenFault::UnknownKey)?;
        let claims = claims::signed_claims(token, &header, key.decoding())?;
        if claims.nbf.is_none() {
            return Err(TokenFault::Claims);
        }
        claims.accept(&self.options.issuer, &self.options.service, now)
    }

    async fn identify(&self, grant: Grant<'_>, state: &State, now: SystemTime) -> Result<Asking, Error> {
        let (user, entry, since) = match grant {
            Grant::Anonymous | Grant::Password { user: "", password: "" } => {
                return Ok(Asking { identity: Identity::Anonymous, entry: None, since: Date::of(now) });
            }
            Grant::Password { user, password } => {
                let entry = self.passwords.verify(user, password.as_bytes(), now).await?;
                (user.to_owned(), entry, Date::of(now))
            }
            Grant::Refresh(text) => {
                let token = RefreshToken::parse(text).ok_or(Error::WrongCredentials)?;
                let entry = self.passwords.entry(token.user(), now).await.ok_or(Error::WrongCredentials)?;
                if !state.keys.iter().any(|key| token.is_good(key.refresh(), &self.options.service, &entry)) {
                    return Err(Error::WrongCredentials);
                }
                (token.user().to_owned(), entry, token.issued())
            }
        };
        Ok(Asking { identity: Identity::User(user), entry: Some(entry), since })
    }

    fn sign(&self, state: &State, identity: &Identity, scopes: &[Scope], now: SystemTime) -> Result<String, Error> {
        let key = state.keys.first();
        let header =
            Header { kid: Some(key.kid().to_owned()), x5c: state.keys.chain().map(<[String]>::to_vec), ..Header::new(Algorithm::ES256) };
        let issued = Date::of(now);
        let claims = Claims {
            iss: self.options.issuer.clone(),
            sub: identity.name().unwrap_or_default().to_owned(),
            aud: Audience::One(self.options.service.clone()),
            exp: Date(issued.0.saturating_add(self.options.expiration.as_secs())),
            nbf: Some(Date(issued.0.saturating_sub(ALLOWANCE))),
            iat: issued,
            jti: uuid::Uuid::new_v4().to_string(),
            access: scopes.iter().map(Access::from).collect(),
        };
        jsonwebtoken::encode(&header, &claims, key.encoding()).map_err(|_| Error::Crypto)
    }
}

impl State {
    fn new(keys: KeySet) -> Self {
        Self { keys, memory: Memory::new() }
    }
}

fn files(options: &TokenServiceOptions) -> (PathBuf, Option<PathBuf>) {
    (options.signing_key.clone(), options.certificate.clone())
}

/// By how many seconds a verifier's clock may be behind ours.
const ALLOWANCE: u64 = 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use jsonwebtoken::EncodingKey;
    use rcgen::PublicKeyData as _;
    use serde_json::json;

    use super::*;
    use crate::auth::entries;
    use crate::auth::identity::{Action, Resource};
    use crate::auth::policy::Decision;

    struct Realm {
        dir: tempfile::TempDir,
        service: TokenService,
    }

    impl Realm {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            write_passwords(&dir, "pw");
            let passwords = Arc::new(Passwords::open(&dir.path().join("htpasswd")).await.unwrap());
            let options = TokenServiceOptions {
                signing_key: dir.path().join("token.pem"),
                certificate: None,
                realm: None,
                service: "us".into(),
                issuer: "we".into(),
                expiration: Duration::from_secs(300),
            };
            let service = TokenService::open(&options, passwords).await.unwrap();
            Self { dir, service }
        }

        async fn issue(&self, grant: Grant<'_>, scopes: &[&str], access: Offline) -> Result<IssuedToken, Error> {
            self.issue_at(grant, scopes, access, now()).await
        }

        async fn issue_at(&self, grant: Grant<'_>, scopes: &[&str], access: Offline, now: SystemTime) -> Result<IssuedToken, Error> {
            let request = TokenRequest { grant, service: None, scopes: scopes.to_vec(), access, client_id: Some("test") };
            self.service.issue(request, now).await
        }

        fn pair(&self) -> rcgen::KeyPair {
            rcgen::KeyPair::from_pem(&fs::read_to_string(self.dir.path().join("token.pem")).unwrap()).unwrap()
        }

        fn kid(&self) -> String {
            self.service.jwks()["keys"][0]["kid"].as_str().unwrap().to_owned()
        }

        fn refused(&self, token: &str) -> TokenFault {
            self.service.verify(token, now()).expect_err("must be refused")
        }
    }

    const ALICE: Grant<'static> = Grant::Password { user: "alice", password: "pw" };

    fn write_passwords(dir: &tempfile::TempDir, password: &str) {
        fs::write(dir.path().join("htpasswd"), format!("alice:{}\n", entries::hash(password, 4).unwrap())).unwrap();
    }

    fn now() -> SystemTime {
        SystemTime::now()
    }

    fn claims(change: &Value) -> Value {
        let now = Date::of(now()).0;
        let access = json!([{"type": "repository", "name": "a", "actions": ["*"]}]);
        let mut claims =
            json!({"iss": "we", "sub": "alice", "aud": "us", "exp": now + 60, "nbf": now, "iat": now, "jti": "x", "access": access});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn forge(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn sign_with(pair: &rcgen::KeyPair, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(pair.serialized_der())).unwrap()
    }

    fn header(kid: &str) -> Header {
        Header { kid: Some(kid.into()), ..Header::new(Algorithm::ES256) }
    }

    #[tokio::test]
    async fn a_token_opens_what_it_was_granted_and_nothing_else() {
        let realm = Realm::new().await;
        let issued = realm.issue(ALICE, &["repository:a/b:pull,push repository:c:pull", "x:y:z"], Offline::NotWanted).await.unwrap();
        assert_eq!(issued.scope, "repository:a/b:pull,push repository:c:pull");
        assert_eq!((issued.expires_in, issued.refresh_token), (Duration::from_secs(300), None));
        let caller = realm.service.verify(&issued.token, now()).unwrap();
        assert_eq!(caller.identity().name(), Some("alice"));
        let decide = |name: &str, action| policy::decide(&caller, &Resource::Repository(&name.parse().unwrap()), action);
        assert_eq!(decide("a/b", Action::Push), Decision::Allowed);
        assert_eq!(decide("c", Action::Pull), Decision::Allowed);
        for (name, action) in [("a/b", Action::Delete), ("c", Action::Push), ("a", Action::Pull), ("d", Action::Pull)] {
            assert_eq!(decide(name, action), Decision::InsufficientScope, "{name} {action:?}");
        }
    }

    #[tokio::test]
    async fn a_token_says_what_the_specification_asks_for() {
        let realm = Realm::new().await;
        let issued = realm.issue(ALICE, &["registry:catalog:*"], Offline::NotWanted).await.unwrap();
        let header = jsonwebtoken::decode_header(&issued.token).unwrap();
        assert_eq!((header.alg, header.kid, header.x5c), (Algorithm::ES256, Some(realm.kid()), None));
        let claims: Value = jsonwebtoken::dangerous::insecure_decode::<Value>(&issued.token).unwrap().claims;
        assert_eq!((&claims["iss"], &claims["sub"], &claims["aud"]), (&json!("we"), &json!("alice"), &json!("us")));
        assert_eq!(claims["access"], json!([{"type": "registry", "name": "catalog", "actions": ["*"]}]));
        let times = ["nbf", "iat", "exp"].map(|name| claims[name].as_u64().unwrap());
        assert!(times[0] <= times[1] && times[2] == times[1] + 300);
        assert!(claims["jti"].is_string());
    }

    #[tokio::test]
    async fn anonymous_gets_an_empty_token_and_a_wrong_password_none() {
        let realm = Realm::new().await;
        for grant in [Grant::Anonymous, Grant::Password { user: "", password: "" }] {
            let issued = realm.issue(grant, &["repository:a:pull"], Offline::Wanted).await.unwrap();
            assert_eq!((issued.scope.as_str(), issued.refresh_token), ("", None));
            let caller = realm.service.verify(&issued.token, now()).unwrap();
            assert_eq!((caller.identity(), policy::decide_base(&caller)), (&Identity::Anonymous, Decision::Allowed));
            assert_eq!(policy::decide(&caller, &Resource::Catalog, Action::Pull), Decision::InsufficientScope);
        }
        for grant in
            [Grant::Password { user: "alice", password: "no" }, Grant::Password { user: "bob", password: "pw" }, Grant::Refresh("x")]
        {
            assert!(matches!(realm.issue(grant, &[], Offline::Wanted).await, Err(Error::WrongCredentials)), "{grant:?}");
        }
    }

    #[tokio::test]
    async fn broken_tokens_of_every_kind_are_refused() {
        let realm = Realm::new().await;
        let (pair, kid) = (realm.pair(), realm.kid());
        let seconds = Date::of(now()).0;
        assert!(
            realm.service.verify(&sign_with(&pair, &header(&kid), &claims(&json!({}))), now()).is_ok(),
            "the base of the table is good"
        );
        for (change, fault) in [
            (json!({"iss": "they"}), TokenFault::Issuer),
            (json!({"aud": "them"}), TokenFault::Audience),
            (json!({"exp": seconds - 61}), TokenFault::Expired),
            (json!({"nbf": seconds + 100}), TokenFault::NotYetValid),
            (json!({"exp": null}), TokenFault::Claims),
            (json!({"exp": "9999999999"}), TokenFault::Claims),
            (json!({"nbf": null}), TokenFault::Claims),
            (json!({"iss": null}), TokenFault::Claims),
            (json!({"aud": null}), TokenFault::Claims),
        ] {
            assert_eq!(realm.refused(&sign_with(&pair, &header(&kid), &claims(&change))), fault, "{change}");
        }
    }

    #[tokio::test]
    async fn nothing_in_a_header_is_trusted() {
        let realm = Realm::new().await;
        let (kid, good, thief) = (realm.kid(), claims(&json!({})), rcgen::KeyPair::generate().unwrap());
        let shown = Some(serde_json::from_value(json!({"kty": "EC", "crv": "P-256", "x": "", "y": ""})).unwrap());
        let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&thief).unwrap();
        for (header, fault) in [
            (header(&kid), TokenFault::Signature),
            (header("../../../dev/null"), TokenFault::UnknownKey),
            (header("/proc/self/environ"), TokenFault::UnknownKey),
            (header(""), TokenFault::UnknownKey),
            (Header::new(Algorithm::ES256), TokenFault::UnknownKey),
            (Header { jwk: shown, ..Header::new(Algorithm::ES256) }, TokenFault::UnknownKey),
            (Header { jku: Some("https://thief/".into()), ..header(&kid) }, TokenFault::Signature),
            (Header { x5u: Some("https://thief/".into()), ..header(&kid) }, TokenFault::Signature),
            (Header { x5c: Some(vec![STANDARD.encode(certificate.der())]), ..header(&kid) }, TokenFault::Signature),
            (Header { crit: Some(vec!["exp".into()]), ..header(&kid) }, TokenFault::Malformed),
        ] {
            assert_eq!(realm.refused(&sign_with(&thief, &header, &good)), fault, "{header:?}");
        }
    }

    #[tokio::test]
    async fn no_algorithm_but_es256_is_taken() {
        let realm = Realm::new().await;
        let (kid, good, pair) = (realm.kid(), claims(&json!({})), realm.pair());
        for alg in ["none", "None", "NONE", ""] {
            assert_eq!(realm.refused(&forge(&json!({"alg": alg, "kid": kid}), &good, |_| Vec::new())), TokenFault::Malformed, "{alg}");
        }
        for secret in [pair.public_key_pem().into_bytes(), pair.subject_public_key_info(), pair.public_key_raw().to_vec()] {
            let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
            let token = jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(realm.refused(&token), TokenFault::Algorithm);
        }
        let zeros = forge(&json!({"alg": "ES256", "kid": kid}), &good, |_| vec![0; 64]);
        assert_eq!(realm.refused(&zeros), TokenFault::Signature);
    }

    #[tokio::test]
    async fn a_truncated_or_changed_token_is_refused() {
        let realm = Realm::new().await;
        let token = realm.issue(ALICE, &["repository:a:pull"], Offline::NotWanted).await.unwrap().token;
        for length in 0..token.len() {
            realm.refused(&token[..length]);
        }
        realm.refused(&format!("{token}.x"));
        let parts: Vec<&str> = token.split('.').collect();
        let wider = URL_SAFE_NO_PAD.encode(claims(&json!({})).to_string());
        assert_eq!(realm.refused(&format!("{}.{wider}.{}", parts[0], parts[2])), TokenFault::Signature);
    }

    #[tokio::test]
    async fn a_refresh_token_brings_new_tokens_without_a_password() {
        let realm = Realm::new().await;
        let first = realm.issue(ALICE, &[], Offline::Wanted).await.unwrap().refresh_token.unwrap();
        let second = realm.issue(Grant::Refresh(&first), &["repository:a:pull"], Offline::NotWanted).await.unwrap();
        assert_eq!((second.scope.as_str(), second.refresh_token.as_ref()), ("repository:a:pull", Some(&first)));
        assert_eq!(realm.service.verify(&second.token, now()).unwrap().identity().name(), Some("alice"));
        assert_eq!(realm.refused(&first), TokenFault::Malformed);
        assert!(matches!(realm.issue(Grant::Refresh(&second.token), &[], Offline::Wanted).await, Err(Error::WrongCredentials)));
        let other = Realm::new().await;
        assert!(matches!(other.issue(Grant::Refresh(&first), &[], Offline::Wanted).await, Err(Error::WrongCredentials)));
    }

    #[tokio::test]
    async fn a_refresh_token_dies_when_the_password_changes_and_when_the_user_goes() {
        let realm = Realm::new().await;
        let token = realm.issue(ALICE, &[], Offline::Wanted).await.unwrap().refresh_token.unwrap();
        let later = |seconds| now() + Duration::from_secs(seconds);
        assert!(realm.issue_at(Grant::Refresh(&token), &[], Offline::Wanted, later(5)).await.is_ok());
        write_passwords(&realm.dir, "pw");
        let outcome = realm.issue_at(Grant::Refresh(&token), &[], Offline::Wanted, later(10)).await;
        assert!(matches!(outcome, Err(Error::WrongCredentials)), "another salt is another password");
        let token = realm.issue_at(ALICE, &[], Offline::Wanted, later(20)).await.unwrap().refresh_token.unwrap();
        fs::write(realm.dir.path().join("htpasswd"), "").unwrap();
        assert!(matches!(realm.issue_at(Grant::Refresh(&token), &[], Offline::Wanted, later(30)).await, Err(Error::WrongCredentials)));
    }

    #[tokio::test]
    async fn a_rotated_key_still_verifies_until_it_is_removed() {
        let realm = Realm::new().await;
        let path = realm.dir.path().join("token.pem");
        let issued = realm.issue(ALICE, &[], Offline::Wanted).await.unwrap();
        let (token, refresh) = (issued.token, issued.refresh_token.unwrap());
        let new = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(&path, new.clone() + &fs::read_to_string(&path).unwrap()).unwrap();
        realm.service.reload().await.unwrap();
        assert!(realm.service.verify(&token, now()).is_ok());
        let renewed = realm.issue(Grant::Refresh(&refresh), &[], Offline::Wanted).await.unwrap().refresh_token.unwrap();
        fs::write(&path, "broken").unwrap();
        assert!(realm.service.reload().await.is_err());
        assert!(realm.service.verify(&token, now()).is_ok());
        fs::write(&path, new).unwrap();
        realm.service.reload().await.unwrap();
        assert_eq!(realm.refused(&token), TokenFault::UnknownKey);
        assert!(realm.issue(Grant::Refresh(&refresh), &[], Offline::Wanted).await.is_err());
        assert!(realm.issue(Grant::Refresh(&renewed), &[], Offline::Wanted).await.is_ok());
    }
}
