//! The registry as its own token realm: issues access and refresh tokens, and verifies the access tokens it issued.
//!
//! Invariants: a token grants no more than the rules allow and was asked for; only keys of the configured file verify, whatever a
//! header says. What a token may do when it is used is looked up again then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use jsonwebtoken::{Algorithm, Header};
use serde_json::Value;

use super::TokenServiceOptions;
use super::accounts::{Account, Accounts};
use super::claims::{self, Access, Audience, Claims, Date, Memory, Verified};
use super::error::{Error, TokenFault};
use super::identity::{Identity, Proof, Visit};
use super::keys::KeySet;
use super::refresh::{self, RefreshToken};
use super::scope::{self, Scope};
use crate::blocking;
use crate::whole_file::Stamp;

/// The token realm.
pub struct TokenService {
    options: TokenServiceOptions,
    accounts: Arc<Accounts>,
    refresh: hmac::Key,
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
        password: &'a [u8],
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
    /// To whom.
    pub identity: Identity,
    /// How they proved it.
    pub proof: Proof,
}

/// The keys of one reading, and the tokens they verified.
struct State {
    stamp: Option<Stamp>,
    keys: KeySet,
    memory: Memory,
}

/// What it is, without what it holds.
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
    /// Reads the keys; makes one when the file is missing. The secret is what refresh tokens come of.
    pub(super) async fn open(options: &TokenServiceOptions, accounts: Arc<Accounts>, secret: &[u8]) -> Result<Self, Error> {
        let (key, certificate) = files(options);
        let state = blocking::run(move || State::make(&key, certificate.as_deref())).await?;
        Ok(Self { options: options.clone(), accounts, refresh: refresh::key(secret)?, state: ArcSwap::from_pointee(state) })
    }

    /// Reads the keys again; bad ones leave the old in force.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        let (key, certificate) = files(&self.options);
        self.state.store(Arc::new(blocking::run(move || State::read(&key, certificate.as_deref())).await?));
        Ok(())
    }

    /// Reads the keys again when their file is another, or may be.
    pub(super) async fn refresh(&self, now: SystemTime) -> Result<(), Error> {
        let (path, stamp) = (self.options.signing_key.clone(), self.state.load().stamp);
        let changed = blocking::run(move || Stamp::changed(&path, stamp, now)).await;
        if changed { self.reload().await } else { Ok(()) }
    }

    /// Issues a token for what was asked and is allowed; fails on wrong credentials, never for lack of rights.
    pub async fn issue(&self, request: TokenRequest<'_>, visit: &Visit) -> Result<IssuedToken, Error> {
        let state = self.state.load_full();
        let (account, since) = self.identify(request.grant, visit).await?;
        let scopes = self.accounts.grant(&account, &scope::parse_all(request.scopes), visit);
        let left = account.until.map(|until| until.duration_since(visit.now).unwrap_or_default());
        let life = left.map_or(self.options.expiration, |left| left.min(self.options.expiration));
        let token = self.sign(&state, &account, &scopes, (visit.now, life))?;
        let wanted = request.access == Offline::Wanted || matches!(request.grant, Grant::Refresh(_));
        let entry = account.entry.as_deref().filter(|_| wanted);
        let refresh_token = entry.map(|entry| RefreshToken::mint(&self.refresh, &account.subject(), &self.options.service, entry, since));
        let scope: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        Ok(IssuedToken {
            token,
            expires_in: life,
            issued_at: visit.now,
            refresh_token,
            scope: scope.join(" "),
            proof: account.proof,
            identity: account.identity,
        })
    }

    /// The public keys as a JWK set.
    pub fn jwks(&self, now: SystemTime) -> Value {
        self.state.load().keys.jwks(now)
    }

    /// What one of our access tokens says.
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Verified>, TokenFault> {
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
        let key = keys.find(kid, now).ok_or(TokenFault::UnknownKey)?;
        let claims = claims::signed_claims(token, &header, key.decoding())?;
        if claims.nbf.is_none() {
            return Err(TokenFault::Claims);
        }
        Ok(claims.accept_ours(&self.options.issuer, &self.options.service, now)?.until(key.retires()))
    }

    /// Who asks, and since when a refresh token stands for them.
    async fn identify(&self, grant: Grant<'_>, visit: &Visit) -> Result<(Account, Date), Error> {
        let today = Date::of(visit.now);
        match grant {
            Grant::Anonymous | Grant::Password { user: "", password: b"" } => Ok((Account::of_connection(visit), today)),
            Grant::Password { user, password } => Ok((self.accounts.login_at_realm(user, password, visit).await?, today)),
            Grant::Refresh(text) => {
                let token = RefreshToken::parse(text).ok_or(Error::WrongCredentials)?;
                let account = self.accounts.find(token.user(), visit).await.ok_or(Error::WrongCredentials)?;
                let is_good = |entry: &str| token.is_good(&self.refresh, &self.options.service, entry);
                if !account.entry.as_deref().is_some_and(is_good) {
                    return Err(Error::WrongCredentials);
                }
                Ok((account, token.issued()))
            }
        }
    }

    fn sign(&self, state: &State, account: &Account, scopes: &[Scope], (now, life): (SystemTime, Duration)) -> Result<String, Error> {
        let key = state.keys.first();
        let header =
            Header { kid: Some(key.kid().to_owned()), x5c: state.keys.chain().map(<[String]>::to_vec), ..Header::new(Algorithm::ES256) };
        let issued = Date::of(now);
        let claims = Claims {
            iss: self.options.issuer.clone(),
            sub: account.subject(),
            aud: Audience::One(self.options.service.clone()),
            exp: Date(issued.0.saturating_add(life.as_secs())),
            nbf: Some(Date(issued.0.saturating_sub(ALLOWANCE))),
            iat: issued,
            jti: uuid::Uuid::new_v4().to_string(),
            access: scopes.iter().map(Access::from).collect(),
            bearer: account.bearer().map(serde_json::to_value).transpose().map_err(|_| Error::Crypto)?,
        };
        jsonwebtoken::encode(&header, &claims, key.encoding()).map_err(|_| Error::Crypto)
    }
}

impl State {
    fn make(key: &Path, certificate: Option<&Path>) -> Result<Self, Error> {
        KeySet::make(key)?;
        Self::read(key, certificate)
    }

    fn read(key: &Path, certificate: Option<&Path>) -> Result<Self, Error> {
        // The stamp first: what changes in between is then read again.
        let stamp = Stamp::of(key).ok();
        Ok(Self { stamp, keys: KeySet::read(key, certificate)?, memory: Memory::new() })
    }
}

fn files(options: &TokenServiceOptions) -> (PathBuf, Option<PathBuf>) {
    (options.signing_key.clone(), options.certificate.clone())
}

/// By how many seconds a verifier's clock may be behind ours.
const ALLOWANCE: u64 = 10;

#[cfg(test)]
mod tests;
