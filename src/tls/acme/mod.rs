//! Certificates of an ACME server (RFC 8555), such as Let's Encrypt: ordered, kept, and renewed long before they run out.
//!
//! Owns the account, the orders, the answers to challenges and when all of that happens. What is issued is written to the state
//! directory first, and served from there as any other certificate is. Invariant: whatever fails here, connections are accepted as
//! before; until there is a first certificate, with one that is signed by nobody but itself.

mod account;
mod challenge;
mod client;
mod error;
mod issued;
mod order;
mod renewal;
mod schedule;
mod stand_in;
mod store;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use zeroize::Zeroizing;

pub(super) use challenge::Challenges;
pub use error::{Error, Step};
pub(super) use stand_in::StandIn;
pub(super) use store::{certificate_file, make_directory};

/// Let's Encrypt, as registry:2 has it.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// `http.tls.letsencrypt`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the account and the certificates are kept, each server's apart.
    pub state: PathBuf,
    /// `directoryurl`: where the server begins.
    pub directory: String,
    /// `hosts`: the names of the certificate, in lower case.
    pub hosts: BTreeSet<String>,
    /// `email`: whom the server may write to.
    pub email: Option<String>,
    /// `eab`: whose customer we are there, for servers that ask for it.
    pub eab: Option<ExternalAccount>,
    /// `http`: where HTTP-01 is answered; `None`: TLS-ALPN-01 is, where the registry listens.
    pub http: Option<String>,
    /// `cacert`: by what the server's own certificate is to be verified; `None`: as the system has it.
    pub authority: Option<PathBuf>,
}

impl Options {
    /// The file that holds the certificate and its key.
    pub fn certificate(&self) -> PathBuf {
        certificate_file(self)
    }
}

/// `letsencrypt.eab`: external account binding.
#[derive(Clone)]
pub struct ExternalAccount {
    /// The name of the key.
    pub id: String,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

/// Without the key.
impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How renewing went so far, for those who watch; a first certificate counts as a renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewals {
    /// How often a certificate was issued.
    pub succeeded: u64,
    /// How often none was.
    pub failed: u64,
    /// When it was last tried.
    pub last_attempt: Option<SystemTime>,
    /// Why it did not work the last time; `None`: it did.
    pub last_error: Option<String>,
}

/// What an ACME server is told, and how that goes.
#[derive(Debug)]
pub struct Acme {
    options: Options,
    challenges: Challenges,
    renewals: Mutex<Renewals>,
    hurry: Notify,
}

impl Acme {
    pub(super) fn new(options: Options) -> Self {
        Self { options, challenges: Challenges::default(), renewals: Mutex::default(), hurry: Notify::new() }
    }

    /// The hosts of the certificate.
    pub fn hosts(&self) -> &BTreeSet<String> {
        &self.options.hosts
    }

    /// Where HTTP-01 is to be answered, if it is.
    pub fn http(&self) -> Option<&str> {
        self.options.http.as_deref()
    }

    /// What HTTP-01 expects at a token.
    pub fn text(&self, token: &str) -> Option<String> {
        self.challenges.text(token)
    }

    /// How renewing went so far.
    pub fn renewals(&self) -> Renewals {
        self.lock().clone()
    }

    /// Has what failed tried again at once.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    pub(super) fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    pub(super) fn stand_in(&self) -> Result<StandIn, Error> {
        StandIn::make(&self.options.hosts)
    }

    fn lock(&self) -> MutexGuard<'_, Renewals> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
