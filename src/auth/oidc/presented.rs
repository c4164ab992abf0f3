//! A token as it was presented: what it claims to be before anything is believed, and what it says once its signature is good.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, SystemTime};

use crate::auth::claims::{self, Audience, Date, LEEWAY};
use crate::auth::error::TokenFault;
use crate::auth::trusted_keys::TrustedKey;

/// A token that nothing has been believed of.
pub(super) struct Presented<'a> {
    text: &'a str,
    header: Header,
    issuer: String,
}

/// What a token says whose signature was good.
pub(super) struct SignedClaims {
    all: Value,
    standard: Standard,
}

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

#[derive(Deserialize)]
struct Standard {
    iss: String,
    aud: Audience,
    exp: Date,
    nbf: Option<Date>,
    iat: Option<Date>,
}

/// The one member that every header of a signed token has (RFC 7515, section 4.1.1).
#[derive(Deserialize)]
struct HeaderOfAnyToken {
    #[expect(dead_code, reason = "only whether it is there counts")]
    alg: String,
}

/// Whether a text has the form of a signed token, good or bad: nobody has such a password by accident.
pub(crate) fn looks_like_token(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    let [header, payload, signature] = parts[..] else { return false };
    let is_encoded = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    !payload.is_empty() && is_encoded(payload) && is_encoded(signature) && json_of::<HeaderOfAnyToken>(header).is_some()
}

impl<'a> Presented<'a> {
    /// Takes a token apart; believes nothing.
    pub(super) fn read(text: &'a str) -> Result<Self, TokenFault> {
        if text.len() > LONGEST {
            return Err(TokenFault::Malformed);
        }
        let header = claims::header(text)?;
        let payload = text.split('.').nth(1).ok_or(TokenFault::Malformed)?;
        let unverified: Unverified = json_of(payload).ok_or(TokenFault::Claims)?;
        Ok(Self { text, header, issuer: unverified.iss })
    }

    /// The header, of which only the algorithm and the id of the key are looked at.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The issuer it names.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What it says, when the key signed it.
    pub(super) fn signed(&self, key: &TrustedKey) -> Result<SignedClaims, TokenFault> {
        if !key.fits(self.header.alg) {
            return Err(TokenFault::Algorithm);
        }
        let all: Value = claims::signed(self.text, &self.header, &key.decoding_key())?;
        let standard = Standard::deserialize(&all).map_err(|_| TokenFault::Claims)?;
        Ok(SignedClaims { all, standard })
    }
}

impl SignedClaims {
    /// Checks issuer and time.
    pub(super) fn check(&self, issuer: &str, now: SystemTime) -> Result<(), TokenFault> {
        if self.standard.iss != issuer {
            return Err(TokenFault::Issuer);
        }
        let now = Date::of(now).0;
        if self.standard.exp.0.saturating_add(LEEWAY) < now {
            return Err(TokenFault::Expired);
        }
        let begins = [self.standard.nbf, self.standard.iat];
        if begins.into_iter().flatten().any(|date| date.0 > now.saturating_add(LEEWAY)) {
            return Err(TokenFault::NotYetValid);
        }
        Ok(())
    }

    /// Whether it was made for an audience.
    pub(super) fn is_meant_for(&self, audience: &str) -> bool {
        self.standard.aud.names(audience)
    }

    /// When it ends; what is further away than any calendar is brought near.
    pub(super) fn expires(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.standard.exp.0.min(LAST))
    }

    /// Everything it says.
    pub(super) fn all(&self) -> &Value {
        &self.all
    }
}

fn json_of<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The most bytes of a token; those of CI providers have about two thousand.
const LONGEST: usize = 16 * 1024;
/// The end of the year 9999.
const LAST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn tokens_good_and_bad_are_told_from_passwords() {
        let header = part(r#"{"alg":"RS256","kid":"a"}"#);
        for token in [
            format!("{header}.{}.c2ln", part("{}")),
            format!("{}.{}.", part(r#"{"alg":"none"}"#), part("{}")),
            format!("{}.e30.c2ln", part(r#" {"alg":"XX"}"#)),
        ] {
            assert!(looks_like_token(&token), "{token}");
        }
        for text in [
            String::new(),
            "..".into(),
            "a.b.c".into(),
            "correct.horse.battery".into(),
            format!("{header}.e30"),
            format!("{header}.e30.c2ln.more"),
            format!("{header}..c2ln"),
            format!("{header}.e30.c2l="),
            format!("{header}.e3 0.c2ln"),
            format!("{}.e30.c2ln", part(r#"{"typ":"JWT"}"#)),
            format!("{}.e30.c2ln", part(r#"{"alg":7}"#)),
            format!("{}.e30.c2ln", part("RS256")),
            format!("bearer {header}.e30.c2ln"),
        ] {
            assert!(!looks_like_token(&text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_asked_about(text in ".{0,60}", parts in "[A-Za-z0-9_-]{0,20}(\\.[A-Za-z0-9_-]{0,20}){0,3}") {
            for text in [text, parts] {
                let _ = (looks_like_token(&text), Presented::read(&text).is_ok());
            }
        }
    }
}
