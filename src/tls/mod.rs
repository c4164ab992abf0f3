//! The rustls configuration, and its reload without restart.
//!
//! Owns certificate and key. A connection takes the configuration of the moment it begins; a reload swaps it for the next ones. A
//! pair that cannot be used is refused and the old one kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, version};

use crate::blocking;

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

/// Why a certificate and its key cannot be used.
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
}

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The files have not changed.
    Unchanged,
    /// New connections get the new certificate.
    Replaced,
}

/// A certificate and its key, as they are now.
#[derive(Debug)]
pub struct Certificate {
    options: Options,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Fingerprint>,
}

/// Enough of both files to notice a change.
type Fingerprint = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads both files.
    pub async fn open(options: Options) -> Result<Self, Error> {
        blocking::run(move || {
            let seen = Mutex::new(fingerprint(&options));
            let current = ArcSwap::from_pointee(read(&options)?);
            Ok(Self { options, current, seen })
        })
        .await
    }

    /// The configuration for a connection that begins now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Reads both files again when either has changed since it was last looked at.
    pub async fn reload(self: &Arc<Self>) -> Result<Reload, Error> {
        let this = Arc::clone(self);
        blocking::run(move || {
            let now = fingerprint(&this.options);
            if std::mem::replace(&mut *this.seen.lock().unwrap_or_else(PoisonError::into_inner), now) == now {
                return Ok(Reload::Unchanged);
            }
            this.current.store(Arc::new(read(&this.options)?));
            Ok(Reload::Replaced)
        })
        .await
    }
}

fn fingerprint(options: &Options) -> Fingerprint {
    [&options.certificate, &options.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(options: &Options) -> Result<ServerConfig, Error> {
    let chain = certificates(&options.certificate)?;
    let key = private_key(&options.key)?;
    let versions: &[_] = match options.minimum {
        MinimumVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        MinimumVersion::Tls13 => &[&version::TLS13],
    };
    let mismatch = |source| Error::Mismatch { certificate: options.certificate.clone(), key: options.key.clone(), source };
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).map_err(mismatch)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(unreadable)?;
    let chain = rustls_pemfile::certs(&mut pem.as_slice()).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if chain.is_empty() { Err(Error::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let pem = zeroize::Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let key = rustls_pemfile::private_key(&mut pem.as_slice()).map_err(unreadable)?;
    key.ok_or_else(|| Error::NoKey(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(options: &Options, name: &str) {
        let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&options.certificate, pair.cert.pem()).unwrap();
        std::fs::write(&options.key, pair.signing_key.serialize_pem()).unwrap();
    }

    fn options(directory: &Path) -> Options {
        Options { certificate: directory.join("a.crt"), key: directory.join("a.key"), minimum: MinimumVersion::Tls12 }
    }

    #[tokio::test]
    async fn a_new_pair_is_taken_up_and_a_wrong_one_leaves_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        write_pair(&options, "one.example");
        let certificate = Arc::new(Certificate::open(options.clone()).await.unwrap());
        assert_eq!(certificate.reload().await.unwrap(), Reload::Unchanged);
        write_pair(&options, "the-second.example");
        assert_eq!(certificate.reload().await.unwrap(), Reload::Replaced);
        let good = certificate.config();
        let foreign = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&options.key, format!("{}\n", foreign.serialize_pem())).unwrap();
        assert!(matches!(certificate.reload().await, Err(Error::Mismatch { .. })));
        assert!(Arc::ptr_eq(&good, &certificate.config()));
        std::fs::remove_file(&options.certificate).unwrap();
        assert!(matches!(certificate.reload().await, Err(Error::Unreadable { .. })));
        assert!(Arc::ptr_eq(&good, &certificate.config()));
    }

    #[tokio::test]
    async fn files_without_what_they_should_hold_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        write_pair(&options, "one.example");
        std::fs::write(&options.key, "nothing").unwrap();
        assert!(matches!(Certificate::open(options.clone()).await, Err(Error::NoKey(path)) if path == options.key));
        std::fs::write(&options.certificate, "").unwrap();
        assert!(matches!(Certificate::open(options).await, Err(Error::NoCertificate(_))));
    }
}
