//! The file of the machine tokens: read by a running registry, changed by the command line.
//!
//! Invariant: whoever changes the file holds its lock, so that of two commands at once neither undoes the other. When a token
//! was last used stands in a file of its own, which only the registry writes. All of it blocks.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::Error;
use super::machine_token::{MachineToken, TokenPurpose};
use crate::whole_file::{self, PRIVATE};

/// The tokens of a state directory.
#[derive(Debug)]
pub struct MachineTokenFile {
    path: PathBuf,
    tokens: Vec<MachineToken>,
    /// Held until the file has been changed.
    _lock: Option<File>,
}

/// When tokens were last used, in seconds since the epoch, by their ids.
pub(super) type LastUses = BTreeMap<String, u64>;

#[derive(Default, Serialize, Deserialize)]
struct Document {
    tokens: Vec<MachineToken>,
}

impl MachineTokenFile {
    /// Reads the tokens; a file that is missing has none.
    pub fn read(state: &Path) -> Result<Self, Error> {
        let path = tokens_of(state);
        Ok(Self { tokens: read(&path)?, path, _lock: None })
    }

    /// Reads the tokens to change them: until this is dropped nobody else does.
    pub fn open(state: &Path) -> Result<Self, Error> {
        whole_file::make_directory(state).map_err(Error::storage(state))?;
        let path = state.join("machine-tokens.lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE).open(&path);
        let lock = lock.and_then(|file| file.lock().map(|()| file)).map_err(Error::storage(&path))?;
        // Made by root, it is for the server's user to lock as well.
        whole_file::give_to_owner_of(state, &path);
        Ok(Self { _lock: Some(lock), ..Self::read(state)? })
    }

    /// The tokens, in the order in which they were made.
    pub fn tokens(&self) -> &[MachineToken] {
        &self.tokens
    }

    /// The token of a name.
    pub fn get(&self, name: &str) -> Option<&MachineToken> {
        self.tokens.iter().find(|token| token.name == name)
    }

    /// Makes a token and stores it; its secret, or nothing when a token of that name is there that has not expired.
    pub fn create(&mut self, purpose: TokenPurpose, now: u64) -> Result<Option<Zeroizing<String>>, Error> {
        if self.get(&purpose.name).is_some_and(|known| !known.is_expired(now)) {
            return Ok(None);
        }
        let (token, secret) = MachineToken::issue(purpose, now)?;
        self.tokens.retain(|known| known.name != token.name);
        self.tokens.push(token);
        self.save()?;
        Ok(Some(secret))
    }

    /// Takes a token away; whether it was there.
    pub fn revoke(&mut self, name: &str) -> Result<bool, Error> {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        if self.tokens.len() == before {
            return Ok(false);
        }
        self.save()?;
        Ok(true)
    }

    /// When a token was last used, in seconds since the epoch, as far as the registry has written it down.
    pub fn last_use(&self, token: &MachineToken) -> Option<u64> {
        let state = self.path.parent()?;
        read_uses(state).ok()?.get(&token.id).copied()
    }

    fn save(&self) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(&Document { tokens: self.tokens.clone() }).map_err(io::Error::from);
        text.and_then(|text| whole_file::replace(&self.path, &text, PRIVATE)).map_err(Error::storage(&self.path))
    }
}

/// Where the tokens of a state directory lie.
pub(super) fn tokens_of(state: &Path) -> PathBuf {
    state.join("machine-tokens.json")
}

/// Reads the tokens of a file; one that is missing has none.
pub(super) fn read(path: &Path) -> Result<Vec<MachineToken>, Error> {
    let document: Document = read_json(path)?;
    Ok(document.tokens)
}

/// Reads when tokens were last used.
pub(super) fn read_uses(state: &Path) -> Result<LastUses, Error> {
    read_json(&uses_of(state))
}

/// Writes when tokens were last used.
pub(super) fn write_uses(state: &Path, uses: &LastUses) -> Result<(), Error> {
    let path = uses_of(state);
    let text = serde_json::to_vec(uses).map_err(io::Error::from);
    text.and_then(|text| whole_file::replace(&path, &text, PRIVATE)).map_err(Error::storage(&path))
}

fn uses_of(state: &Path) -> PathBuf {
    state.join("machine-tokens.used.json")
}

fn read_json<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| Error::storage(path)(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(Error::storage(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn purpose(name: &str, expires: Option<u64>) -> TokenPurpose {
        TokenPurpose::new(name, vec!["**".into()], &["pull".into()], expires).unwrap()
    }

    #[test]
    fn a_token_is_kept_for_the_owner_alone_until_it_is_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        assert!(MachineTokenFile::read(&state).unwrap().tokens().is_empty());
        let secret = MachineTokenFile::open(&state).unwrap().create(purpose("ci", None), 1).unwrap().unwrap();
        let path = tokens_of(&state);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains(&*secret));
        let mut file = MachineTokenFile::open(&state).unwrap();
        assert!(file.create(purpose("ci", None), 2).unwrap().is_none(), "a name is given once");
        assert!(file.revoke("ci").unwrap() && !file.revoke("ci").unwrap());
        assert!(MachineTokenFile::read(&state).unwrap().tokens().is_empty());
    }

    #[test]
    fn a_name_is_free_again_when_its_token_has_expired() {
        let state = tempfile::tempdir().unwrap();
        let mut file = MachineTokenFile::open(state.path()).unwrap();
        file.create(purpose("ci", Some(10)), 1).unwrap().unwrap();
        assert!(file.create(purpose("ci", None), 9).unwrap().is_none());
        assert!(file.create(purpose("ci", None), 10).unwrap().is_some());
        assert_eq!(file.tokens().len(), 1);
    }

    #[test]
    fn commands_at_once_do_not_undo_each_other() {
        let state = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let state = state.path();
                scope.spawn(move || MachineTokenFile::open(state).unwrap().create(purpose(&format!("ci-{number}"), None), 1).unwrap());
            }
        });
        assert_eq!(MachineTokenFile::read(state.path()).unwrap().tokens().len(), 8);
    }
}
