//! Public keys that others sign tokens with: read from a JWK set, found by id and algorithm.
//!
//! Invariant: every key is asymmetric, and an algorithm is good only for keys of its kind.

use std::fs;
use std::path::Path;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

use super::error::{Error, KeyFault};
use super::public_key::PublicKey;

/// The keys that one issuer's tokens may be signed with.
#[derive(Default)]
pub(super) struct TrustedKeys {
    keys: Vec<TrustedKey>,
}

/// A key, and what was said of it where it was found.
#[derive(Clone)]
pub(super) struct TrustedKey {
    key: PublicKey,
    ids: Vec<String>,
    /// The only algorithm that its JWK allows.
    algorithm: Option<Algorithm>,
}

/// What one JWK set holds.
pub(super) struct Reading {
    /// The usable keys, with their own ids.
    pub(super) keys: Vec<TrustedKey>,
    /// The places of the others.
    pub(super) unusable: Vec<usize>,
}

#[derive(Deserialize)]
struct KeyDocument {
    keys: Vec<Value>,
}

impl TrustedKeys {
    /// Takes a key in, under its computed ids beside those it came with.
    pub(super) fn add(&mut self, mut found: TrustedKey) {
        if let Some(known) = self.keys.iter_mut().find(|known| known.key == found.key && known.algorithm == found.algorithm) {
            known.ids.append(&mut found.ids);
            return;
        }
        found.ids.push(found.key.thumbprint());
        found.ids.extend(found.key.libtrust_id());
        self.keys.push(found);
    }

    /// The same key among these.
    pub(super) fn find(&self, key: &PublicKey) -> Option<&TrustedKey> {
        self.keys.iter().find(|known| known.key == *key)
    }

    /// The key a token means by its id; without one, the only key there is.
    pub(super) fn choose(&self, header: &Header) -> Option<&TrustedKey> {
        let only = self.keys.first().filter(|first| self.keys.iter().all(|known| known.key == first.key));
        let is_meant = |known: &&TrustedKey| match header.kid.as_deref() {
            Some(kid) => known.ids.iter().any(|id| id == kid),
            None => only.is_some(),
        };
        // One id may stand for several keys: the algorithm tells them apart.
        let mut meant = self.keys.iter().filter(is_meant);
        let fitting = meant.clone().find(|known| known.fits(header.alg));
        fitting.or_else(|| meant.next())
    }
}

impl FromIterator<TrustedKey> for TrustedKeys {
    fn from_iter<I: IntoIterator<Item = TrustedKey>>(found: I) -> Self {
        let mut keys = Self::default();
        found.into_iter().for_each(|key| keys.add(key));
        keys
    }
}

impl TrustedKey {
    /// A key of which nothing more is known.
    pub(super) fn of(key: PublicKey) -> Self {
        Self { key, ids: Vec::new(), algorithm: None }
    }

    /// Whether tokens of that algorithm may be verified with it.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.key.allows(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// The form in which the JWT library takes it.
    pub(super) fn decoding_key(&self) -> DecodingKey {
        self.key.decoding_key()
    }
}

/// Reads a file with a JWK set; keys that cannot be used are named in the log by their place. Blocks.
pub(super) fn read_file(path: &Path) -> Result<Vec<TrustedKey>, Error> {
    let text = fs::read(path).map_err(Error::storage(path))?;
    let reading = read(&text).map_err(|fault| Error::key(path, fault))?;
    for place in reading.unusable {
        tracing::warn!(file.path = %path.display(), key.place = place, "key set has a key that cannot verify tokens");
    }
    Ok(reading.keys)
}

/// Reads a JWK set, in which at least one key is usable.
pub(super) fn read(text: &[u8]) -> Result<Reading, KeyFault> {
    let document: KeyDocument = serde_json::from_slice(text).map_err(|_| KeyFault::KeySet)?;
    let mut reading = Reading { keys: Vec::new(), unusable: Vec::new() };
    for (place, value) in document.keys.into_iter().enumerate() {
        match usable(value) {
            Some(key) => reading.keys.push(key),
            None => reading.unusable.push(place),
        }
    }
    if reading.keys.is_empty() { Err(KeyFault::Empty) } else { Ok(reading) }
}

fn usable(value: Value) -> Option<TrustedKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let key = PublicKey::of_jwk(&jwk)?;
    let algorithm = jwk.common.key_algorithm.map(Algorithm::try_from).transpose().ok()?;
    Some(TrustedKey { key, ids: jwk.common.key_id.into_iter().collect(), algorithm })
}
