//! Who is asking, and may they.
//!
//! Owns passwords, tokens, scopes and the decision. Knows no status code and no header but the text of `Authorization` and
//! `WWW-Authenticate`. Invariant: every refusal is a value; nothing that fails to verify counts as anonymous.

mod authenticator;
mod authorization;
mod claims;
mod entries;
mod error;
mod foreign;
mod htpasswd;
mod identity;
mod keys;
mod password_file;
mod pattern;
pub mod policy;
mod public_key;
mod refresh;
mod scope;
mod token;

use std::path::PathBuf;
use std::time::Duration;

pub use authenticator::Authenticator;
pub use authorization::Problem;
pub use error::{Error, KeyFault, TokenFault};
pub use identity::{Action, Caller, Identity, Resource};
pub use password_file::{EntryFault, PasswordFile, PasswordHash, User, UserName};
pub use pattern::Pattern;
pub use policy::Decision;
pub use token::{Grant, IssuedToken, Offline, TokenRequest, TokenService};

/// How callers are recognised.
#[derive(Clone, Debug)]
pub enum Options {
    /// Everybody may do everything, as registry:2 without `auth`.
    Open,
    /// A password file; Basic, or with a token service Bearer.
    Htpasswd(HtpasswdOptions),
    /// Tokens issued elsewhere.
    Token(ForeignTokenOptions),
}

/// `auth.htpasswd` and `tokenservice`.
#[derive(Clone, Debug)]
pub struct HtpasswdOptions {
    /// The realm named in a Basic challenge.
    pub realm: String,
    /// The password file; made with one user when missing.
    pub path: PathBuf,
    /// Present when the registry is its own token realm.
    pub token_service: Option<TokenServiceOptions>,
}

/// `tokenservice`: the registry issues tokens itself.
#[derive(Clone, Debug)]
pub struct TokenServiceOptions {
    /// PEM with one or more ECDSA P-256 keys (PKCS#8 or SEC1): the first signs, all verify; made at need.
    pub signing_key: PathBuf,
    /// A certificate chain for the first key, sent as `x5c`.
    pub certificate: Option<PathBuf>,
    /// The realm's address; `None`: worked out from each request.
    pub realm: Option<String>,
    /// The audience of tokens.
    pub service: String,
    /// The issuer of tokens.
    pub issuer: String,
    /// The life of an access token.
    pub expiration: Duration,
}

/// `auth.token`: tokens issued elsewhere.
#[derive(Clone, Debug)]
pub struct ForeignTokenOptions {
    /// The address of the realm, for the challenge.
    pub realm: String,
    /// The audience demanded.
    pub service: String,
    /// The issuer demanded.
    pub issuer: String,
    /// PEM certificates whose keys are trusted.
    pub root_cert_bundle: Option<PathBuf>,
    /// A JWK set whose keys are trusted.
    pub jwks: Option<PathBuf>,
    /// Algorithms accepted, by their JOSE names; empty: every asymmetric one that the library knows.
    pub signing_algorithms: Vec<String>,
    /// Present when the challenge's realm is the request's own scheme and host with this path.
    pub auto_redirect: Option<String>,
}
