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
    /// Not compared: too many were wrong before.
    Closed(Duration),
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
            return Ok((hash, Proof::Remembered));
        }
        let attempt = Attempt { user, password, hash: hash.clone(), is_known, source };
        match self.check(fingerprint, attempt).await? {
            Compared::Right => {
                self.remembered.insert(fingerprint, ());
                Ok((hash, Proof::Login))
            }
            Compared::Wrong(delay) => {
                tokio::time::sleep(delay).await;
                Err(Error::WrongCredentials)
            }
            Compared::Closed(wait) => Err(Error::Closed(wait)),
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

    /// One hash for all who ask the same at the same time.
    async fn check(&self, fingerprint: Fingerprint, attempt: Attempt<'_>) -> Result<Compared, Error> {
        // Who is not listened to any more takes no place in the queue.
        if let Some(wait) = self.defence.closed_for(attempt.source, attempt.user) {
            return Ok(Compared::Closed(wait));
        }
        let waiter = Waiter::new(self, fingerprint);
        let outcome = waiter.outcome.get_or_try_init(|| self.compare(attempt)).await?;
        Ok(*outcome)
    }

    async fn compare(&self, attempt: Attempt<'_>) -> Result<Compared, Error> {
        let (defence, hashes) = (Arc::clone(&self.defence), Arc::clone(&self.hashes));
        let Attempt { user, password, hash, is_known, source } = attempt;
        let (user, password) = (user.to_owned(), Zeroizing::new(password.to_vec()));
        let compare = move || {
            // Those that were wrong while this one waited count too: a burst of guesses gets no further than one after the other.
            if let Some(wait) = defence.closed_for(source, &user) {
                return Compared::Closed(wait);
            }
            hashes.fetch_add(1, Ordering::Relaxed);
            let matches = entries::matches(&hash, &password);
            if matches && is_known { Compared::Right } else { Compared::Wrong(defence.count(source, &user)) }
        };
        self.pool.run(compare).await
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
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use futures_util::future::join_all;

    use super::*;
    use crate::auth::LoginLimits;
    use crate::auth::hash_pool::WAITING;

    const COST: u32 = 4;

    fn line(user: &str, password: &str) -> String {
        format!("{user}:{}\n", entries::hash(password, COST).unwrap())
    }

    impl Passwords {
        async fn login_here(&self, user: &str, password: &[u8], now: SystemTime) -> Result<Hash, Error> {
            let here = Source::direct(std::net::Ipv4Addr::LOCALHOST.into());
            self.verify(user, password, here, now).await.map(|(entry, _)| entry)
        }
    }

    async fn open(path: &Path) -> Result<Passwords, Error> {
        Passwords::open(path, Arc::new(Defence::new(LoginLimits::default()))).await
    }

    async fn opened(text: &str) -> (tempfile::TempDir, PathBuf, Passwords) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        fs::write(&path, text).unwrap();
        let passwords = open(&path).await.unwrap();
        (dir, path, passwords)
    }

    fn later(seconds: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(seconds)
    }

    fn is_wrong(outcome: &Result<Hash, Error>) -> bool {
        matches!(outcome, Err(Error::WrongCredentials))
    }

    #[tokio::test]
    async fn unknown_users_and_dead_entries_cost_the_same_hash_as_known_ones() {
        let (_dir, _path, passwords) = opened(&format!("{}dead:plain\n", line("alice", "pw"))).await;
        let now = later(0);
        for (number, (user, password)) in [("alice", "wrong"), ("nobody", "pw"), ("dead", "plain"), ("", "")].into_iter().enumerate() {
            assert!(is_wrong(&passwords.login_here(user, password.as_bytes(), now).await), "{user}");
            assert_eq!(passwords.hashes(), number as u64 + 1, "{user}");
        }
    }

    #[tokio::test]
    async fn a_remembered_password_costs_no_second_hash_and_a_wrong_one_always_does() {
        let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
        let now = later(10);
        for _ in 0..3 {
            assert!(passwords.login_here("alice", b"pw", now).await.is_ok());
        }
        assert_eq!(passwords.hashes(), 1);
        for _ in 0..2 {
            assert!(is_wrong(&passwords.login_here("alice", b"wrong", now).await));
        }
        assert_eq!(passwords.hashes(), 3);
        assert!(is_wrong(&passwords.login_here("alicep", b"w", now).await));
    }

    #[tokio::test]
    async fn the_same_check_at_the_same_time_is_made_once() {
        let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
        let now = later(10);
        let outcomes = join_all((0..200).map(|_| passwords.login_here("alice", b"pw", now))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(passwords.hashes(), 1);
        assert!(passwords.running.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn beyond_the_queue_a_check_is_refused_as_busy() {
        let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
        let now = later(10);
        let guesses: Vec<String> = (0..WAITING + 200).map(|number| number.to_string()).collect();
        let outcomes = join_all(guesses.iter().map(|guess| passwords.login_here("alice", guess.as_bytes(), now))).await;
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Busy))));
        assert!(outcomes.iter().any(is_wrong));
        assert!(passwords.running.lock().unwrap().is_empty());
        assert!(passwords.login_here("alice", b"pw", now).await.is_ok());
    }

    #[tokio::test]
    async fn a_closed_address_gets_no_hash_and_a_remembered_password_needs_none() {
        let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
        let there = Source::direct("192.0.2.1".parse().unwrap());
        let now = later(10);
        assert_eq!(passwords.verify("alice", b"pw", there, now).await.unwrap().1, Proof::Login);
        for _ in 0..20 {
            // Another user each time, so that no answer has to wait.
            let user = uuid::Uuid::new_v4().to_string();
            assert!(matches!(passwords.verify(&user, b"guess", there, now).await, Err(Error::WrongCredentials)));
        }
        let hashes = passwords.hashes();
        for user in ["alice", "nobody"] {
            assert!(matches!(passwords.verify(user, b"guess", there, now).await, Err(Error::Closed(_))), "{user}");
        }
        assert_eq!(passwords.verify("alice", b"pw", there, now).await.unwrap().1, Proof::Remembered);
        assert_eq!(passwords.hashes(), hashes);
        assert!(passwords.login_here("alice", b"pw", now).await.is_ok(), "nobody else is locked out");
    }

    #[tokio::test]
    async fn a_burst_of_guesses_gets_no_further_than_one_after_the_other() {
        let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
        let there = Source::direct("192.0.2.1".parse().unwrap());
        let now = later(10);
        let guesses: Vec<String> = (0..60).map(|number| number.to_string()).collect();
        let attempts = guesses.iter().map(|guess| passwords.verify(guess, b"x", there, now));
        let outcomes = join_all(attempts).await;
        assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::WrongCredentials))).count() as u64, passwords.hashes());
        assert_eq!(passwords.hashes(), 20);
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_what_was_remembered_is_dropped() {
        let (_dir, path, passwords) = opened(&line("alice", "old")).await;
        assert!(passwords.login_here("alice", b"old", later(10)).await.is_ok());
        fs::write(&path, line("alice", "new")).unwrap();
        assert!(passwords.login_here("alice", b"new", later(11)).await.is_ok());
        assert!(is_wrong(&passwords.login_here("alice", b"old", later(11)).await));
    }

    #[tokio::test]
    async fn a_young_file_that_stays_the_same_forgets_nothing() {
        let (_dir, path, passwords) = opened(&line("alice", "pw")).await;
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        for seconds in 0..5 {
            assert!(passwords.login_here("alice", b"pw", modified + Duration::from_secs(seconds)).await.is_ok());
        }
        assert_eq!(passwords.hashes(), 1);
    }

    #[tokio::test]
    async fn two_changes_within_one_tick_are_both_seen() {
        let (_dir, path, passwords) = opened(&line("alice", "old")).await;
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, line("alice", "new")).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert!(passwords.login_here("alice", b"new", modified + Duration::from_secs(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_bad_or_vanished_file_keeps_the_old_entries() {
        let (_dir, path, passwords) = opened(&line("alice", "pw")).await;
        fs::write(&path, "no colon here\n").unwrap();
        assert!(passwords.login_here("alice", b"pw", later(10)).await.is_ok());
        assert!(matches!(passwords.reload().await, Err(Error::PasswordLine { line: 1, .. })));
        fs::remove_file(&path).unwrap();
        assert!(passwords.login_here("alice", b"pw", later(11)).await.is_ok());
        assert!(passwords.entry("alice", later(12)).await.is_some());
        fs::write(&path, line("bob", "pw")).unwrap();
        assert!(is_wrong(&passwords.login_here("alice", b"pw", later(13)).await));
        assert!(passwords.login_here("bob", b"pw", later(13)).await.is_ok());
    }

    #[tokio::test]
    async fn within_a_second_the_file_is_not_looked_at_but_a_reload_reads_it() {
        let (_dir, path, passwords) = opened(&line("alice", "old")).await;
        let now = later(10);
        assert!(passwords.login_here("alice", b"old", now).await.is_ok());
        fs::write(&path, line("alice", "new")).unwrap();
        assert!(passwords.login_here("alice", b"old", now).await.is_ok());
        passwords.reload().await.unwrap();
        assert!(is_wrong(&passwords.login_here("alice", b"old", now).await));
    }

    #[tokio::test]
    async fn a_missing_file_is_made_with_one_user_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth/htpasswd");
        open(&path).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("docker:$2y$10$") && text.lines().count() == 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        open(&path).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[tokio::test]
    async fn a_directory_in_the_place_of_the_file_is_named_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = open(dir.path()).await.err().unwrap();
        assert!(error.to_string().starts_with(&format!("{} is a directory", dir.path().display())), "{error}");
    }

    #[tokio::test]
    async fn a_remembered_password_is_a_matter_of_microseconds() {
        let (_dir, _path, passwords) = opened(&line("alice", "pw")).await;
        let now = later(10);
        passwords.login_here("alice", b"pw", now).await.unwrap();
        let start = Instant::now();
        for _ in 0..1000 {
            passwords.login_here("alice", b"pw", now).await.unwrap();
        }
        // A thousand in less than one hash at cost 10 takes, even unoptimised.
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }
}
