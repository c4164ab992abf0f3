//! Who a request comes from, what it wants, and what it carries the right to.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;

use super::machine_token::Ceiling;
use super::rules::Rules;
use super::scope::Scope;
use crate::oci;

/// Who asks. The kinds never stand for each other: a certificate for `alice` is not the user `alice`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Somebody who gave no credentials, or holds a token without a subject.
    Anonymous,
    /// A user of the password file, or the subject of a token issued elsewhere.
    User(String),
    /// A machine token, by the name it was made with; it logs in as `robot$NAME`.
    Robot(String),
    /// Whom an OIDC issuer vouches for.
    Oidc {
        /// The name of the issuer's entry under `oidc`.
        issuer: Arc<str>,
        /// The user that the entry makes of the token's claims.
        user: String,
    },
    /// The holder of a verified client certificate.
    Certificate(String),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read.
    Pull,
    /// Write what moves nothing: uploads, mounts, manifests by digest, tags that do not exist.
    Create,
    /// Write, moving tags that exist.
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

/// The address that a request comes from, and whose word that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address: of the peer, or what a trusted proxy says.
    pub address: IpAddr,
    /// Whether the peer passes somebody else's request on without being trusted to say whose.
    pub relay: Relay,
}

/// Whether a peer speaks for another whose address is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// It does not, or it is trusted and the address is its word.
    None,
    /// It does: nobody trusts it to say for whom, or what it says is not clear, since the client may have written some of it. Its
    /// own address says nothing of the client's.
    Unclear,
}

/// What is known of a request beside its credentials.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Where it comes from.
    pub source: Source,
    /// Who the client certificate of its connection is, where one was verified.
    pub certificate: Option<Arc<str>>,
    /// When it came.
    pub now: SystemTime,
}

/// A request's identity with the rights it carries; only the [`Authenticator`](super::Authenticator) makes one.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Identity,
    source: Source,
    rights: Rights,
    /// A snapshot, so that all of one request is decided by the same rules.
    rules: Arc<Rules>,
    ceiling: Option<Arc<Ceiling>>,
    proof: Proof,
}

/// Where a caller's rights come from.
#[derive(Clone, Debug)]
pub(super) enum Rights {
    /// No access control is configured.
    Everything,
    /// Whatever the rules allow the identity.
    Rules,
    /// These, as far as the rules still allow them: a token of ours.
    Granted(Arc<[Scope]>),
    /// Exactly these: a token of another issuer.
    Foreign(Arc<[Scope]>),
}

/// How a caller was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: there were no credentials.
    None,
    /// By a password or a machine token that was compared for this request.
    Login,
    /// By a password that was compared a short while ago.
    Remembered,
    /// By a token that verified.
    Token,
    /// By the certificate of the connection.
    Certificate,
}

impl Identity {
    /// The caller's name where `{user}` stands in a pattern. A machine token has none.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous | Self::Robot(_) => None,
            Self::User(name) | Self::Oidc { user: name, .. } | Self::Certificate(name) => Some(name),
        }
    }

    /// The identity a foreign token's subject names; an empty one is nobody.
    pub(super) fn of_subject(subject: String) -> Self {
        if subject.is_empty() { Self::Anonymous } else { Self::User(subject) }
    }
}

/// As in logs: a user's bare name, which holds no colon, `robot$NAME`, `oidc:NAME`, `cert:NAME`; nothing for nobody.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => Ok(()),
            Self::User(name) => f.write_str(name),
            Self::Robot(name) => write!(f, "{ROBOT}{name}"),
            Self::Oidc { user, .. } => write!(f, "oidc:{user}"),
            Self::Certificate(name) => write!(f, "cert:{name}"),
        }
    }
}

/// What the login name of a machine token begins with.
pub(super) const ROBOT: &str = "robot$";

impl Source {
    /// An address that is nobody else's word.
    pub fn direct(address: IpAddr) -> Self {
        Self { address, relay: Relay::None }
    }

    /// What is counted as one: an IPv4 address, or the network of an IPv6 one, since a host has all of its addresses.
    pub fn network(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        }
    }

    /// Whether it lies in one of the networks. What is not clear is nowhere.
    pub fn is_in(&self, networks: &[IpNet]) -> bool {
        self.relay == Relay::None && networks.iter().any(|network| network.contains(&self.address))
    }
}

impl Caller {
    pub(super) fn new(identity: Identity, rights: Rights, rules: Arc<Rules>, source: Source) -> Self {
        Self { identity, source, rights, rules, ceiling: None, proof: Proof::None }
    }

    /// The same, with no more rights than a machine token was made with.
    pub(super) fn below(self, ceiling: Option<Arc<Ceiling>>) -> Self {
        Self { ceiling, ..self }
    }

    pub(super) fn proven(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// Who asks.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How that was found out.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    pub(super) fn rights(&self) -> &Rights {
        &self.rights
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn ceiling(&self) -> Option<&Ceiling> {
        self.ceiling.as_deref()
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_for_nobody_knows_whom_is_nowhere() {
        let networks = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let source = |address: &str, relay| Source { address: address.parse().unwrap(), relay };
        assert!(source("127.0.0.1", Relay::None).is_in(&networks));
        assert!(source("10.1.2.3", Relay::None).is_in(&networks));
        assert!(!source("127.0.0.1", Relay::Unclear).is_in(&networks));
        assert!(!source("10.1.2.3", Relay::Unclear).is_in(&networks), "a proxy's own address is not its clients'");
        assert!(!source("11.1.2.3", Relay::None).is_in(&networks));
    }

    #[test]
    fn kinds_are_told_apart_in_logs() {
        let identities = [
            Identity::Anonymous,
            Identity::User("a".into()),
            Identity::Robot("a".into()),
            Identity::Oidc { issuer: "i".into(), user: "a".into() },
            Identity::Certificate("a".into()),
        ];
        assert_eq!(identities.map(|identity| identity.to_string()), ["", "a", "robot$a", "oidc:a", "cert:a"]);
    }
}
