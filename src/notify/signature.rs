//! Signatures of events, as the Standard Webhooks specification 1.0 has them.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// What a key begins with that is written in base64.
const PREFIX: &str = "whsec_";

/// A key that events are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// A text that cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// What follows the prefix is not base64.
    #[error("what follows `whsec_` is not base64; copy the whole key")]
    Base64,
    /// There is nothing of it.
    #[error("there is no key in it")]
    Empty,
}

impl Secret {
    /// Reads a key: `whsec_` and base64, or a text that is the key as it stands.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let key = match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?,
            None => text.as_bytes().to_vec(),
        };
        if key.is_empty() { Err(InvalidSecret::Empty) } else { Ok(Self(Zeroizing::new(key))) }
    }

    /// The value of `webhook-signature`. `timestamp`: seconds since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// Without the key.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_the_specification_has_it() {
        // The example of the reference implementations.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_is_a_text_or_base64_behind_its_prefix() {
        let signature = |text: &str| Secret::parse(text).unwrap().sign("a", 1, b"b");
        assert_eq!(signature("whsec_c2VzYW1l"), signature("sesame"));
        assert_ne!(signature("c2VzYW1l"), signature("sesame"), "a text is never guessed to be base64");
        assert_eq!(Secret::parse("whsec_?"), Err(InvalidSecret::Base64));
        assert_eq!(Secret::parse("whsec_"), Err(InvalidSecret::Empty));
        assert!(!format!("{:?}", Secret::parse("sesame")).contains("sesame"));
    }
}
