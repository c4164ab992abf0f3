//! The machine tokens of a running registry: verified, read again when their file changes, and their last use written down.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::claims::Date;
use super::error::Error;
use super::machine_token::{self, Ceiling, MachineToken};
use super::machine_token_file::{self as file, LastUses};
use crate::blocking;
use crate::whole_file::Stamp;

/// The tokens, in memory.
pub(super) struct MachineTokens {
    state: PathBuf,
    current: ArcSwap<Reading>,
    changing: tokio::sync::Mutex<()>,
}

struct Reading {
    stamp: Option<Stamp>,
    tokens: HashMap<String, Arc<Robot>>,
    /// What is known to be written down.
    saved: ArcSwap<LastUses>,
}

/// A token that is there.
pub(super) struct Robot {
    token: MachineToken,
    ceiling: Arc<Ceiling>,
    last_use: AtomicU64,
}

impl Robot {
    pub(super) fn token(&self) -> &MachineToken {
        &self.token
    }

    pub(super) fn ceiling(&self) -> Arc<Ceiling> {
        Arc::clone(&self.ceiling)
    }
}

impl MachineTokens {
    /// Reads the tokens of a state directory.
    pub(super) async fn open(state: &Path) -> Result<Self, Error> {
        let owned = state.to_owned();
        let reading = blocking::run(move || Reading::of(&owned, &file::read_uses(&owned)?)).await?;
        Ok(Self { state: state.to_owned(), current: ArcSwap::from_pointee(reading), changing: tokio::sync::Mutex::default() })
    }

    /// The token of a name and a secret.
    pub(super) fn verify(&self, name: &str, secret: &[u8], now: SystemTime) -> Option<Arc<Robot>> {
        let robot = self.find(name, now);
        let right = machine_token::is_secret_of(robot.as_deref().map(Robot::token), secret);
        robot.filter(|_| right).inspect(|robot| robot.touch(now))
    }

    /// The token of an id, while it is neither revoked nor expired; counts as a use.
    pub(super) fn recall(&self, name: &str, id: &str, now: SystemTime) -> Option<Arc<Robot>> {
        self.find(name, now).filter(|robot| robot.token.id == id).inspect(|robot| robot.touch(now))
    }

    /// The token of a name, while it is neither revoked nor expired.
    pub(super) fn find(&self, name: &str, now: SystemTime) -> Option<Arc<Robot>> {
        let robot = self.current.load().tokens.get(name).cloned()?;
        (!robot.token.is_expired(Date::of(now).0)).then_some(robot)
    }

    /// Reads the file again when it is another, or may be; a bad one leaves the old tokens in force.
    pub(super) async fn refresh(&self, now: SystemTime) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock().await;
        let path = file::tokens_of(&self.state);
        let old = self.current.load_full();
        let stamp = old.stamp;
        let changed = blocking::run(move || Stamp::changed(&path, stamp, now)).await;
        if changed { self.read(&old).await } else { Ok(()) }
    }

    /// Reads the file again, whether it changed or not.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock().await;
        self.read(&self.current.load_full()).await
    }

    async fn read(&self, old: &Reading) -> Result<(), Error> {
        let (state, uses) = (self.state.clone(), old.uses());
        let reading = blocking::run(move || Reading::of(&state, &uses)).await?;
        self.current.store(Arc::new(reading));
        Ok(())
    }

    /// Writes down when tokens were last used, if that has changed.
    pub(super) async fn save_uses(&self) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock().await;
        let current = self.current.load_full();
        let uses = current.uses();
        if uses == **current.saved.load() {
            return Ok(());
        }
        let (state, written) = (self.state.clone(), uses.clone());
        blocking::run(move || file::write_uses(&state, &written)).await?;
        current.saved.store(Arc::new(uses));
        Ok(())
    }
}

impl Reading {
    fn of(state: &Path, uses: &LastUses) -> Result<Self, Error> {
        let path = file::tokens_of(state);
        let stamp = Stamp::of(&path).ok();
        let robot = |token: MachineToken| {
            let last_use = AtomicU64::new(uses.get(&token.id).copied().unwrap_or_default());
            (token.name.clone(), Arc::new(Robot { ceiling: Arc::new(token.ceiling()), last_use, token }))
        };
        let tokens = file::read(&path)?.into_iter().map(robot).collect();
        Ok(Self { stamp, tokens, saved: ArcSwap::default() })
    }

    fn uses(&self) -> LastUses {
        let uses = self.tokens.values().map(|robot| (robot.token.id.clone(), robot.last_use.load(Ordering::Relaxed)));
        uses.filter(|(_, last)| *last > 0).collect()
    }
}

impl Robot {
    fn touch(&self, now: SystemTime) {
        self.last_use.fetch_max(Date::of(now).0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{MachineTokenFile, TokenPurpose};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn create(state: &Path, name: &str, expires: Option<u64>) -> zeroize::Zeroizing<String> {
        let purpose = TokenPurpose::new(name, vec!["**".into()], &["pull".into()], expires).unwrap();
        MachineTokenFile::open(state).unwrap().create(purpose, 1).unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_secret_is_good_until_it_expires_or_is_revoked() {
        let state = tempfile::tempdir().unwrap();
        let secret = create(state.path(), "ci", Some(100));
        let tokens = MachineTokens::open(state.path()).await.unwrap();
        let robot = tokens.verify("ci", secret.as_bytes(), at(50)).unwrap();
        assert!(tokens.verify("ci", b"other", at(50)).is_none() && tokens.verify("cj", secret.as_bytes(), at(50)).is_none());
        assert!(tokens.verify("ci", secret.as_bytes(), at(100)).is_none());
        let id = robot.token().id.clone();
        assert!(tokens.recall("ci", &id, at(99)).is_some() && tokens.recall("ci", "other", at(99)).is_none());
        MachineTokenFile::open(state.path()).unwrap().revoke("ci").unwrap();
        tokens.refresh(SystemTime::now()).await.unwrap();
        assert!(tokens.recall("ci", &id, at(99)).is_none() && tokens.verify("ci", secret.as_bytes(), at(50)).is_none());
    }

    #[tokio::test]
    async fn the_last_use_outlives_a_reading_and_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let secret = create(state.path(), "ci", None);
        let tokens = MachineTokens::open(state.path()).await.unwrap();
        tokens.verify("ci", secret.as_bytes(), at(50)).unwrap();
        create(state.path(), "other", None);
        tokens.reload().await.unwrap();
        tokens.save_uses().await.unwrap();
        let file = MachineTokenFile::read(state.path()).unwrap();
        let last = |name: &str| file.last_use(file.get(name).unwrap());
        assert_eq!((last("ci"), last("other")), (Some(50), None));
        let again = MachineTokens::open(state.path()).await.unwrap();
        assert_eq!(again.current.load().uses().values().copied().collect::<Vec<_>>(), [50]);
    }

    #[tokio::test]
    async fn uses_within_one_second_are_all_written_down() {
        let state = tempfile::tempdir().unwrap();
        let secrets = ["ci", "cd"].map(|name| (name, create(state.path(), name, None)));
        let tokens = MachineTokens::open(state.path()).await.unwrap();
        for (name, secret) in &secrets {
            tokens.verify(name, secret.as_bytes(), at(50)).unwrap();
            tokens.save_uses().await.unwrap();
            let file = MachineTokenFile::read(state.path()).unwrap();
            assert_eq!(file.last_use(file.get(name).unwrap()), Some(50), "{name}");
        }
    }

    #[tokio::test]
    async fn a_broken_file_leaves_the_old_tokens_in_force() {
        let state = tempfile::tempdir().unwrap();
        let secret = create(state.path(), "ci", None);
        let tokens = MachineTokens::open(state.path()).await.unwrap();
        std::fs::write(file::tokens_of(state.path()), "{").unwrap();
        assert!(tokens.reload().await.is_err());
        assert!(tokens.verify("ci", secret.as_bytes(), at(50)).is_some());
    }
}
