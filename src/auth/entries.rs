//! The entries of a password file (`user:hash` lines, as Apache's htpasswd writes them), as a running registry reads them.
//!
//! Owns the grammar and the hashes. Does not verify in service of requests (see `htpasswd`), nor change the file (see
//! `password_file`). Invariant: no error and no log line quotes a line.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::error::Error;

/// The entries of one reading.
#[derive(Debug)]
pub(super) struct Entries {
    hashes: HashMap<String, Hash>,
    /// Made once: made for each unknown user, it would tell them by time.
    dummy: Hash,
}

/// The part of a line after the colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    text: Arc<str>,
    cost: Option<u32>,
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
        let mut hashes: HashMap<String, Hash> = HashMap::new();
        for (line, user, hash) in lines(text).filter_map(|(number, line)| entry_of(line).map(|entry| (number, entry.0, entry.1))) {
            let hash = Hash::new(hash.ok_or_else(|| Error::PasswordLine { path: path.to_path_buf(), line })?);
            if hash.cost.is_none() {
                tracing::warn!(file.path = %path.display(), file.line = line, "password file has an entry that is not bcrypt and never matches");
            }
            hashes.insert(user.into(), hash);
        }
        let dummy = format!("$2y${:02}${}", usual_cost(&hashes), ".".repeat(53));
        Ok(Self { hashes, dummy: Hash { text: dummy.into(), cost: None } })
    }

    pub(super) fn get(&self, user: &str) -> Option<&Hash> {
        self.hashes.get(user)
    }

    /// A hash that no password has, at the cost that most of the entries have.
    pub(super) fn dummy(&self) -> Hash {
        self.dummy.clone()
    }
}

/// The commonest cost; of equals the highest.
fn usual_cost(hashes: &HashMap<String, Hash>) -> u32 {
    let mut counts = [0_usize; 32];
    for cost in hashes.values().filter_map(Hash::cost) {
        counts[cost as usize] += 1;
    }
    let usual = (4..32).max_by_key(|cost| counts[*cost as usize]).filter(|cost| counts[*cost as usize] > 0);
    usual.unwrap_or(DEFAULT_COST)
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

/// The cost of a bcrypt hash that can match.
pub(super) fn bcrypt_cost(text: &str) -> Option<u32> {
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix));
    let parts: bcrypt::HashParts = text.parse().ok().filter(|_| known)?;
    Some(parts.get_cost()).filter(|cost| (4..=31).contains(cost))
}

/// The cost of new entries, and of checks against a file without any.
pub(super) const DEFAULT_COST: u32 = 10;

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
        // Compared, at that cost, rather than refused as malformed in no time.
        assert!(!bcrypt::verify("", parse(&line("a", 4)).unwrap().dummy().as_str()).unwrap());
    }

    #[test]
    fn a_password_counts_to_its_72nd_byte() {
        let long = "x".repeat(72);
        let entry = Hash::new(&bcrypt::hash(&long, COST).unwrap());
        assert!(matches(&entry, format!("{long}more").as_bytes()));
        assert!(!matches(&entry, &long.as_bytes()[..71]));
    }
}
