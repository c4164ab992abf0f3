//! The text of a password file (`user:hash` lines, as Apache's htpasswd writes them), and changes to it.
//!
//! Owns the grammar. Does not verify in service of requests (see `htpasswd`). Invariant: no error and no log line quotes a line.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{EntryFault, Error};
use super::private_file;
use crate::blocking;

/// The entries of one reading.
#[derive(Debug, Default)]
pub(super) struct Entries {
    hashes: HashMap<String, Hash>,
    cost: u32,
}

/// The part of a line after the colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    text: Arc<str>,
    cost: Option<u32>,
}

/// A password file that is changed by hand, one entry at a time; comments and order stay.
#[derive(Debug)]
pub struct PasswordFile {
    path: PathBuf,
}

/// What a missing file counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    Empty,
    Fail,
}

impl Hash {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), cost: bcrypt_cost(text) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The cost of a bcrypt hash that can match; `None` for every other scheme, which never does.
    pub(super) fn cost(&self) -> Option<u32> {
        self.cost
    }
}

impl Entries {
    /// Reads the text: blank lines and those led by `#` are skipped, the last line of a user wins, as in registry:2.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut entries = Self::default();
        for (line, user, hash) in lines(text).filter_map(|(number, line)| entry_of(line).map(|entry| (number, entry.0, entry.1))) {
            let hash = Hash::new(hash.ok_or_else(|| Error::PasswordLine { path: path.to_path_buf(), line })?);
            if hash.cost.is_none() {
                tracing::warn!(file.path = %path.display(), file.line = line, "password file has an entry that is not bcrypt and never matches");
            }
            entries.hashes.insert(user.into(), hash);
        }
        entries.cost = entries.usual_cost();
        Ok(entries)
    }

    pub(super) fn get(&self, user: &str) -> Option<&Hash> {
        self.hashes.get(user)
    }

    /// A hash that no password has, at the cost that most of the entries have.
    pub(super) fn dummy(&self) -> Hash {
        Hash { text: format!("$2y${:02}${}", self.cost, ".".repeat(53)).into(), cost: None }
    }

    /// The commonest cost; of equals the highest.
    fn usual_cost(&self) -> u32 {
        let mut counts = [0_usize; 32];
        for cost in self.hashes.values().filter_map(Hash::cost) {
            counts[cost as usize] += 1;
        }
        let usual = (4..32).max_by_key(|cost| counts[*cost as usize]).filter(|cost| counts[*cost as usize] > 0);
        usual.unwrap_or(DEFAULT_COST)
    }
}

impl PasswordFile {
    /// A file by its path, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Adds the user, or replaces the password of one who is there; atomic and durable, and makes a missing file for its owner alone.
    pub async fn add(&self, user: &str, password: &str, cost: u32) -> Result<(), Error> {
        check_user(user)?;
        check_password(password)?;
        let (path, user, password) = (self.path.clone(), user.to_owned(), password.to_owned());
        blocking::run(move || {
            let hash = hash(&password, cost)?;
            let text = read_to_change(&path, IfMissing::Empty)?;
            write(&path, &with_entry(&text, &user, Some(&hash)))
        })
        .await
    }

    /// Removes the user; atomic and durable.
    pub async fn remove(&self, user: &str) -> Result<(), Error> {
        let (path, user) = (self.path.clone(), user.to_owned());
        blocking::run(move || {
            let text = read_to_change(&path, IfMissing::Fail)?;
            if Entries::parse(&text, &path)?.get(&user).is_none() {
                return Err(EntryFault::Unknown.into());
            }
            write(&path, &with_entry(&text, &user, None))
        })
        .await
    }

    /// The users, each with whether the entry can match at all, in the order of the file.
    pub async fn users(&self) -> Result<Vec<(String, bool)>, Error> {
        let path = self.path.clone();
        blocking::run(move || {
            let text = read(&path)?;
            let entries = Entries::parse(&text, &path)?;
            let mut users: Vec<(String, bool)> = Vec::new();
            for (user, _) in lines(&text).filter_map(|(_, line)| entry_of(line)) {
                if !users.iter().any(|(known, _)| known == user) {
                    users.push((user.into(), entries.get(user).is_some_and(|hash| hash.cost.is_some())));
                }
            }
            Ok(users)
        })
        .await
    }

    /// Whether the password is the user's; `WrongCredentials` when not.
    pub async fn verify(&self, user: &str, password: &str) -> Result<(), Error> {
        let (path, user, password) = (self.path.clone(), user.to_owned(), password.to_owned());
        blocking::run(move || {
            let entries = Entries::parse(&read(&path)?, &path)?;
            let matches = entries.get(&user).is_some_and(|hash| hash.cost.is_some() && matches(hash, password.as_bytes()));
            if matches { Ok(()) } else { Err(Error::WrongCredentials) }
        })
        .await
    }
}

/// Hashes a password for a new entry; blocks for as long as the cost demands.
pub(super) fn hash(password: &str, cost: u32) -> Result<String, Error> {
    let parts = bcrypt::hash_with_result(password, cost).map_err(|_| Error::Crypto)?;
    Ok(parts.format_for_version(bcrypt::Version::TwoY))
}

/// Compares a password with an entry's hash, as Go's bcrypt does: what lies beyond 72 bytes is ignored. Blocks.
pub(super) fn matches(hash: &Hash, password: &[u8]) -> bool {
    bcrypt::verify(password, hash.as_str()).unwrap_or(false)
}

/// Reads the whole file; bytes that are not UTF-8 are replaced, as they are in what a request brings.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(Error::storage(path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Replaces the file in one step, with the mode it had, or for its owner alone.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777);
    private_file::replace(path, text.as_bytes(), mode).map_err(Error::storage(path))
}

/// Reads the whole file to write it back, which would spoil bytes that are not UTF-8.
fn read_to_change(path: &Path, if_missing: IfMissing) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && if_missing == IfMissing::Empty => Ok(String::new()),
        read => read.map_err(Error::storage(path)),
    }
}

/// The text with the user's lines replaced by one, or by none.
fn with_entry(text: &str, user: &str, hash: Option<&str>) -> String {
    let mut pending = hash.map(|hash| format!("{user}:{hash}\n"));
    let mut changed = String::with_capacity(text.len() + 128);
    for line in text.lines() {
        if entry_of(line.trim()).is_some_and(|(known, _)| known == user) {
            changed.push_str(&pending.take().unwrap_or_default());
        } else {
            changed.push_str(line);
            changed.push('\n');
        }
    }
    changed.push_str(&pending.unwrap_or_default());
    changed
}

/// The lines, trimmed, counted from one.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()))
}

/// User and hash of a line that is neither blank nor a comment; the hash is missing when there is no colon.
fn entry_of(line: &str) -> Option<(&str, Option<&str>)> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    Some(line.split_once(':').map_or((line, None), |(user, hash)| (user, Some(hash))))
}

fn bcrypt_cost(text: &str) -> Option<u32> {
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
    let parts: bcrypt::HashParts = text.parse().ok().filter(|_| known)?;
    Some(parts.get_cost()).filter(|cost| (4..=31).contains(cost))
}

fn check_user(user: &str) -> Result<(), EntryFault> {
    let odd = user.is_empty()
        || user.len() > 255
        || user.trim() != user
        || user.starts_with('#')
        || user.starts_with("robot$")
        || user.chars().any(|letter| letter == ':' || letter.is_control());
    if odd { Err(EntryFault::User) } else { Ok(()) }
}

fn check_password(password: &str) -> Result<(), EntryFault> {
    let fits = (1..=72).contains(&password.len()) && !password.contains('\0');
    if fits { Ok(()) } else { Err(EntryFault::Password) }
}

/// The cost of new entries, and of checks against a file without any.
pub const DEFAULT_COST: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const COST: u32 = 4;

    fn parse(text: &str) -> Result<Entries, Error> {
        Entries::parse(text, Path::new("f"))
    }

    #[test]
    fn blank_lines_and_comments_are_skipped_and_the_last_duplicate_wins() {
        let entries = parse("\n  \n# a comment: with a colon\n  alice:first \r\nalice:second\n:nobody\n").unwrap();
        assert_eq!(entries.get("alice").unwrap().as_str(), "second");
        assert!(entries.get("# a comment").is_none());
    }

    #[test]
    fn a_line_without_a_colon_is_named_by_its_number_only() {
        let error = parse("alice:x\n\nsecret\n").unwrap_err();
        assert_eq!(error.to_string(), "f: line 3 is not user:hash");
    }

    #[test]
    fn only_three_kinds_of_bcrypt_can_match() {
        let good = hash("pw", COST).unwrap();
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let entry = Hash::new(&good.replacen("$2y$", prefix, 1));
            assert!(entry.cost() == Some(COST) && matches(&entry, b"pw") && !matches(&entry, b"pw2"), "{prefix}");
        }
        let others = [
            "",
            "plain",
            "$apr1$abc$def",
            "{SHA}abc",
            "$2x$",
            "$2y$04$short",
            &good.replacen("$2y$", "$2x$", 1),
            &good.replacen("$04$", "$40$", 1),
        ];
        for other in others {
            assert_eq!(Hash::new(other).cost(), None, "{other}");
        }
    }

    #[test]
    fn the_dummy_has_the_usual_cost_and_a_real_shape() {
        let line = |user: &str, cost: u32| format!("{user}:$2y${cost:02}${}\n", ".".repeat(53));
        let cost_of = |text: &str| bcrypt_cost(parse(text).unwrap().dummy().as_str());
        assert_eq!(cost_of(""), Some(DEFAULT_COST));
        assert_eq!(cost_of(&format!("{}{}{}", line("a", 5), line("b", 5), line("c", 12))), Some(5));
        assert_eq!(cost_of(&format!("{}{}", line("a", 5), line("b", 12))), Some(12));
        assert!(!matches(&parse(&line("a", 4)).unwrap().dummy(), b""));
    }

    #[test]
    fn a_password_counts_to_its_72nd_byte() {
        let long = "x".repeat(72);
        let entry = Hash::new(&bcrypt::hash(&long, COST).unwrap());
        assert!(matches(&entry, format!("{long}more").as_bytes()));
        assert!(!matches(&entry, &long.as_bytes()[..71]));
    }

    #[tokio::test]
    async fn an_entry_is_added_replaced_and_removed_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        let file = PasswordFile::new(&path);
        file.add("alice", "one", COST).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, format!("# ours\n{}bob:plain\n", fs::read_to_string(&path).unwrap())).unwrap();
        file.add("alice", "two", COST).await.unwrap();
        assert!(matches!(file.verify("alice", "one").await, Err(Error::WrongCredentials)));
        assert!(file.verify("alice", "two").await.is_ok());
        assert!(matches!(file.verify("bob", "plain").await, Err(Error::WrongCredentials)));
        assert_eq!(file.users().await.unwrap(), [("alice".into(), true), ("bob".into(), false)]);
        file.remove("alice").await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# ours\nbob:plain\n");
        assert!(matches!(file.remove("alice").await, Err(Error::Entry(EntryFault::Unknown))));
    }

    #[tokio::test]
    async fn odd_names_and_passwords_are_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = PasswordFile::new(dir.path().join("htpasswd"));
        for user in ["", "a:b", "#a", " a", "a\n", "robot$ci"] {
            assert!(matches!(file.add(user, "x", COST).await, Err(Error::Entry(EntryFault::User))), "{user:?}");
        }
        for password in ["", "a\0b", &"x".repeat(73)] {
            assert!(matches!(file.add("a", password, COST).await, Err(Error::Entry(EntryFault::Password))), "{password:?}");
        }
        assert!(file.add("a", &"x".repeat(72), COST).await.is_ok());
    }
}
