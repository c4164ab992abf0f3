//! What can go wrong while finding out who asks. No variant carries a secret, or a line of the password file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A refusal, or a file that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such user, another password, or a refresh token that is no longer good: one answer for all.
    #[error("wrong credentials")]
    WrongCredentials,
    /// A bearer token that does not verify.
    #[error("token refused: {0}")]
    InvalidToken(TokenFault),
    /// The `Authorization` text is not what its scheme demands, or too long.
    #[error("malformed authorization")]
    MalformedAuthorization,
    /// Credentials of a kind that this registry does not take.
    #[error("unsupported authorization scheme")]
    UnsupportedScheme,
    /// Too many password checks are waiting already.
    #[error("too many password checks are waiting")]
    Busy,
    /// Too many wrong passwords came from there: none is compared before this time has passed.
    #[error("too many wrong passwords")]
    Closed(Duration),
    /// The keys of an OIDC issuer cannot be had, so nobody knows whether its token is good.
    #[error("the keys of the issuer {0} cannot be had")]
    IssuerUnavailable(String),
    /// A line of the password file is not `user:hash`; named by its number alone.
    #[error("{}: line {line} is not user:hash", path.display())]
    PasswordLine {
        /// The password file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// A directory lies where the password file should.
    #[error("{} is a directory where auth.htpasswd.path must name a file (docker makes one where a mounted file is missing)", path.display())]
    PasswordDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A key or certificate file that cannot be used.
    #[error("{}: {fault}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// A name under `signingalgorithms` that JOSE does not know, or none that can be used.
    #[error("no usable signing algorithm: {0}")]
    Algorithm(String),
    /// `auth.token` with neither a bundle nor a key set.
    #[error("no trusted keys are configured")]
    NoTrustedKeys,
    /// The token could not be signed, or no random bytes were to be had.
    #[error("the cryptographic library failed")]
    Crypto,
    /// A file that could not be read or written.
    #[error("{}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a bearer token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not three parts of base64url JSON, or a header we may not ignore.
    #[error("malformed")]
    Malformed,
    /// The algorithm is not allowed, or not for this key.
    #[error("algorithm not allowed")]
    Algorithm,
    /// No trusted key matches.
    #[error("unknown key")]
    UnknownKey,
    /// The signature does not verify.
    #[error("bad signature")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error("bad claims")]
    Claims,
    /// Issued by somebody else.
    #[error("wrong issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("wrong audience")]
    Audience,
    /// Past its time.
    #[error("expired")]
    Expired,
    /// Before its time.
    #[error("not yet valid")]
    NotYetValid,
    /// The user or the machine token that it was issued to is gone.
    #[error("revoked")]
    Revoked,
    /// Of a trusted issuer, but its claims are not those that an entry under `oidc` asks for.
    #[error("claims that match no entry")]
    Unmatched,
    /// Its claims make no name of a user.
    #[error("claims that make no user name")]
    User,
}

/// Why a key or certificate file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not readable as PEM.
    #[error("not a PEM file")]
    Pem,
    /// Nothing of use inside.
    #[error("no usable key or certificate inside")]
    Empty,
    /// A private key that is not ECDSA P-256.
    #[error("a private key that is not ECDSA P-256")]
    NotP256,
    /// A certificate that does not parse, or whose key is of an unknown kind.
    #[error("an unusable certificate")]
    Certificate,
    /// The first certificate is not that of the first key.
    #[error("the certificate does not belong to the first signing key")]
    Mismatch,
    /// Not a JSON key set.
    #[error("not a JSON web key set")]
    KeySet,
}

impl Error {
    /// An I/O error with the file it happened to.
    pub(super) fn storage(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Storage { path, source }
    }

    /// A fault of a key file.
    pub(super) fn key(path: &Path, fault: KeyFault) -> Self {
        Self::Key { path: path.to_path_buf(), fault }
    }
}

impl From<TokenFault> for Error {
    fn from(fault: TokenFault) -> Self {
        Self::InvalidToken(fault)
    }
}
