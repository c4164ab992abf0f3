//! From the text of a header to a caller, in the one way that the configuration chose.

use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::accounts::{Account, Accounts};
use super::authorization::{self, Credentials, Problem};
use super::error::Error;
use super::foreign::ForeignTokens;
use super::identity::{Caller, Identity, Proof, Rights, Visit};
use super::rules::Rules;
use super::token::TokenService;
use super::{HtpasswdOptions, LoginLimits, Options, TokenRealm};

/// Says who asks, and how to ask who does not say.
pub struct Authenticator {
    mode: Mode,
}

enum Mode {
    Open,
    Own(Box<Own>),
    Foreign(Box<ForeignTokens>),
}

/// Everybody of our own.
struct Own {
    realm: String,
    accounts: Arc<Accounts>,
    tokens: Option<TokenService>,
    /// Whether the token realm was asked for; otherwise it is open as long as a rule speaks of anonymous callers.
    is_realm_asked_for: bool,
}

impl Authenticator {
    /// Reads the files; makes a missing password file and a missing signing key. What refresh tokens are made with comes of the secret.
    pub async fn open(options: &Options, secret: &[u8]) -> Result<Self, Error> {
        let mode = match options {
            Options::Open => Mode::Open,
            Options::Htpasswd(options) => Mode::Own(Box::new(Own::open(options, secret).await?)),
            Options::Token(options) => Mode::Foreign(Box::new(ForeignTokens::open(options).await?)),
        };
        Ok(Self { mode })
    }

    /// Who a request comes from: nobody without credentials, an error with bad ones.
    ///
    /// A client certificate counts where there are no other credentials.
    pub async fn authenticate(&self, authorization: Option<&str>, visit: &Visit) -> Result<Caller, Error> {
        let nobody = |rights| Caller::new(Identity::Anonymous, rights, Arc::default(), visit.source);
        match &self.mode {
            Mode::Open => Ok(nobody(Rights::Everything)),
            Mode::Own(own) => own.authenticate(authorization, visit).await,
            Mode::Foreign(tokens) => match Credentials::parse(authorization)? {
                Credentials::Nobody => Ok(nobody(Rights::Rules)),
                Credentials::Basic { .. } => Err(Error::UnsupportedScheme),
                Credentials::Bearer(token) => {
                    let verified = tokens.verify(token, visit.now)?;
                    let identity = Identity::of_subject(verified.subject().to_owned());
                    let rights = Rights::Foreign(verified.scopes());
                    Ok(Caller::new(identity, rights, Arc::default(), visit.source).proven(Proof::Token))
                }
            },
        }
    }

    /// The text of `WWW-Authenticate`; `None` where everybody may do everything.
    ///
    /// `origin` is `https://host[:port]/prefix` of this request, without a slash at the end.
    pub fn challenge(&self, origin: &str, scopes: &[String], problem: Option<Problem>) -> Option<String> {
        match &self.mode {
            Mode::Open => None,
            Mode::Own(own) => Some(own.challenge(origin, scopes, problem)),
            Mode::Foreign(tokens) => {
                let options = tokens.options();
                let realm = match &options.auto_redirect {
                    Some(path) => authorization::realm_beside(origin, path),
                    None => options.realm.clone(),
                };
                Some(authorization::bearer_challenge(&realm, &options.service, scopes, problem))
            }
        }
    }

    /// The token realm, when it is in the box and open.
    pub fn tokens(&self) -> Option<&TokenService> {
        match &self.mode {
            Mode::Own(own) => own.realm(),
            Mode::Open | Mode::Foreign(_) => None,
        }
    }

    /// Puts other rules in the place of the old ones, for requests that come from now on. Without accounts there are none.
    pub fn set_rules(&self, rules: Rules) {
        if let Mode::Own(own) = &self.mode {
            if own.tokens.is_none() && rules.speak_of_anonymous() {
                tracing::warn!("a rule speaks of anonymous callers, for whom the token service must be on: restart the registry");
            }
            own.accounts.set_rules(rules);
        }
    }

    /// Puts other limits of wrong passwords in the place of the old ones.
    pub fn set_login_limits(&self, limits: LoginLimits) {
        if let Mode::Own(own) = &self.mode {
            own.accounts.set_login_limits(limits);
        }
    }

    /// Reads passwords and keys again; what cannot be used leaves the old in force, and the first such error is returned.
    pub async fn reload(&self) -> Result<(), Error> {
        match &self.mode {
            Mode::Open => Ok(()),
            Mode::Own(own) => {
                let accounts = own.accounts.reload().await;
                let keys = match &own.tokens {
                    Some(tokens) => tokens.reload().await,
                    None => Ok(()),
                };
                accounts.and(keys)
            }
            Mode::Foreign(tokens) => tokens.reload().await,
        }
    }

    /// Reads what has changed, and may be used as often as once a second. Errors are those of [`reload`](Self::reload).
    pub async fn refresh(&self, now: SystemTime) -> Result<(), Error> {
        let Mode::Own(own) = &self.mode else { return Ok(()) };
        let accounts = own.accounts.refresh(now).await;
        match &own.tokens {
            Some(tokens) => accounts.and(tokens.refresh(now).await),
            None => accounts,
        }
    }

    /// Reads machine tokens and signing keys again, whether they changed or not.
    pub async fn reload_tokens(&self, now: SystemTime) -> Result<(), Error> {
        let Mode::Own(own) = &self.mode else { return Ok(()) };
        own.accounts.robots().reload().await?;
        match &own.tokens {
            Some(tokens) => tokens.refresh(now).await,
            None => Ok(()),
        }
    }

    /// Writes down when machine tokens were last used.
    pub async fn save_uses(&self) -> Result<(), Error> {
        match &self.mode {
            Mode::Own(own) => own.accounts.robots().save_uses().await,
            Mode::Open | Mode::Foreign(_) => Ok(()),
        }
    }

    /// How many password hashes have been computed.
    pub fn password_hashes(&self) -> u64 {
        match &self.mode {
            Mode::Own(own) => own.accounts.hashes(),
            Mode::Open | Mode::Foreign(_) => 0,
        }
    }
}

/// The name and the password of an `Authorization` (RFC 7617).
pub struct BasicCredentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Zeroizing<Vec<u8>>,
}

impl BasicCredentials {
    /// Takes the header apart, if there is one; any other scheme is refused rather than taken for none.
    pub fn parse(authorization: Option<&str>) -> Result<Option<Self>, Error> {
        match Credentials::parse(authorization)? {
            Credentials::Nobody => Ok(None),
            Credentials::Basic { user, password } => Ok(Some(Self { user, password })),
            Credentials::Bearer(_) => Err(Error::UnsupportedScheme),
        }
    }
}

/// The login name that an `Authorization` claims, for the log: it proves nothing.
pub fn claimed_user(authorization: Option<&str>) -> Option<String> {
    match Credentials::parse(authorization) {
        Ok(Credentials::Basic { user, .. }) => Some(user),
        _ => None,
    }
}

impl Own {
    async fn open(options: &HtpasswdOptions, secret: &[u8]) -> Result<Self, Error> {
        let accounts = Arc::new(Accounts::open(options).await?);
        let tokens = match &options.token_service {
            Some(service) => Some(TokenService::open(service, Arc::clone(&accounts), secret).await?),
            None => None,
        };
        let is_realm_asked_for = options.token_realm == TokenRealm::Open;
        Ok(Self { realm: options.realm.clone(), accounts, tokens, is_realm_asked_for })
    }

    async fn authenticate(&self, authorization: Option<&str>, visit: &Visit) -> Result<Caller, Error> {
        let account = match Credentials::parse(authorization)? {
            Credentials::Nobody => Account::of_connection(visit),
            Credentials::Basic { user, password } => self.accounts.login(&user, &password, visit).await?,
            Credentials::Bearer(token) => {
                let tokens = self.realm().ok_or(Error::UnsupportedScheme)?;
                return Ok(self.accounts.bearer(&*tokens.verify(token, visit.now)?, visit)?);
            }
        };
        Ok(self.accounts.caller(account, Rights::Rules, visit))
    }

    fn realm(&self) -> Option<&TokenService> {
        self.tokens.as_ref().filter(|_| self.is_realm_asked_for || self.accounts.speak_of_anonymous())
    }

    fn challenge(&self, origin: &str, scopes: &[String], problem: Option<Problem>) -> String {
        let Some(tokens) = self.realm() else { return authorization::basic_challenge(&self.realm) };
        let options = tokens.options();
        let realm = options.realm.clone().unwrap_or_else(|| format!("{origin}/auth/token"));
        authorization::bearer_challenge(&realm, &options.service, scopes, problem)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::auth::identity::{Action, Resource, Source};
    use crate::auth::policy::{self, Decision};
    use crate::auth::{ForeignTokenOptions, Grant, LoginLimits, Offline, TokenFault, TokenRequest, TokenServiceOptions, entries};

    const ORIGIN: &str = "https://host:5000/prefix";

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    fn now() -> Visit {
        let source = Source::direct(std::net::Ipv4Addr::LOCALHOST.into());
        Visit { source, certificate: None, now: SystemTime::now() }
    }

    async fn opened(options: &Options) -> Authenticator {
        Authenticator::open(options, b"secret").await.unwrap()
    }

    async fn passwords(dir: &tempfile::TempDir, realm_in_the_box: Option<TokenServiceOptions>) -> Authenticator {
        let path = dir.path().join("htpasswd");
        fs::write(&path, format!("alice:{}\n", entries::hash("pw", 4).unwrap())).unwrap();
        let token_realm = if realm_in_the_box.is_some() { TokenRealm::Open } else { TokenRealm::ForAnonymous };
        let options = HtpasswdOptions {
            realm: "the realm".into(),
            path,
            token_service: realm_in_the_box,
            token_realm,
            rules: Rules::unwritten(),
            state: dir.path().to_owned(),
            logins: LoginLimits::default(),
            oidc: Vec::new(),
        };
        opened(&Options::Htpasswd(options)).await
    }

    fn realm_in(dir: &tempfile::TempDir) -> TokenServiceOptions {
        TokenServiceOptions {
            signing_key: dir.path().join("token.pem"),
            certificate: None,
            realm: None,
            service: "us".into(),
            issuer: "us".into(),
            expiration: Duration::from_secs(300),
        }
    }

    #[tokio::test]
    async fn without_access_control_any_header_passes_and_there_is_no_challenge() {
        let open = opened(&Options::Open).await;
        for header in [None, Some("Basic !"), Some("Bearer x")] {
            let caller = open.authenticate(header, &now()).await.unwrap();
            assert_eq!(policy::decide(&caller, &Resource::Catalog, Action::Pull), Decision::Allowed);
        }
        assert_eq!(open.challenge(ORIGIN, &[], None), None);
    }

    #[tokio::test]
    async fn passwords_alone_mean_basic() {
        let dir = tempfile::tempdir().unwrap();
        let auth = passwords(&dir, None).await;
        let caller = auth.authenticate(Some(&basic("alice", "pw")), &now()).await.unwrap();
        assert_eq!((caller.identity().name(), policy::decide_base(&caller)), (Some("alice"), Decision::Allowed));
        for nobody in [None, Some(basic("", ""))] {
            let caller = auth.authenticate(nobody.as_deref(), &now()).await.unwrap();
            assert_eq!(policy::decide_base(&caller), Decision::Unauthenticated);
        }
        assert!(matches!(auth.authenticate(Some(&basic("alice", "no")), &now()).await, Err(Error::WrongCredentials)));
        assert!(matches!(auth.authenticate(Some("Bearer a.b.c"), &now()).await, Err(Error::UnsupportedScheme)));
        assert_eq!(auth.challenge(ORIGIN, &["repository:a:pull".into()], None).unwrap(), "Basic realm=\"the realm\"");
        assert!(auth.tokens().is_none());
    }

    #[tokio::test]
    async fn a_realm_in_the_box_takes_its_tokens_and_passwords_too() {
        let dir = tempfile::tempdir().unwrap();
        let auth = passwords(&dir, Some(realm_in(&dir))).await;
        assert!(auth.authenticate(Some(&basic("alice", "pw")), &now()).await.is_ok());
        let grant = Grant::Password { user: "alice", password: b"pw" };
        let request = TokenRequest { grant, service: Some("other"), scopes: vec![], access: Offline::NotWanted, client_id: None };
        let issued = auth.tokens().unwrap().issue(request, &now()).await.unwrap();
        assert_eq!(auth.password_hashes(), 1, "one password is hashed once for Basic and the realm");
        let caller = auth.authenticate(Some(&format!("bearer {}", issued.token)), &now()).await.unwrap();
        assert_eq!((caller.identity().name(), policy::decide_base(&caller)), (Some("alice"), Decision::Allowed));
        let refused = auth.authenticate(Some("Bearer a.b.c"), &now()).await;
        assert!(matches!(refused, Err(Error::InvalidToken(TokenFault::Malformed))));
    }

    #[tokio::test]
    async fn the_realm_is_the_configured_one_or_beside_the_request() {
        let dir = tempfile::tempdir().unwrap();
        let auth = passwords(&dir, Some(realm_in(&dir))).await;
        assert_eq!(auth.challenge(ORIGIN, &[], None).unwrap(), "Bearer realm=\"https://host:5000/prefix/auth/token\",service=\"us\"");
        let fixed = TokenServiceOptions { realm: Some("https://fixed/t".into()), ..realm_in(&dir) };
        let auth = passwords(&dir, Some(fixed)).await;
        let challenge = auth.challenge(ORIGIN, &["registry:catalog:*".into()], Some(Problem::InvalidToken)).unwrap();
        assert_eq!(challenge, "Bearer realm=\"https://fixed/t\",service=\"us\",scope=\"registry:catalog:*\",error=\"invalid_token\"");
    }

    #[tokio::test]
    async fn foreign_tokens_leave_no_room_for_passwords() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("bundle.pem");
        let certificate = rcgen::generate_simple_self_signed(vec!["them".into()]).unwrap();
        fs::write(&bundle, certificate.cert.pem()).unwrap();
        let mut options = ForeignTokenOptions {
            realm: "https://them/token".into(),
            service: "us".into(),
            issuer: "them".into(),
            root_cert_bundle: Some(bundle),
            jwks: None,
            signing_algorithms: vec![],
            auto_redirect: None,
        };
        let auth = opened(&Options::Token(options.clone())).await;
        assert!(matches!(auth.authenticate(Some(&basic("alice", "pw")), &now()).await, Err(Error::UnsupportedScheme)));
        let caller = auth.authenticate(None, &now()).await.unwrap();
        assert_eq!(policy::decide_base(&caller), Decision::Unauthenticated);
        assert_eq!(auth.challenge(ORIGIN, &[], None).unwrap(), "Bearer realm=\"https://them/token\",service=\"us\"");
        options.auto_redirect = Some("/auth/token".into());
        let auth = opened(&Options::Token(options)).await;
        assert_eq!(auth.challenge(ORIGIN, &[], None).unwrap(), "Bearer realm=\"https://host:5000/auth/token\",service=\"us\"");
    }

    #[tokio::test]
    async fn tokens_of_the_realm_verify_elsewhere_by_certificate_and_by_key_set() {
        let dir = tempfile::tempdir().unwrap();
        let keep = |name: &str, text: String| {
            fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let pair = rcgen::KeyPair::generate().unwrap();
        keep("token.pem", pair.serialize_pem());
        let certificate = rcgen::CertificateParams::new(vec!["us".into()]).unwrap().self_signed(&pair).unwrap();
        let certificate = keep("token.crt", certificate.pem());
        let auth = passwords(&dir, Some(TokenServiceOptions { certificate: Some(certificate.clone()), ..realm_in(&dir) })).await;
        let realm = auth.tokens().unwrap();
        let grant = Grant::Password { user: "alice", password: b"pw" };
        let request = TokenRequest { grant, service: None, scopes: vec!["repository:a:pull"], access: Offline::NotWanted, client_id: None };
        let bearer = format!("Bearer {}", realm.issue(request, &now()).await.unwrap().token);
        let jwks = keep("jwks.json", realm.jwks(SystemTime::now()).to_string());
        for (root_cert_bundle, jwks) in [(Some(certificate), None), (None, Some(jwks))] {
            let options = ForeignTokenOptions {
                realm: String::new(),
                service: "us".into(),
                issuer: "us".into(),
                root_cert_bundle,
                jwks,
                signing_algorithms: vec!["ES256".into()],
                auto_redirect: None,
            };
            let elsewhere = opened(&Options::Token(options)).await;
            let caller = elsewhere.authenticate(Some(&bearer), &now()).await.unwrap();
            let decision = policy::decide(&caller, &Resource::Repository(&"a".parse().unwrap()), Action::Pull);
            assert_eq!((caller.identity().name(), decision), (Some("alice"), Decision::Allowed));
        }
    }

    #[tokio::test]
    async fn a_reload_reads_passwords_and_keys() {
        let dir = tempfile::tempdir().unwrap();
        let auth = passwords(&dir, Some(realm_in(&dir))).await;
        let before = auth.tokens().unwrap().jwks(SystemTime::now());
        fs::write(dir.path().join("token.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        fs::write(dir.path().join("htpasswd"), "no colon\n").unwrap();
        assert!(matches!(auth.reload().await, Err(Error::PasswordLine { .. })));
        assert_ne!(auth.tokens().unwrap().jwks(SystemTime::now()), before, "one bad file does not keep the other from being read");
        assert!(auth.authenticate(Some(&basic("alice", "pw")), &now()).await.is_ok());
    }
}
