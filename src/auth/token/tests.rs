use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use rcgen::PublicKeyData as _;
use serde_json::json;

use super::*;
use crate::auth::identity::{Action, Caller, Resource, Source};
use crate::auth::policy::{self, Decision};
use crate::auth::{HtpasswdOptions, LoginLimits, MachineTokenFile, Pattern, Rule, Rules, TokenPurpose, TokenRealm, Who, entries};

struct Realm {
    dir: tempfile::TempDir,
    service: TokenService,
    accounts: Arc<Accounts>,
}

impl Realm {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_passwords(&dir, "pw");
        let options = HtpasswdOptions {
            realm: String::new(),
            path: dir.path().join("htpasswd"),
            token_service: None,
            token_realm: TokenRealm::Open,
            rules: Rules::unwritten(),
            state: dir.path().to_owned(),
            logins: LoginLimits::default(),
            oidc: Vec::new(),
        };
        let accounts = Arc::new(Accounts::open(&options).await.unwrap());
        let options = TokenServiceOptions {
            signing_key: dir.path().join("token.pem"),
            certificate: None,
            realm: None,
            service: "us".into(),
            issuer: "we".into(),
            expiration: Duration::from_secs(300),
        };
        let service = TokenService::open(&options, Arc::clone(&accounts), b"secret").await.unwrap();
        Self { dir, service, accounts }
    }

    async fn issue(&self, grant: Grant<'_>, scopes: &[&str], access: Offline) -> Result<IssuedToken, Error> {
        self.issue_at(grant, scopes, access, now()).await
    }

    async fn issue_at(&self, grant: Grant<'_>, scopes: &[&str], access: Offline, now: SystemTime) -> Result<IssuedToken, Error> {
        let request = TokenRequest { grant, service: None, scopes: scopes.to_vec(), access, client_id: Some("test") };
        self.service.issue(request, &visit(now)).await
    }

    fn pair(&self) -> rcgen::KeyPair {
        rcgen::KeyPair::from_pem(&fs::read_to_string(self.dir.path().join("token.pem")).unwrap()).unwrap()
    }

    fn kid(&self) -> String {
        self.service.jwks(now())["keys"][0]["kid"].as_str().unwrap().to_owned()
    }

    /// Who a good token says that its bearer is, with what it may do now.
    fn caller(&self, token: &str) -> Result<Caller, TokenFault> {
        self.accounts.bearer(&*self.service.verify(token, now())?, &visit(now()))
    }

    fn robot(&self, action: &str) -> zeroize::Zeroizing<String> {
        let purpose = TokenPurpose::new("ci", vec!["team/**".into()], &[action.to_owned()], None).unwrap();
        MachineTokenFile::open(self.dir.path()).unwrap().create(purpose, 1).unwrap().unwrap()
    }

    fn refused(&self, token: &str) -> TokenFault {
        self.service.verify(token, now()).expect_err("must be refused")
    }
}

const ALICE: Grant<'static> = Grant::Password { user: "alice", password: b"pw" };

fn write_passwords(dir: &tempfile::TempDir, password: &str) {
    fs::write(dir.path().join("htpasswd"), format!("alice:{}\n", entries::hash(password, 4).unwrap())).unwrap();
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn visit(now: SystemTime) -> Visit {
    Visit { source: Source::direct(std::net::Ipv4Addr::LOCALHOST.into()), certificate: None, now }
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
    let caller = realm.caller(&issued.token).unwrap();
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
    for grant in [Grant::Anonymous, Grant::Password { user: "", password: b"" }] {
        let issued = realm.issue(grant, &["repository:a:pull"], Offline::Wanted).await.unwrap();
        assert_eq!((issued.scope.as_str(), issued.refresh_token), ("", None));
        let caller = realm.caller(&issued.token).unwrap();
        assert_eq!((caller.identity(), policy::decide_base(&caller)), (&Identity::Anonymous, Decision::Allowed));
        assert_eq!(policy::decide(&caller, &Resource::Catalog, Action::Pull), Decision::InsufficientScope);
    }
    for grant in [Grant::Password { user: "alice", password: b"no" }, Grant::Password { user: "bob", password: b"pw" }, Grant::Refresh("x")]
    {
        assert!(matches!(realm.issue(grant, &[], Offline::Wanted).await, Err(Error::WrongCredentials)), "{grant:?}");
    }
}

#[tokio::test]
async fn broken_tokens_of_every_kind_are_refused() {
    let realm = Realm::new().await;
    let (pair, kid) = (realm.pair(), realm.kid());
    let seconds = Date::of(now()).0;
    assert!(realm.service.verify(&sign_with(&pair, &header(&kid), &claims(&json!({}))), now()).is_ok(), "the base of the table is good");
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
    assert_eq!(realm.caller(&second.token).unwrap().identity().name(), Some("alice"));
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
async fn a_rotated_key_still_verifies_until_it_is_removed_and_refresh_tokens_live_on() {
    let realm = Realm::new().await;
    let path = realm.dir.path().join("token.pem");
    let issued = realm.issue(ALICE, &[], Offline::Wanted).await.unwrap();
    let (token, refresh) = (issued.token, issued.refresh_token.unwrap());
    crate::auth::rotate(&path, Duration::from_secs(600), now()).unwrap();
    realm.service.refresh(now()).await.unwrap();
    assert!(realm.service.verify(&token, now()).is_ok());
    assert_eq!(realm.service.verify(&token, now() + Duration::from_secs(601)).unwrap_err(), TokenFault::Expired);
    assert_ne!(jsonwebtoken::decode_header(&token).unwrap().kid, Some(realm.kid()));
    fs::write(&path, "broken").unwrap();
    assert!(realm.service.reload().await.is_err());
    assert!(realm.service.verify(&token, now()).is_ok());
    fs::write(&path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    realm.service.reload().await.unwrap();
    assert_eq!(realm.refused(&token), TokenFault::UnknownKey);
    assert!(realm.issue(Grant::Refresh(&refresh), &[], Offline::Wanted).await.is_ok());
}

#[tokio::test]
async fn rules_that_have_become_stricter_bind_the_tokens_that_are_out() {
    let realm = Realm::new().await;
    let issued = realm.issue(ALICE, &["repository:a:pull,push,delete"], Offline::NotWanted).await.unwrap();
    let a = "a".parse().unwrap();
    let decide = |action| policy::decide(&realm.caller(&issued.token).unwrap(), &Resource::Repository(&a), action);
    let only = |actions: &[&str]| {
        let rule = Rule::new(Who::User("alice".into()), String::new());
        Rules::new(vec![rule.allows(vec![Pattern::new("a")], actions.iter().copied()).unwrap()])
    };
    assert_eq!([Action::Pull, Action::Push, Action::Delete].map(decide), [Decision::Allowed; 3]);
    realm.accounts.set_rules(only(&["pull", "create"]));
    let expected = [Decision::Allowed, Decision::Allowed, Decision::InsufficientScope, Decision::InsufficientScope];
    assert_eq!([Action::Pull, Action::Create, Action::Push, Action::Delete].map(decide), expected);
    let again = realm.issue(ALICE, &["repository:a:pull,push", "repository:b:pull"], Offline::NotWanted).await.unwrap();
    assert_eq!(again.scope, "repository:a:pull,create");
    realm.accounts.set_rules(Rules::default());
    assert_eq!(decide(Action::Pull), Decision::InsufficientScope);
}

#[tokio::test]
async fn the_token_of_a_user_who_is_gone_is_revoked() {
    let realm = Realm::new().await;
    let token = realm.issue(ALICE, &[], Offline::NotWanted).await.unwrap().token;
    fs::write(realm.dir.path().join("htpasswd"), "").unwrap();
    realm.accounts.reload().await.unwrap();
    assert_eq!(realm.caller(&token).unwrap_err(), TokenFault::Revoked);
}

#[tokio::test]
async fn a_machine_token_gets_no_more_than_it_was_made_with_and_is_revoked_at_once() {
    let realm = Realm::new().await;
    let secret = realm.robot("push");
    realm.accounts.robots().reload().await.unwrap();
    let robot = Grant::Password { user: "robot$ci", password: secret.as_bytes() };
    let asked = ["repository:team/app:*", "repository:other:pull", "registry:catalog:*"];
    let issued = realm.issue(robot, &asked, Offline::Wanted).await.unwrap();
    assert_eq!(issued.scope, "repository:team/app:pull,push registry:catalog:*");
    let refresh = issued.refresh_token.unwrap();
    assert_eq!(realm.caller(&issued.token).unwrap().identity(), &Identity::Robot("ci".into()));
    assert!(realm.issue(Grant::Refresh(&refresh), &[], Offline::Wanted).await.is_ok());
    MachineTokenFile::open(realm.dir.path()).unwrap().revoke("ci").unwrap();
    let another = realm.robot("pull");
    realm.accounts.robots().reload().await.unwrap();
    assert_eq!(realm.caller(&issued.token).unwrap_err(), TokenFault::Revoked, "another token of that name is another");
    assert!(realm.issue(Grant::Refresh(&refresh), &[], Offline::Wanted).await.is_err());
    assert!(realm.issue(robot, &[], Offline::Wanted).await.is_err());
    let robot = Grant::Password { user: "robot$ci", password: another.as_bytes() };
    assert_eq!(realm.issue(robot, &asked[..1], Offline::Wanted).await.unwrap().scope, "repository:team/app:pull");
    for user in ["ci", "robot$", "robot$other"] {
        let wrong = Grant::Password { user, password: another.as_bytes() };
        assert!(matches!(realm.issue(wrong, &[], Offline::Wanted).await, Err(Error::WrongCredentials)), "{user}");
    }
}

#[tokio::test]
async fn a_certificate_is_somebody_where_there_are_no_other_credentials() {
    let realm = Realm::new().await;
    let held = Visit { certificate: Some("builder".into()), ..visit(now()) };
    let ask = async |grant| {
        let request = TokenRequest { grant, service: None, scopes: vec!["repository:a:pull"], access: Offline::Wanted, client_id: None };
        realm.service.issue(request, &held).await.unwrap()
    };
    let issued = ask(Grant::Anonymous).await;
    assert_eq!((&issued.identity, &*issued.scope), (&Identity::Certificate("builder".into()), "repository:a:pull"));
    assert_eq!(issued.refresh_token, None);
    assert_eq!(realm.caller(&issued.token).unwrap().identity(), &issued.identity, "and its token is its own");
    assert_eq!(ask(ALICE).await.identity, Identity::User("alice".into()));
}
