//! The rustls configuration, and its reload without restart.
//!
//! Owns certificate, key and the authorities of clients. A connection takes the configuration of the moment it begins; a reload
//! swaps it for the next ones. Files that cannot be used are refused and what was read before is kept.

pub mod acme;
mod certificate;
mod client;
mod inspect;
mod leaf;
mod suites;
mod user;

use std::io;
use std::path::PathBuf;

use rustls::server::VerifierBuilderError;

pub use certificate::{Certificate, Reload};
pub use client::{ClientAuth, ClientOptions};
pub use inspect::{Finding, Weight};
pub use suites::{SuiteName, Suites};
pub use user::UserField;

/// `http.tls`.
#[derive(Clone, Debug)]
pub struct Options {
    /// PEM with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM with the private key.
    pub key: PathBuf,
    /// The lowest version spoken.
    pub minimum: MinimumVersion,
    /// The suites of TLS 1.2 that may be used; `None`: all.
    pub suites: Option<Suites>,
    /// Which certificates clients show; `None`: they are not asked for one.
    pub client: Option<ClientOptions>,
    /// Who fills the two files, and renews what is in them; `None`: somebody else.
    pub acme: Option<acme::Options>,
}

/// `http.tls.minimumtls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinimumVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// Why a certificate and its key, or the authorities of clients, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or is no PEM.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        source: io::Error,
    },
    /// The file has no certificate.
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The file has no private key.
    #[error("{} holds no private key", .0.display())]
    NoKey(PathBuf),
    /// The key is not the certificate's, or either is of no use.
    #[error("{} and {} do not fit together", certificate.display(), key.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A certificate in the file cannot be that of an authority.
    #[error("{} holds a certificate that cannot vouch for clients", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// Client certificates are to be verified, and there is nothing to do it by.
    #[error("client certificates cannot be verified")]
    NoVerifier(#[source] VerifierBuilderError),
    /// The certificates of an ACME server cannot be kept, or none can be made that stands in for them.
    #[error("letsencrypt cannot be used")]
    Acme(#[from] acme::Error),
}

impl Error {
    /// Whether it is only that a file is not there.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
