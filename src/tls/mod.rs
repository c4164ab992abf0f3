//! The rustls configuration, and its reload without restart.

use std::path::PathBuf;

/// `http.tls`.
#[derive(Clone, Debug)]
pub struct Options {
    /// PEM with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM with the private key.
    pub key: PathBuf,
    /// The lowest version spoken.
    pub minimum: MinimumVersion,
}

/// `http.tls.minimumtls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinimumVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}
