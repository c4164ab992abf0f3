//! A password file as it is edited: `user:hash` lines, comments, and what else stands there.
//!
//! Owns the names and the hashes that may enter it. Invariant: a line that is not the one to change is written back as it was
//! read, byte for byte. Deciding who may log in is not done here. All of it blocks: it is for the command line.

use std::io;
use std::path::{Path, PathBuf};

use super::entries::{self, DEFAULT_COST, Hash};
use crate::whole_file::{self, PRIVATE};

const LONGEST_PASSWORD: usize = 72;
const LONGEST_NAME: usize = 255;

/// Why a name or a password cannot stand in the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// No name.
    #[error("a user's name cannot be empty")]
    NameEmpty,
    /// A name over 255 bytes.
    #[error("a user's name cannot be longer than {LONGEST_NAME} bytes")]
    NameTooLong,
    /// A colon ends the name in the file.
    #[error("a user's name cannot hold a colon, which ends it in the password file")]
    NameWithColon,
    /// A control character, such as a line break.
    #[error("a user's name cannot hold control characters")]
    NameWithControl,
    /// Led by `#`, or with outer blanks: it would be read as something else.
    #[error("a user's name cannot begin with `#`, nor begin or end with a space")]
    NameNotKept,
    /// Reserved for machine tokens.
    #[error("names that begin with `robot$` belong to machine tokens; choose another")]
    NameOfRobot,
    /// No password.
    #[error("a password cannot be empty")]
    PasswordEmpty,
    /// bcrypt ends a password at a zero byte.
    #[error("a password cannot hold a zero byte, where bcrypt would end it")]
    PasswordWithZero,
    /// Over 72 bytes, of which bcrypt would ignore the rest.
    #[error("the password is {0} bytes long; bcrypt reads {LONGEST_PASSWORD} only, so a longer one would be cut: choose a shorter one")]
    PasswordTooLong(usize),
    /// The library failed.
    #[error("the password cannot be hashed")]
    Hash,
}

/// A user's name that a password file can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

impl std::str::FromStr for UserName {
    type Err = EntryFault;

    fn from_str(text: &str) -> Result<Self, EntryFault> {
        match text {
            _ if text.is_empty() => Err(EntryFault::NameEmpty),
            _ if text.len() > LONGEST_NAME => Err(EntryFault::NameTooLong),
            _ if text.contains(':') => Err(EntryFault::NameWithColon),
            _ if text.contains(char::is_control) => Err(EntryFault::NameWithControl),
            _ if text.starts_with('#') || text.trim() != text => Err(EntryFault::NameNotKept),
            _ if text.starts_with("robot$") => Err(EntryFault::NameOfRobot),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl std::fmt::Display for UserName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hash of a password, as it stands in the file.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a password, which takes a while by design.
    pub fn of(password: &str) -> Result<Self, EntryFault> {
        Self::of_cost(password, DEFAULT_COST)
    }

    /// Hashes a password at another cost than the usual one.
    pub fn of_cost(password: &str, cost: u32) -> Result<Self, EntryFault> {
        match password {
            _ if password.is_empty() => Err(EntryFault::PasswordEmpty),
            _ if password.contains('\0') => Err(EntryFault::PasswordWithZero),
            _ if password.len() > LONGEST_PASSWORD => Err(EntryFault::PasswordTooLong(password.len())),
            _ => entries::hash(password, cost).map(Self).map_err(|_| EntryFault::Hash),
        }
    }

    /// The hash as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user's line.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// The number of the line, from one.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The hash is one that can match.
    pub bcrypt: bool,
}

/// The file, in memory until it is saved.
#[derive(Debug)]
pub struct PasswordFile {
    path: PathBuf,
    lines: Vec<Vec<u8>>,
}

impl PasswordFile {
    /// Reads a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let content = std::fs::read(path)?;
        let mut lines: Vec<Vec<u8>> = content.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        Ok(Self { path: path.to_owned(), lines })
    }

    /// Reads a file, or begins an empty one.
    pub fn open_or_new(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::empty(path)),
            other => other,
        }
    }

    /// Begins an empty file, whatever lies there.
    pub fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), lines: Vec::new() }
    }

    /// The users, in the order of their lines.
    pub fn users(&self) -> impl Iterator<Item = User> {
        self.lines.iter().enumerate().filter_map(|(index, line)| {
            let (name, hash) = entry(line)?;
            let name = String::from_utf8_lossy(name).into_owned();
            Some(User { line: index + 1, name, bcrypt: is_bcrypt(hash) })
        })
    }

    /// The numbers of the lines that are neither an entry nor a comment nor blank: a registry does not start with one.
    pub fn strays(&self) -> impl Iterator<Item = usize> {
        let is_stray = |line: &[u8]| !line.is_empty() && !line.starts_with(b"#") && !line.contains(&b':');
        self.lines.iter().enumerate().filter(move |(_, line)| is_stray(line.trim_ascii())).map(|(index, _)| index + 1)
    }

    /// Gives a user a password; whether the user was there before.
    pub fn set(&mut self, name: &UserName, hash: &PasswordHash) -> bool {
        let line = format!("{name}:{}", hash.0).into_bytes();
        let known = self.lines.iter().position(|line| names(line, name));
        match known {
            Some(at) => {
                self.lines[at] = line;
                let mut index = 0;
                self.lines.retain(|line| {
                    index += 1;
                    index <= at + 1 || !names(line, name)
                });
            }
            None => self.lines.push(line),
        }
        known.is_some()
    }

    /// Removes a user; whether the user was there.
    pub fn remove(&mut self, name: &UserName) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !names(line, name));
        self.lines.len() != before
    }

    /// Whether a password is a user's. `None`: there is no such user, or none whose hash is bcrypt.
    pub fn verify(&self, name: &UserName, password: &str) -> Option<bool> {
        // As the server does: of several lines of one user the last counts.
        let hash = self.lines.iter().rev().find(|line| names(line, name)).and_then(|line| entry(line))?.1;
        let hash = Hash::new(std::str::from_utf8(hash).ok()?);
        hash.cost().map(|_| entries::matches(&hash, password.as_bytes()))
    }

    /// Writes the file whole; a new one can be read by its owner only.
    pub fn save(&self) -> io::Result<()> {
        let mut content = self.lines.join(&b'\n');
        if !content.is_empty() {
            content.push(b'\n');
        }
        whole_file::replace(&self.path, &content, PRIVATE)
    }
}

/// The name and the hash of a line that has them.
fn entry(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    if line.starts_with(b"#") {
        return None;
    }
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], &line[colon + 1..]))
}

fn names(line: &[u8], user: &UserName) -> bool {
    entry(line).is_some_and(|(name, _)| name == user.0.as_bytes())
}

fn is_bcrypt(hash: &[u8]) -> bool {
    std::str::from_utf8(hash).is_ok_and(|hash| Hash::new(hash).cost().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PasswordFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        std::fs::write(&path, text).unwrap();
        let file = PasswordFile::open(&path).unwrap();
        (directory, file)
    }

    fn name(text: &str) -> UserName {
        text.parse().unwrap()
    }

    #[test]
    fn names_that_the_file_cannot_hold_are_refused() {
        let table = [
            ("", EntryFault::NameEmpty),
            ("a:b", EntryFault::NameWithColon),
            ("a\nb", EntryFault::NameWithControl),
            ("#a", EntryFault::NameNotKept),
            (" a", EntryFault::NameNotKept),
            ("robot$ci", EntryFault::NameOfRobot),
        ];
        for (text, refused) in table {
            assert_eq!(text.parse::<UserName>(), Err(refused), "{text:?}");
        }
        assert_eq!("a".repeat(256).parse::<UserName>(), Err(EntryFault::NameTooLong));
        assert!("Zoë@example.com".parse::<UserName>().is_ok());
    }

    #[test]
    fn a_hash_is_bcrypt_in_the_form_of_htpasswd_at_cost_ten() {
        let longest = "é".repeat(36);
        let hash = PasswordHash::of(&longest).unwrap().0;
        assert!(hash.starts_with("$2y$10$"), "{hash}");
        assert_eq!(bcrypt::verify(&longest, &hash).ok(), Some(true));
        assert_eq!(PasswordHash::of(&"x".repeat(73)).err(), Some(EntryFault::PasswordTooLong(73)));
        assert_eq!(PasswordHash::of("").err(), Some(EntryFault::PasswordEmpty));
        assert_eq!(PasswordHash::of("a\0b").err(), Some(EntryFault::PasswordWithZero));
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        let (_directory, mut file) = file("# people\n\nalice:$2y$10$old\n  bob:{SHA}x\r\nodd line\nalice:again");
        assert!(file.set(&name("alice"), &PasswordHash("NEW".to_owned())));
        assert!(!file.set(&name("carol"), &PasswordHash("C".to_owned())));
        file.save().unwrap();
        let expected = "# people\n\nalice:NEW\n  bob:{SHA}x\r\nodd line\ncarol:C\n";
        assert_eq!(std::fs::read_to_string(&file.path).unwrap(), expected);
        assert!(file.remove(&name("bob")));
        assert!(!file.remove(&name("bob")));
    }

    #[test]
    fn lines_that_stop_a_start_are_told_by_their_numbers() {
        let (_directory, file) = file("# x\n\n  \nodd\nalice:x\r\n  odd again \r\n");
        assert_eq!(file.strays().collect::<Vec<_>>(), [4, 6]);
    }

    #[test]
    fn users_are_listed_with_their_lines() {
        let hash = PasswordHash::of("one").unwrap().0;
        let (_directory, file) = file(&format!("# x\nalice:{hash}\nbob:{{SHA}}x\n"));
        let users: Vec<_> = file.users().map(|user| (user.line, user.name, user.bcrypt)).collect();
        assert_eq!(users, [(2, "alice".to_owned(), true), (3, "bob".to_owned(), false)]);
    }

    #[test]
    fn a_password_is_verified_against_the_last_line_of_a_user() {
        let (one, two) = (PasswordHash::of("one").unwrap().0, PasswordHash::of("two").unwrap().0);
        let (_directory, file) = file(&format!("a:{one}\na:{two}\nb:{{SHA}}x\n"));
        assert_eq!(file.verify(&name("a"), "two"), Some(true));
        assert_eq!(file.verify(&name("a"), "one"), Some(false));
        assert_eq!(file.verify(&name("b"), "x"), None);
        assert_eq!(file.verify(&name("c"), "x"), None);
    }
}
