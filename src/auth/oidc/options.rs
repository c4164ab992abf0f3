//! One entry under `oidc`.

use std::path::PathBuf;

use super::{Condition, IssuerUrl, UserTemplate};

/// Trust in those tokens of an issuer that meet some conditions.
#[derive(Clone, Debug)]
pub struct OidcOptions {
    /// The name of the entry, by which rules mean it.
    pub name: String,
    /// The issuer demanded.
    pub issuer: IssuerUrl,
    /// Where the issuer's keys are.
    pub keys: OidcKeys,
    /// The audience demanded.
    pub audience: String,
    /// What its claims must say; at least one.
    pub conditions: Vec<Condition>,
    /// The name of the user that a token stands for.
    pub user: UserTemplate,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcKeys {
    /// Where its metadata says (OpenID Connect Discovery 1.0).
    Discovered,
    /// In a JWK set on this machine.
    File(PathBuf),
}
