//! Who is asking, and may they.
//!
//! Owns passwords, tokens, scopes and the decision. Knows no status code and no header but the text of `Authorization` and
//! `WWW-Authenticate`. Invariant: every refusal is a value; nothing that fails to verify counts as anonymous.

mod accounts;
mod authenticator;
mod authorization;
mod claims;
mod defence;
mod entries;
mod error;
mod foreign;
mod hash_pool;
mod htpasswd;
mod identity;
mod keys;
mod machine_token;
mod machine_token_file;
mod machine_tokens;
mod oidc;
mod password_file;
mod pattern;
pub mod policy;
mod public_key;
mod refresh;
mod review;
mod rules;
mod scope;
mod token;
mod trusted_keys;

use std::path::PathBuf;
use std::time::Duration;

pub use authenticator::{Authenticator, BasicCredentials, claimed_user};
pub use authorization::Problem;
pub use claims::{rfc3339, seconds};
pub use defence::LoginLimits;
pub use error::{Error, KeyFault, TokenFault};
pub use foreign::{check_algorithms, check_trusted_keys};
pub use identity::{Action, Caller, Identity, Proof, Relay, Resource, Source, Visit};
pub use keys::{check_signing_keys, rotate};
pub use machine_token::{Ceiling, MachineToken, PurposeFault, TokenPurpose};
pub use machine_token_file::MachineTokenFile;
pub use oidc::{AddressFault, ClaimName, Condition, IssuerUrl, OidcKeys, OidcOptions, TemplateFault, UserTemplate};
pub use password_file::{EntryFault, PasswordFile, PasswordHash, User, UserName};
pub use pattern::Pattern;
pub use policy::Decision;
pub use review::{Explanation, Futile, Lack, Recognised};
pub use rules::{Groups, Listing, OidcName, Rule, RuleFault, Rules, Who};
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

/// `auth.htpasswd`, and what is ours beside it: `tokenservice`, `access`, `limits.logins`.
#[derive(Clone, Debug)]
pub struct HtpasswdOptions {
    /// The realm named in a Basic challenge.
    pub realm: String,
    /// The password file; made with one user when missing.
    pub path: PathBuf,
    /// Present when the registry may be its own token realm.
    pub token_service: Option<TokenServiceOptions>,
    /// When it is one.
    pub token_realm: TokenRealm,
    /// Who may do what.
    pub rules: Rules,
    /// The directory of the machine tokens.
    pub state: PathBuf,
    /// What wrong passwords cost.
    pub logins: LoginLimits,
    /// Issuers elsewhere whose tokens are taken as passwords.
    pub oidc: Vec<OidcOptions>,
}

/// When the token realm answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRealm {
    /// Always: it was asked for.
    Open,
    /// As long as a rule speaks of anonymous callers, whom docker lets pull through a realm only.
    ForAnonymous,
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
