//! Every trusted issuer, and the question whom a token vouches for.

use std::sync::Arc;
use std::time::SystemTime;

use super::keyring::Keyring;
use super::presented::{Presented, SignedClaims};
use super::{Condition, IssuerUrl, OidcOptions, UserTemplate};
use crate::auth::error::{Error, TokenFault};

/// The trusted issuers.
pub(crate) struct Issuers {
    issuers: Vec<Issuer>,
}

/// Somebody that a token of a trusted issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// The name of the entry whose conditions are met.
    pub(crate) issuer: Arc<str>,
    /// The name that the entry makes of the claims. Nothing keeps it apart from names in the password file but its issuer.
    pub(crate) user: String,
    /// When the token ends, leeway apart.
    pub(crate) expires: SystemTime,
}

/// Why a token vouches for nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is not good.
    #[error("token refused: {0}")]
    Token(#[from] TokenFault),
    /// It may be good, but the keys of its issuer cannot be had now; the log says why.
    #[error("the keys of the issuer {0} cannot be had")]
    KeysUnavailable(IssuerUrl),
}

struct Issuer {
    url: IssuerUrl,
    keyring: Keyring,
    /// In the order of the configuration; the first that fits wins.
    entries: Vec<Entry>,
}

struct Entry {
    name: Arc<str>,
    audience: String,
    conditions: Vec<Condition>,
    user: UserTemplate,
}

impl Issuers {
    /// Reads the key sets that are files; the others are fetched when they are needed.
    ///
    /// Entries with the same issuer and the same place of its keys share them.
    pub(crate) async fn open(options: Vec<OidcOptions>) -> Result<Self, Error> {
        let mut issuers: Vec<Issuer> = Vec::new();
        for options in options {
            let entry = Entry { name: options.name.into(), audience: options.audience, conditions: options.conditions, user: options.user };
            match issuers.iter_mut().find(|issuer| issuer.url == options.issuer && issuer.keyring.is_of(&options.keys)) {
                Some(issuer) => issuer.entries.push(entry),
                None => {
                    let keyring = Keyring::open(&options.issuer, options.keys).await?;
                    issuers.push(Issuer { url: options.issuer, keyring, entries: vec![entry] });
                }
            }
        }
        Ok(Self { issuers })
    }

    /// Whom a token vouches for. Waits for the issuer when its keys are not known yet, at most a few seconds.
    pub(crate) async fn verify(&self, token: &str, now: SystemTime) -> Result<Vouched, Refusal> {
        let presented = Presented::read(token)?;
        let mut refusal = Refusal::Token(TokenFault::Issuer);
        for issuer in self.issuers.iter().filter(|issuer| issuer.url.as_str() == presented.issuer()) {
            match issuer.verify(&presented, now).await {
                Ok(vouched) => return Ok(vouched),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    /// Reads the key sets that are files again; what cannot be used leaves the old in force, and the first such error is returned.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for issuer in &self.issuers {
            outcome = outcome.and(issuer.keyring.reload().await);
        }
        outcome
    }
}

impl Issuer {
    async fn verify(&self, presented: &Presented<'_>, now: SystemTime) -> Result<Vouched, Refusal> {
        let key = self.keyring.key(presented.header(), now).await?;
        let claims = presented.signed(&key)?;
        claims.check(self.url.as_str(), now)?;
        Ok(self.vouch(&claims)?)
    }

    fn vouch(&self, claims: &SignedClaims) -> Result<Vouched, TokenFault> {
        let mut addressed = self.entries.iter().filter(|entry| claims.is_meant_for(&entry.audience)).peekable();
        if addressed.peek().is_none() {
            return Err(TokenFault::Audience);
        }
        let entry = addressed.find(|entry| entry.matches(claims)).ok_or(TokenFault::Unmatched)?;
        let user = entry.user.fill(claims.all()).ok_or(TokenFault::User)?;
        Ok(Vouched { issuer: Arc::clone(&entry.name), user, expires: claims.expires() })
    }
}

impl Entry {
    /// Without conditions nothing matches, so that a mistake does not open the registry to everybody at the issuer.
    fn matches(&self, claims: &SignedClaims) -> bool {
        !self.conditions.is_empty() && self.conditions.iter().all(|condition| condition.holds(claims.all()))
    }
}
