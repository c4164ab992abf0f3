//! Who a request comes from, what it wants, and what it carries the right to.

use std::sync::Arc;

use super::scope::Scope;
use crate::oci;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Somebody who gave no credentials, or holds a token without a subject.
    Anonymous,
    /// A user by name.
    User(String),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read.
    Pull,
    /// Write; needs `Pull` as well.
    Push,
    /// Remove.
    Delete,
}

/// What it is to be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A repository.
    Repository(&'a oci::Name),
    /// The list of repositories.
    Catalog,
}

/// A request's identity with the rights it carries; only the [`Authenticator`](super::Authenticator) makes one.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Identity,
    rights: Rights,
}

/// Where a caller's rights come from.
#[derive(Clone, Debug)]
pub(super) enum Rights {
    /// No access control is configured.
    Everything,
    /// Whatever policy allows the identity.
    Policy,
    /// Exactly these.
    Scopes(Arc<[Scope]>),
}

impl Identity {
    /// The user's name, if there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::User(name) => Some(name),
        }
    }

    /// The identity a token's subject names; an empty one is nobody.
    pub(super) fn of_subject(subject: String) -> Self {
        if subject.is_empty() { Self::Anonymous } else { Self::User(subject) }
    }
}

impl Caller {
    pub(super) fn new(identity: Identity, rights: Rights) -> Self {
        Self { identity, rights }
    }

    /// Who asks.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn rights(&self) -> &Rights {
        &self.rights
    }
}
