//! Machine tokens: secrets for programs, made on the command line, that log in as `robot$NAME`.
//!
//! A token can do what the rules let its name do, and within that no more than it was made with: its [`Ceiling`]. Owns the record
//! and the secret. Invariant: a secret is never stored; 256 random bits need no slow hash, so what is stored is their SHA-256.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::Error;
use super::pattern::Pattern;
use super::rules::RuleFault;
use super::scope::Actions;
use crate::oci::Name;

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineToken {
    /// The name it was made with.
    pub name: String,
    /// Tells it from an earlier one of the same name.
    pub id: String,
    /// SHA-256 of the secret, in base64url.
    hash: String,
    /// Patterns of the repositories that it is for.
    pub repositories: Vec<String>,
    /// The most it may do there.
    pub actions: Vec<String>,
    /// When it was made, in seconds since the epoch.
    pub created: u64,
    /// When it ends, in seconds since the epoch; none: when it is revoked.
    pub expires: Option<u64>,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPurpose {
    /// The name it logs in with, behind `robot$`.
    pub name: String,
    /// Patterns of repositories.
    pub repositories: Vec<String>,
    /// Actions; writing includes `pull`.
    pub actions: Vec<String>,
    /// When it ends, in seconds since the epoch.
    pub expires: Option<u64>,
}

/// The most a machine token may do, whatever the rules say.
#[derive(Clone, PartialEq, Eq)]
pub struct Ceiling {
    repositories: Vec<Pattern>,
    actions: Actions,
}

/// Why a token cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurposeFault {
    /// A name that could not be logged in with, or not be told from others.
    #[error("a token's name must be letters, digits, `.`, `_` or `-`, at most {LONGEST_NAME} of them")]
    Name,
    /// No repository can match.
    #[error("no repository can have a name that matches `{0}`")]
    Repository(String),
    /// Not an action.
    #[error(transparent)]
    Action(#[from] RuleFault),
    /// No repositories, or no actions.
    #[error("a token needs a repository and an action, or it is good for nothing")]
    Nothing,
}

impl MachineToken {
    /// Makes a token and its secret, which is told once.
    pub(super) fn issue(purpose: TokenPurpose, created: u64) -> Result<(Self, Zeroizing<String>), Error> {
        let mut random = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(random.as_mut()).map_err(|_| Error::Crypto)?;
        let secret = Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)));
        let TokenPurpose { name, repositories, actions, expires } = purpose;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()));
        Ok((Self { name, id, hash, repositories, actions, created, expires }, secret))
    }

    /// Whether it has ended by itself.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// The most it may do.
    pub fn ceiling(&self) -> Ceiling {
        let actions = Actions::of_words(self.actions.iter().map(String::as_str));
        Ceiling { repositories: self.repositories.iter().map(|text| Pattern::new(text)).collect(), actions: actions.expanded() }
    }

    /// What stands for the secret in a refresh token.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

/// Whether a secret is that of a token; of none it is not. The work is the same for a token that there is and one that there is not.
pub(super) fn is_secret_of(token: Option<&MachineToken>, secret: &[u8]) -> bool {
    let given = URL_SAFE_NO_PAD.encode(digest(&SHA256, secret));
    let stored = token.map_or(NO_HASH, |token| &token.hash);
    verify_slices_are_equal(given.as_bytes(), stored.as_bytes()).is_ok()
}

impl TokenPurpose {
    /// Checks what was asked for; actions that write get the `pull` that they need.
    pub fn new(name: &str, repositories: Vec<String>, actions: &[String], expires: Option<u64>) -> Result<Self, PurposeFault> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) {
            return Err(PurposeFault::Name);
        }
        let mut given = Actions::default();
        for word in actions {
            given = given.with(Actions::of_word(word).ok_or_else(|| RuleFault::Action(word.clone()))?).with(Actions::PULL);
        }
        if let Some(none) = repositories.iter().find(|text| !Pattern::new(text).can_match() || Pattern::new(text).names_the_user()) {
            return Err(PurposeFault::Repository(none.clone()));
        }
        if repositories.is_empty() || given.is_empty() {
            return Err(PurposeFault::Nothing);
        }
        let given = if given.cover(Actions::ANY) { Actions::ANY } else { given };
        let actions = given.words().map(str::to_owned).collect();
        Ok(Self { name: name.to_owned(), repositories, actions, expires })
    }
}

impl Ceiling {
    /// Whether a repository is below it at all.
    pub(super) fn covers(&self, name: &Name) -> bool {
        self.repositories.iter().any(|pattern| pattern.matches(name.as_str(), None))
    }

    /// The most that may be done in a repository.
    pub(super) fn actions_in(&self, name: &Name) -> Actions {
        if self.covers(name) { self.actions } else { Actions::default() }
    }
}

impl fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ceiling({:?}, {:?})", self.repositories, self.actions.words().collect::<Vec<_>>())
    }
}

/// What a secret begins with, so that scanners of leaked secrets can know it.
const PREFIX: &str = "bwt_";
const LONGEST_NAME: usize = 64;
/// As long as a hash, and the hash of nothing.
const NO_HASH: &str = "-------------------------------------------";

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(actions: &[&str]) -> Result<TokenPurpose, PurposeFault> {
        let actions: Vec<String> = actions.iter().map(|word| (*word).to_owned()).collect();
        TokenPurpose::new("ci", vec!["team/**".into()], &actions, Some(100))
    }

    #[test]
    fn a_secret_is_its_tokens_alone_and_is_not_stored() {
        let (one, secret) = MachineToken::issue(purpose(&["push"]).unwrap(), 1).unwrap();
        let (two, _) = MachineToken::issue(purpose(&["push"]).unwrap(), 1).unwrap();
        assert!(is_secret_of(Some(&one), secret.as_bytes()));
        assert!(!is_secret_of(Some(&two), secret.as_bytes()));
        assert!(!is_secret_of(None, secret.as_bytes()) && !is_secret_of(Some(&one), b""));
        assert_eq!((one.hash.len(), secret.len()), (NO_HASH.len(), PREFIX.len() + 43));
        let stored = serde_json::to_string(&one).unwrap();
        assert!(!stored.contains(&secret[PREFIX.len()..]), "{stored}");
        assert!(one.is_expired(100) && !one.is_expired(99));
    }

    #[test]
    fn what_writes_pulls_too_and_all_is_all() {
        assert_eq!(purpose(&["push"]).unwrap().actions, ["pull", "push"]);
        assert_eq!(purpose(&["create", "delete"]).unwrap().actions, ["pull", "create", "delete"]);
        assert_eq!(purpose(&["*"]).unwrap().actions, ["*"]);
        assert_eq!(purpose(&["read"]), Err(PurposeFault::Action(RuleFault::Action("read".into()))));
        assert_eq!(purpose(&[]), Err(PurposeFault::Nothing));
        for name in ["", "a b", "a$b", "a:b", "ü", &"a".repeat(65)] {
            assert_eq!(TokenPurpose::new(name, vec!["**".into()], &["pull".into()], None), Err(PurposeFault::Name), "{name}");
        }
        for text in ["Team", "{user}/**"] {
            let made = TokenPurpose::new("ci", vec![text.into()], &["pull".into()], None);
            assert_eq!(made, Err(PurposeFault::Repository(text.into())));
        }
    }

    #[test]
    fn a_ceiling_ends_at_its_repositories() {
        let (token, _) = MachineToken::issue(purpose(&["push"]).unwrap(), 1).unwrap();
        let ceiling = token.ceiling();
        assert!(ceiling.actions_in(&"team/app".parse().unwrap()).cover(Actions::CREATE));
        assert!(ceiling.actions_in(&"team".parse().unwrap()).is_empty());
        assert!(!ceiling.actions_in(&"team/app".parse().unwrap()).cover(Actions::DELETE));
    }
}
