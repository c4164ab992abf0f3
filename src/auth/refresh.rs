//! Refresh tokens: what docker keeps instead of a password.
//!
//! Stateless: a login name and a keyed digest over it, the service and what proves the login, which is the user's entry in the
//! password file or the hash of a machine token. So one dies when the password changes, or the user or the token goes. Its key comes
//! of the registry's secret and not of the keys that sign access tokens, so that these can be changed and nobody need log in
//! again. Invariant: it is no JWT, and its key signs nothing else.

use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::Date;
use super::error::Error;

/// The key of the refresh tokens, made of the registry's secret and good for nothing else (RFC 5869).
pub(super) fn key(secret: &[u8]) -> Result<hmac::Key, Error> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"breakwater").extract(secret);
    let expanded = extracted.expand(&[b"refresh token, version 2"], hmac::HMAC_SHA256).map_err(|_| Error::Crypto)?;
    Ok(expanded.into())
}

/// A refresh token as it came, not yet believed.
pub(super) struct RefreshToken {
    user: String,
    issued: Date,
    tag: Vec<u8>,
}

impl RefreshToken {
    /// Makes the text of a token.
    pub(super) fn mint(key: &hmac::Key, user: &str, service: &str, entry: &str, issued: Date) -> String {
        let tag = hmac::sign(key, &message(user, service, entry, issued));
        let bytes = [&[VERSION], issued.0.to_be_bytes().as_slice(), tag.as_ref(), user.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Takes the text apart.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (issued, rest) = rest.split_first_chunk()?;
        let (tag, user) = rest.split_at_checked(TAG)?;
        let user = String::from_utf8(user.to_vec()).ok().filter(|_| *version == VERSION)?;
        Some(Self { user, issued: Date(u64::from_be_bytes(*issued)), tag: tag.to_vec() })
    }

    /// Whom it claims to be for.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// When it was first given out.
    pub(super) fn issued(&self) -> Date {
        self.issued
    }

    /// Whether it was made with this key, for this service, while the user's entry was this one.
    pub(super) fn is_good(&self, key: &hmac::Key, service: &str, entry: &str) -> bool {
        hmac::verify(key, &message(&self.user, service, entry, self.issued), &self.tag).is_ok()
    }
}

fn message(user: &str, service: &str, entry: &str, issued: Date) -> Vec<u8> {
    let mut message = [&[VERSION], issued.0.to_be_bytes().as_slice()].concat();
    for part in [user, service, entry] {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part.as_bytes());
    }
    message
}

const VERSION: u8 = 2;
const TAG: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    #[test]
    fn a_token_is_good_for_its_key_its_service_and_its_entry_only() {
        let entry = "one";
        let token = RefreshToken::parse(&RefreshToken::mint(&key(b"k"), "alice", "s", entry, Date(7))).unwrap();
        assert_eq!((token.user(), token.issued()), ("alice", Date(7)));
        assert!(token.is_good(&key(b"k"), "s", entry));
        assert!(!token.is_good(&key(b"other"), "s", entry));
        assert!(!token.is_good(&key(b"k"), "t", entry));
        assert!(!token.is_good(&key(b"k"), "s", "two"));
    }

    #[test]
    fn every_changed_byte_spoils_it() {
        let entry = "one";
        let text = RefreshToken::mint(&key(b"k"), "alice", "s", entry, Date(7));
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let token = RefreshToken::parse(&URL_SAFE_NO_PAD.encode(changed));
            assert!(token.is_none_or(|token| !token.is_good(&key(b"k"), "s", entry)), "{place}");
        }
        assert!(RefreshToken::parse(&text[..20]).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(text in "[A-Za-z0-9_-]{0,100}") {
            RefreshToken::parse(&text);
        }
    }
}
