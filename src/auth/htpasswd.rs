//! Passwords of a running registry: verified, remembered for a while, and read again when the file changes.
//!
//! Invariants: an unknown user costs the same hash as a known one; hashes run in a pool of their own; what is remembered is a keyed
//! digest, good only for the entry it was made with, and costs neither a hash nor a count.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::defence::Defence;
use super::entries::{self, DEFAULT_COST, Entries, Hash};
use super::error::Error;
use super::hash_pool::HashPool;
use super::identity::{Proof, Source};
use crate::blocking;
use crate::whole_file::{self, PRIVATE, Stamp};

/// The password file, in memory.
pub(super) struct Passwords {
    path: PathBuf,
    current: ArcSwap<Reading>,
    /// Seconds since the epoch at which the file was last looked at.
    looked: AtomicU64,
    reading: tokio::sync::Mutex<()>,
    key: hmac::Key,
    remembered: moka::sync::Cache<Fingerprint, ()>,
    running: Mutex<HashMap<Fingerprint, Arc<OnceCell<Compared>>>>,
    defence: Arc<Defence>,
    pool: HashPool,
    hashes: Arc<AtomicU64>,
}

/// A password to be compared.
struct Attempt<'a> {
    user: &'a str,
    password: &'a [u8],
    /// What it is compared with: of an unknown user, a hash that nothing matches.
    hash: Hash,
    is_known: bool,
    source: Source,
}

/// What came of a comparison.
#[derive(Clone, Copy)]
enum Compared {
    Right,
    /// The answer is to wait that long.
    Wrong(Duration),
}

/// What one look at the file gave; a bad file gives the old entries with the new stamp.
struct Reading {
    stamp: Option<Stamp>,
    content: [u8; 32],
    entries: Arc<Entries>,
}

/// A keyed digest of a user, a password and the entry they were compared with.
type Fingerprint = [u8; 32];

/// A place among those who wait for one check; the last to leave takes the check off the list.
struct Waiter<'a> {
    passwords: &'a Passwords,
    fingerprint: Fingerprint,
    outcome: Arc<OnceCell<Compared>>,
}

impl Passwords {
    /// Reads the file, or makes one as registry:2 does: a user `docker` with a random password, which is logged once.
    pub(super) async fn open(path: &Path, defence: Arc<Defence>) -> Result<Self, Error> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new()).map_err(|_| Error::Crypto)?;
        let owned = path.to_path_buf();
        let reading = blocking::run(move || {
            provision(&owned)?;
            Reading::of(&owned)
        })
        .await?;
        Ok(Self {
            path: path.to_path_buf(),
            current: ArcSwap::from_pointee(reading),
            looked: AtomicU64::new(0),
            reading: tokio::sync::Mutex::new(()),
            key,
            remembered: moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(MEMORY).build(),
            running: Mutex::default(),
            defence,
            pool: HashPool::start().map_err(Error::storage(path))?,
            hashes: Arc::default(),
        })
    }

    /// Checks that the password is the user's, by the file as it is now, give or take a second; returns the entry that matched,
    /// and whether it had to be compared. A wrong one is counted, and its answer delayed.
    pub(super) async fn verify(&self, user: &str, password: &[u8], source: Source, now: SystemTime) -> Result<(Hash, Proof), Error> {
        self.look(now).await;
        let entries = Arc::clone(&self.current.load().entries);
        let entry = entries.get(user);
        let is_known = entry.is_some_and(|hash| hash.cost().is_some());
        let hash = entry.filter(|_| is_known).cloned().unwrap_or_else(|| entries.dummy());
        let fingerprint = self.fingerprint(user, password, &hash);
        if self.remembered.contains_key(&fingerprint) {
            self.defence.welcome(source);
            return Ok((hash, Proof::Remembered));
        }
        let attempt = Attempt { user, password, hash: hash.clone(), is_known, source };
        match self.check(fingerprint, attempt).await? {
            Compared::Right => {
                self.remembered.insert(fingerprint, ());
                self.defence.welcome(source);
                Ok((hash, Proof::Login))
            }
            Compared::Wrong(delay) => {
                tokio::time::sleep(delay).await;
                Err(Error::WrongCredentials)
            }
        }
    }

    /// Whether a user has an entry that can match, by the file as it was last looked at.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.current.load().entries.get(user).is_some_and(|hash| hash.cost().is_some())
    }

    /// The user's entry, by the file as it is now; only one that can match.
    pub(super) async fn entry(&self, user: &str, now: SystemTime) -> Option<Hash> {
        self.look(now).await;
        self.current.load().entries.get(user).filter(|hash| hash.cost().is_some()).cloned()
    }

    /// Reads the file again, whether it changed or not; a bad one leaves the old entries in force.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        let _one_at_a_time = self.reading.lock().await;
        let path = self.path.clone();
        let reading = blocking::run(move || Reading::of(&path)).await?;
        self.adopt(reading);
        Ok(())
    }

    /// How many hashes have been computed.
    pub(super) fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }

    /// Looks at the file at most once a second, and reads it when it is another.
    pub(super) async fn look(&self, now: SystemTime) {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let looked = self.looked.load(Ordering::Relaxed);
        if seconds == looked || self.looked.compare_exchange(looked, seconds, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let Ok(_one_at_a_time) = self.reading.try_lock() else { return };
        let (path, old) = (self.path.clone(), self.current.load_full());
        if let Some(reading) = blocking::run(move || old.changed(&path, now)).await {
            self.adopt(reading);
        }
    }

    fn adopt(&self, reading: Reading) {
        self.current.store(Arc::new(reading));
        self.remembered.invalidate_all();
    }

    /// One hash for all who ask the same at the same time. That an address is closed is said to those who come from there only.
    async fn check(&self, fingerprint: Fingerprint, attempt: Attempt<'_>) -> Result<Compared, Error> {
        // Who is not listened to any more takes no place in the queue.
        if let Some(wait) = self.defence.closed_for(attempt.source, attempt.user) {
            return Err(Error::Closed(wait));
        }
        let waiter = Waiter::new(self, fingerprint);
        let outcome = waiter.outcome.get_or_try_init(|| self.compare(attempt)).await?;
        Ok(*outcome)
    }

    async fn compare(&self, attempt: Attempt<'_>) -> Result<Compared, Error> {
        let (defence, hashes) = (Arc::clone(&self.defence), Arc::clone(&self.hashes));
        let Attempt { user, password, hash, is_known, source } = attempt;
        let place = defence.enter(source);
        let (user, password) = (user.to_owned(), Zeroizing::new(password.to_vec()));
        let compare = move || {
            // Those that were wrong while this one waited count too: a burst of guesses gets no further than one after the other.
            if let Some(wait) = defence.closed_for(source, &user) {
                return Err(Error::Closed(wait));
            }
            hashes.fetch_add(1, Ordering::Relaxed);
            let matches = entries::matches(&hash, &password);
            Ok(if matches && is_known { Compared::Right } else { Compared::Wrong(defence.count(source, &user)) })
        };
        self.pool.run(place, compare).await?
    }

    fn fingerprint(&self, user: &str, password: &[u8], hash: &Hash) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), password, hash.as_str().as_bytes()] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(context.sign().as_ref());
        fingerprint
    }
}

impl Reading {
    fn of(path: &Path) -> Result<Self, Error> {
        let stamp = Stamp::of(path).map_err(Error::storage(path))?;
        Self::parse(Some(stamp), &entries::read(path)?, path)
    }

    fn parse(stamp: Option<Stamp>, text: &str, path: &Path) -> Result<Self, Error> {
        Ok(Self { stamp, content: content_of(text), entries: Arc::new(Entries::parse(text, path)?) })
    }

    /// Another reading when the file is another; with these entries when it is a bad one, which is told once.
    fn changed(&self, path: &Path, now: SystemTime) -> Option<Self> {
        let stamp = Stamp::of(path).ok();
        let same = stamp == self.stamp;
        if same && !stamp.is_some_and(|stamp| stamp.is_young(now)) {
            return None;
        }
        let read = entries::read(path).and_then(|text| {
            let unchanged = same && content_of(&text) == self.content;
            if unchanged { Ok(None) } else { Self::parse(stamp, &text, path).map(Some) }
        });
        match read {
            Ok(reading) => reading,
            Err(_) if same => None,
            Err(error) => {
                tracing::warn!(file.path = %path.display(), error = %error, "password file is unusable, keeping the old entries");
                Some(Self { stamp, content: self.content, entries: Arc::clone(&self.entries) })
            }
        }
    }
}

impl<'a> Waiter<'a> {
    fn new(passwords: &'a Passwords, fingerprint: Fingerprint) -> Self {
        let mut running = passwords.running.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = Arc::clone(running.entry(fingerprint).or_default());
        Self { passwords, fingerprint, outcome }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut running = self.passwords.running.lock().unwrap_or_else(PoisonError::into_inner);
        // The list's own and mine.
        if Arc::strong_count(&self.outcome) <= 2 {
            running.remove(&self.fingerprint);
        }
    }
}

fn content_of(text: &str) -> [u8; 32] {
    let mut content = [0; 32];
    content.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    content
}

/// Makes a missing file, with one user.
fn provision(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(Error::PasswordDirectory { path: path.to_path_buf() }),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::storage(path)(error)),
    }
    let mut random = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::Crypto)?;
    let password = URL_SAFE_NO_PAD.encode(random);
    let line = format!("{FIRST_USER}:{}\n", entries::hash(&password, DEFAULT_COST)?);
    whole_file::replace(path, line.as_bytes(), PRIVATE).map_err(Error::storage(path))?;
    tracing::warn!(file.path = %path.display(), user = FIRST_USER, password, "password file is missing, made one with a user");
    Ok(())
}

/// The user in a file of our making, as registry:2 names it.
const FIRST_USER: &str = "docker";
/// How many verified passwords are remembered, and for how long.
const REMEMBERED: u64 = 10_000;
const MEMORY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
