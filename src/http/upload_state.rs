//! The `_state` that the Locations of uploads carry, in the form of registry:2.
//!
//! Base64url, padded, of an HMAC-SHA256 with `http.secret` over a JSON object, followed by that object. Clients take it for opaque;
//! what it adds to the store's own knowledge is the offset that the client knew.

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::oci::Name;
use crate::registry::UploadStatus;

const TAG_LENGTH: usize = 32;

/// Signs and checks states.
pub(super) struct StateSigner(hmac::Key);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    name: String,
    #[serde(rename = "UUID")]
    id: String,
    offset: u64,
    started_at: String,
}

/// The state was not made with our key, or not for this upload.
#[derive(Debug)]
pub(super) struct Forged;

impl StateSigner {
    /// With the configured secret, or with one that lasts as long as this process.
    pub(super) fn new(secret: Option<&[u8]>) -> Self {
        Self(match secret {
            Some(secret) => hmac::Key::new(hmac::HMAC_SHA256, secret),
            None => {
                let mut random = [0; 32];
                rand::fill(&mut random).expect("the system has random bytes");
                hmac::Key::new(hmac::HMAC_SHA256, &random)
            }
        })
    }

    pub(super) fn sign(&self, name: &Name, status: &UploadStatus) -> String {
        let started_at = status.started_at.format(&Rfc3339).unwrap_or_default();
        let state = State { name: name.as_str().to_owned(), id: status.id.to_string(), offset: status.offset, started_at };
        let json = serde_json::to_vec(&state).expect("a state is plain text and numbers");
        let mut signed = hmac::sign(&self.0, &json).as_ref().to_vec();
        signed.extend_from_slice(&json);
        URL_SAFE.encode(signed)
    }

    /// The offset that the state was made at.
    pub(super) fn offset(&self, text: &str, name: &Name, id: Uuid) -> Result<u64, Forged> {
        let signed = URL_SAFE.decode(text).map_err(|_| Forged)?;
        let (tag, json) = signed.split_at_checked(TAG_LENGTH).ok_or(Forged)?;
        hmac::verify(&self.0, json, tag).map_err(|_| Forged)?;
        let state: State = serde_json::from_slice(json).map_err(|_| Forged)?;
        let is_ours = state.name == name.as_str() && state.id == id.to_string();
        if is_ours && OffsetDateTime::parse(&state.started_at, &Rfc3339).is_ok() { Ok(state.offset) } else { Err(Forged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_good_for_its_own_upload_and_key_only() {
        let signer = StateSigner::new(Some(b"secret"));
        let status = UploadStatus { id: Uuid::new_v4(), offset: 7, started_at: OffsetDateTime::UNIX_EPOCH };
        let (name, other): (Name, Name) = ("a/b".parse().unwrap(), "a/c".parse().unwrap());
        let state = signer.sign(&name, &status);
        assert_eq!(signer.offset(&state, &name, status.id).unwrap(), 7);
        assert!(signer.offset(&state, &other, status.id).is_err());
        assert!(signer.offset(&state, &name, Uuid::new_v4()).is_err());
        assert!(StateSigner::new(None).offset(&state, &name, status.id).is_err());
        assert!(signer.offset("", &name, status.id).is_err());
        assert!(signer.offset(&"A".repeat(100), &name, status.id).is_err());
    }
}
