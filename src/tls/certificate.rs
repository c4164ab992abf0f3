//! A certificate with its key and the authorities of clients: read from files, and read again when they change.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::{ServerConfig, version};
use tracing::warn;

use super::acme::{self, Acme, StandIn};
use super::leaf::Leaf;
use super::{Error, MinimumVersion, Options, client};
use crate::blocking;
use crate::whole_file::Stamp;

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The files have not changed.
    Unchanged,
    /// New connections get what the files say now.
    Replaced,
}

/// A certificate, its key and the authorities of clients, as they are now.
#[derive(Debug)]
pub struct Certificate {
    options: Options,
    acme: Option<Acme>,
    current: ArcSwap<Served>,
    seen: Mutex<Fingerprint>,
}

/// What connections get.
#[derive(Debug)]
struct Served {
    config: Arc<ServerConfig>,
    is_stand_in: bool,
    /// What the certificate says of itself, if that can be understood and is of interest.
    leaf: Option<Leaf>,
}

/// Enough of every file to notice a change.
type Fingerprint = Vec<Option<Stamp>>;

impl Certificate {
    /// Reads the files. Of an ACME server's certificate they may be missing yet.
    pub async fn open(options: Options) -> Result<Self, Error> {
        blocking::run(move || {
            let acme = options.acme.clone().map(Acme::new);
            if let Some(options) = &options.acme {
                acme::make_directory(options)?;
            }
            let seen = Mutex::new(fingerprint(&options));
            let current = ArcSwap::from_pointee(read_or_stand_in(&options, acme.as_ref())?);
            Ok(Self { options, acme, current, seen })
        })
        .await
    }

    /// The configuration for a connection that begins now.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// The configuration for a connection by which an ACME server looks at a challenge: one that ends with the handshake.
    pub fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.acme.as_ref()?.challenges().handshake(hello)
    }

    /// Until when the certificate is valid that is served now; `None`: there is none but the stand-in.
    pub fn expires(&self) -> Option<SystemTime> {
        self.current.load().leaf.as_ref().map(|leaf| leaf.not_after)
    }

    /// What orders and renews it, where an ACME server issues it.
    pub fn acme(&self) -> Option<&Acme> {
        self.acme.as_ref()
    }

    /// Orders and renews it for as long as this is polled; without an ACME server there is nothing to do.
    pub async fn keep(self: Arc<Self>) {
        if let Some(acme) = &self.acme {
            acme.keep(&self).await;
        }
    }

    pub(super) fn leaf(&self) -> Option<Leaf> {
        self.current.load().leaf.clone()
    }

    /// Whom the certificate names that a client has shown: nobody, unless it was verified and certificates name users.
    pub fn client_user(&self, shown: Option<&[CertificateDer<'_>]>) -> Option<Arc<str>> {
        let client = self.options.client.as_ref()?;
        let field = client.user.filter(|_| client.level.verifies())?;
        field.of(shown?.first()?)
    }

    /// Reads the files again when one has changed since they were last taken up. What cannot be used is tried again each time.
    pub async fn reload(self: &Arc<Self>) -> Result<Reload, Error> {
        let this = Arc::clone(self);
        blocking::run(move || {
            let now = fingerprint(&this.options);
            let mut seen = this.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == now {
                return Ok(Reload::Unchanged);
            }
            // What is served already is not given up for a stand-in.
            let acme = this.acme.as_ref().filter(|_| this.current.load().is_stand_in);
            this.current.store(Arc::new(read_or_stand_in(&this.options, acme)?));
            *seen = now;
            Ok(Reload::Replaced)
        })
        .await
    }
}

fn fingerprint(options: &Options) -> Fingerprint {
    let authorities = options.client.iter().flat_map(|client| &client.authorities);
    let paths = [&options.certificate, &options.key].into_iter().chain(authorities);
    paths.map(|path| Stamp::of(path).ok()).collect()
}

/// What the files say; where an ACME server has not filled them yet, a stand-in.
fn read_or_stand_in(options: &Options, acme: Option<&Acme>) -> Result<Served, Error> {
    match (pair(options), acme) {
        (Ok((chain, key)), _) => {
            let leaf = chain.first().and_then(Leaf::read);
            Ok(Served { config: serve(options, chain, key)?, is_stand_in: false, leaf })
        }
        (Err(error), Some(acme)) => {
            if !error.is_absence() {
                warn!(%error, "the certificate of the last time cannot be used; another one is ordered");
            }
            let StandIn { certificate, key } = acme.stand_in()?;
            Ok(Served { config: serve(options, vec![certificate], key)?, is_stand_in: true, leaf: None })
        }
        (Err(error), None) => Err(error),
    }
}

pub(super) type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub(super) fn pair(options: &Options) -> Result<Pair, Error> {
    let (chain, key) = (certificates(&options.certificate)?, private_key(&options.key)?);
    Ok((chain, key))
}

pub(super) fn serve(
    options: &Options,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Error> {
    let versions: &[_] = match options.minimum {
        MinimumVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        MinimumVersion::Tls13 => &[&version::TLS13],
    };
    let mismatch = |source| Error::Mismatch { certificate: options.certificate.clone(), key: options.key.clone(), source };
    let mut provider = aws_lc_rs::default_provider();
    if let Some(suites) = &options.suites {
        suites.restrict(&mut provider);
    }
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(versions).map_err(mismatch)?;
    let builder = match &options.client {
        Some(client) => builder.with_client_cert_verifier(client::verifier(client, &provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(mismatch)?;
    if options.client.is_some() {
        // A resumed session would bring along a certificate that nobody looks at again: it may have run out since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(unreadable)?;
    let chain = rustls_pemfile::certs(&mut pem.as_slice()).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if chain.is_empty() { Err(Error::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let pem = zeroize::Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let key = rustls_pemfile::private_key(&mut pem.as_slice()).map_err(unreadable)?;
    key.ok_or_else(|| Error::NoKey(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::{ClientAuth, ClientOptions, UserField};
    use super::*;

    fn write_pair(options: &Options, name: &str) {
        let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&options.certificate, pair.cert.pem()).unwrap();
        std::fs::write(&options.key, pair.signing_key.serialize_pem()).unwrap();
    }

    fn options(directory: &Path) -> Options {
        let (certificate, key) = (directory.join("a.crt"), directory.join("a.key"));
        Options { certificate, key, minimum: MinimumVersion::Tls12, suites: None, client: None, acme: None }
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

    #[tokio::test]
    async fn a_new_authority_is_taken_up_and_an_unusable_one_leaves_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(directory.path());
        write_pair(&options, "one.example");
        let authority = directory.path().join("authority.crt");
        std::fs::copy(&options.certificate, &authority).unwrap();
        let level = ClientAuth::RequireAndVerify;
        options.client = Some(ClientOptions { authorities: vec![authority.clone()], level, user: None });
        let certificate = Arc::new(Certificate::open(options).await.unwrap());
        let first = certificate.config();
        let other = rcgen::generate_simple_self_signed(["an-other.example".to_owned()]).unwrap();
        std::fs::write(&authority, other.cert.pem()).unwrap();
        assert_eq!(certificate.reload().await.unwrap(), Reload::Replaced);
        let second = certificate.config();
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&authority, "nothing").unwrap();
        assert!(matches!(certificate.reload().await, Err(Error::NoCertificate(path)) if path == authority));
        assert!(Arc::ptr_eq(&second, &certificate.config()));
    }

    #[tokio::test]
    async fn only_a_verified_certificate_names_a_user_and_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(directory.path());
        write_pair(&options, "build.example");
        let shown = certificates(&options.certificate).unwrap();
        let user_of = async |options: &Options| Certificate::open(options.clone()).await.unwrap().client_user(Some(&shown));
        assert_eq!(user_of(&options).await, None);
        for (level, user, expected) in [
            (ClientAuth::Request, Some(UserField::Dns), None),
            (ClientAuth::RequireAny, Some(UserField::Dns), None),
            (ClientAuth::RequireAndVerify, None, None),
            (ClientAuth::VerifyIfGiven, Some(UserField::Dns), Some("build.example")),
            (ClientAuth::RequireAndVerify, Some(UserField::Dns), Some("build.example")),
        ] {
            options.client = Some(ClientOptions { authorities: vec![options.certificate.clone()], level, user });
            assert_eq!(user_of(&options).await.as_deref(), expected, "{level:?}");
        }
        assert_eq!(Certificate::open(options).await.unwrap().client_user(None), None);
    }

    #[tokio::test]
    async fn a_link_that_leads_to_another_pair_of_the_same_age_and_size_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        // As Kubernetes mounts a secret: the files are links through a directory that is itself a link.
        let moment = SystemTime::now();
        for name in ["one", "two"] {
            let real = directory.path().join(name);
            std::fs::create_dir(&real).unwrap();
            let pair = rcgen::generate_simple_self_signed(["same.example".to_owned()]).unwrap();
            for (file, text) in [("a.crt", pair.cert.pem()), ("a.key", pair.signing_key.serialize_pem())] {
                // One length for both, whatever the signature's.
                std::fs::write(real.join(file), format!("{text:1000}")).unwrap();
                std::fs::File::options().write(true).open(real.join(file)).unwrap().set_modified(moment).unwrap();
            }
        }
        let (data, staged) = (directory.path().join("data"), directory.path().join("staged"));
        std::os::unix::fs::symlink("one", &data).unwrap();
        for path in [&options.certificate, &options.key] {
            std::os::unix::fs::symlink(Path::new("data").join(path.file_name().unwrap()), path).unwrap();
        }
        let certificate = Arc::new(Certificate::open(options).await.unwrap());
        assert_eq!(certificate.reload().await.unwrap(), Reload::Unchanged);
        std::os::unix::fs::symlink("two", &staged).unwrap();
        std::fs::rename(&staged, &data).unwrap();
        assert_eq!(certificate.reload().await.unwrap(), Reload::Replaced);
    }

    fn acme_options(state: &Path) -> Options {
        let acme = acme::Options {
            state: state.to_owned(),
            directory: "https://ca.example/dir".to_owned(),
            hosts: ["one.example".to_owned()].into(),
            email: None,
            eab: None,
            http: None,
            authority: None,
        };
        let file = acme.certificate();
        Options { certificate: file.clone(), key: file, minimum: MinimumVersion::Tls12, suites: None, client: None, acme: Some(acme) }
    }

    #[tokio::test]
    async fn a_stand_in_is_served_until_there_is_a_certificate_and_never_after() {
        let directory = tempfile::tempdir().unwrap();
        let options = acme_options(directory.path());
        let certificate = Arc::new(Certificate::open(options.clone()).await.unwrap());
        assert_eq!((certificate.expires(), certificate.leaf()), (None, None));
        std::fs::write(&options.certificate, "half a fi").unwrap();
        assert_eq!(certificate.reload().await.unwrap(), Reload::Replaced, "by another stand-in");
        assert_eq!(certificate.expires(), None);
        let made = rcgen::generate_simple_self_signed(["one.example".to_owned()]).unwrap();
        std::fs::write(&options.certificate, made.signing_key.serialize_pem() + &made.cert.pem()).unwrap();
        assert_eq!(certificate.reload().await.unwrap(), Reload::Replaced);
        let expires = certificate.expires();
        assert!(expires.is_some_and(|moment| moment > SystemTime::now()));
        assert_eq!(Certificate::open(options.clone()).await.unwrap().expires(), expires, "after a restart");
        std::fs::remove_file(&options.certificate).unwrap();
        assert!(matches!(certificate.reload().await, Err(Error::Unreadable { .. })));
        assert_eq!(certificate.expires(), expires);
    }

    #[tokio::test]
    async fn a_certificate_of_files_expires_when_its_leaf_does() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        let mut params = rcgen::CertificateParams::new(["one.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&options.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&options.key, key.serialize_pem()).unwrap();
        let expires = Certificate::open(options).await.unwrap().expires().unwrap();
        assert_eq!(expires, SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_893_456_000));
    }
}
