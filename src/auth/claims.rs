//! What a token says, how it is checked, and what is remembered of one that was found good.
//!
//! Invariant: a [`Verified`] had a good signature, issuer and audience; its times are looked at again on each use.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::TokenFault;
use super::scope::{self, Scope};

/// The claims of the Docker token specification.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    #[serde(default)]
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) exp: Date,
    pub(super) nbf: Option<Date>,
    #[serde(skip_deserializing)]
    pub(super) iat: Date,
    #[serde(skip_deserializing)]
    pub(super) jti: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) access: Vec<Access>,
    /// What kind of caller the subject is, in tokens of ours only: a [`Bearer`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bearer: Option<Value>,
}

/// What the subject of a token of ours is, where it is not a user of the password file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Bearer {
    /// A machine token.
    Robot {
        /// The token's id: another one of the same name is not meant.
        id: String,
    },
    /// Somebody whom an OIDC issuer vouched for.
    Oidc {
        /// The name of the issuer's entry.
        issuer: String,
    },
    /// The holder of a client certificate.
    Certificate,
}

/// One string or a list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

/// A scope in JSON; `class` and other members are ignored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    actions: Vec<String>,
}

/// Seconds since the epoch; some issuers write fractions (RFC 7519, section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Date(pub(super) u64);

/// A token that was found good, but for the time.
#[derive(Debug)]
pub(super) struct Verified {
    not_before: Date,
    expires: Date,
    subject: String,
    bearer: Option<Bearer>,
    scopes: Arc<[Scope]>,
}

/// The tokens found good with one set of keys; a new set begins with an empty memory.
pub(super) struct Memory {
    tokens: moka::sync::Cache<[u8; 32], Arc<Verified>>,
}

impl Claims {
    /// Checks issuer, audience and time, and takes what counts.
    pub(super) fn accept(self, issuer: &str, service: &str, now: SystemTime) -> Result<Verified, TokenFault> {
        if self.iss != issuer {
            return Err(TokenFault::Issuer);
        }
        if !self.aud.names(service) {
            return Err(TokenFault::Audience);
        }
        let scopes = scope::merge(self.access.iter().filter_map(Access::scope)).into();
        let not_before = self.nbf.unwrap_or_default();
        let verified = Verified { not_before, expires: self.exp, subject: self.sub, bearer: None, scopes };
        verified.check(now)?;
        Ok(verified)
    }

    /// The same for a token of ours, which says what its subject is.
    pub(super) fn accept_ours(mut self, issuer: &str, service: &str, now: SystemTime) -> Result<Verified, TokenFault> {
        let bearer = self.bearer.take().map(serde_json::from_value).transpose().map_err(|_| TokenFault::Claims)?;
        Ok(Verified { bearer, ..self.accept(issuer, service, now)? })
    }
}

impl Audience {
    /// Whether a service is meant.
    pub(super) fn names(&self, service: &str) -> bool {
        match self {
            Self::One(audience) => audience == service,
            Self::Many(audiences) => audiences.iter().any(|audience| audience == service),
        }
    }
}

impl Access {
    fn scope(&self) -> Option<Scope> {
        Scope::new(&self.kind, &self.name, self.actions.iter().map(String::as_str))
    }
}

impl From<&Scope> for Access {
    fn from(scope: &Scope) -> Self {
        let actions = scope.actions.words().map(str::to_owned).collect();
        Self { kind: scope.target.kind().into(), name: scope.target.name().into(), actions }
    }
}

impl Date {
    /// The whole seconds of a time; before the epoch, the epoch.
    pub(super) fn of(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

/// By RFC 3339, in UTC.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(i64::try_from(self.0).unwrap_or(i64::MAX));
        f.write_str(&time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default())
    }
}

/// The whole seconds from the epoch to a time, as records of ours have them.
pub fn seconds(time: SystemTime) -> u64 {
    Date::of(time).0
}

/// Such seconds as text, by RFC 3339.
pub fn rfc3339(seconds: u64) -> String {
    Date(seconds).to_string()
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let fraction = || number.as_f64().filter(|seconds| (0.0..1e15).contains(seconds)).map(|seconds| seconds as u64);
        number.as_u64().or_else(fraction).map(Self).ok_or_else(|| serde::de::Error::custom("not a date"))
    }
}

impl Verified {
    fn check(&self, now: SystemTime) -> Result<(), TokenFault> {
        let now = Date::of(now).0;
        if self.expires.0.saturating_add(LEEWAY) < now {
            return Err(TokenFault::Expired);
        }
        if self.not_before.0 > now.saturating_add(LEEWAY) {
            return Err(TokenFault::NotYetValid);
        }
        Ok(())
    }
}

impl Memory {
    pub(super) fn new() -> Self {
        let weigh = |_: &[u8; 32], verified: &Arc<Verified>| verified.weight();
        Self { tokens: moka::sync::Cache::builder().max_capacity(CAPACITY).weigher(weigh).time_to_idle(IDLE).build() }
    }

    /// What a token says: remembered, or verified now. The time is checked in either case.
    pub(super) fn recall(
        &self,
        token: &str,
        now: SystemTime,
        verify: impl FnOnce() -> Result<Verified, TokenFault>,
    ) -> Result<Arc<Verified>, TokenFault> {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(known) = self.tokens.get(&key) {
            known.check(now).inspect_err(|_| self.tokens.invalidate(&key))?;
            return Ok(known);
        }
        let verified = Arc::new(verify()?);
        self.tokens.insert(key, Arc::clone(&verified));
        Ok(verified)
    }
}

impl Verified {
    /// Whom it was issued to; empty: to nobody.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// What that is, where it is no user of the password file.
    pub(super) fn bearer(&self) -> Option<&Bearer> {
        self.bearer.as_ref()
    }

    /// What it was issued for.
    pub(super) fn scopes(&self) -> Arc<[Scope]> {
        Arc::clone(&self.scopes)
    }

    /// The same, at an end no later than this.
    pub(super) fn until(self, end: Option<Date>) -> Self {
        let expires = end.filter(|end| *end < self.expires).unwrap_or(self.expires);
        Self { expires, ..self }
    }

    /// Roughly the bytes it takes.
    fn weight(&self) -> u32 {
        u32::try_from(256 + self.subject.len() + 128 * self.scopes.len()).unwrap_or(u32::MAX)
    }
}

/// The header of a token, before anything in it is believed.
pub(super) fn header(token: &str) -> Result<Header, TokenFault> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::Malformed)?;
    // RFC 7515, section 4.1.11: what is critical must be understood, and we understand no extension.
    if header.crit.is_some() { Err(TokenFault::Malformed) } else { Ok(header) }
}

/// The claims of the Docker token specification, by [`signed`].
pub(super) fn signed_claims(token: &str, header: &Header, key: &DecodingKey) -> Result<Claims, TokenFault> {
    signed(token, header, key)
}

/// What a token says whose signature is good for the key; nothing else is checked.
///
/// The caller has made sure that the header's algorithm is one of the key's.
pub(super) fn signed<T: DeserializeOwned>(token: &str, header: &Header, key: &DecodingKey) -> Result<T, TokenFault> {
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    // The library would look at its own clock; `Claims::accept` does all of this.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode(token, key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidSignature => TokenFault::Signature,
            ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => TokenFault::Algorithm,
            ErrorKind::Json(_) => TokenFault::Claims,
            _ => TokenFault::Malformed,
        }),
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// How far clocks may differ, in seconds.
pub(super) const LEEWAY: u64 = 60;
/// The bytes of verified tokens that are remembered, and for how long without use.
const CAPACITY: u64 = 8 * 1024 * 1024;
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn claims(change: Value) -> Result<Claims, serde_json::Error> {
        let mut claims = json!({"iss": "i", "sub": "alice", "aud": "s", "exp": 1000, "nbf": 500, "access": []});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        serde_json::from_value(claims)
    }

    fn outcome(change: Value, now: u64) -> Result<(), TokenFault> {
        claims(change).unwrap().accept("i", "s", at(now)).map(|_| ())
    }

    #[test]
    fn time_has_a_minute_of_leeway_on_either_side() {
        let table = [(439, Err(TokenFault::NotYetValid)), (440, Ok(())), (1060, Ok(())), (1061, Err(TokenFault::Expired))];
        for (now, expected) in table {
            assert_eq!(outcome(json!({}), now), expected, "{now}");
        }
        assert_eq!(outcome(json!({"nbf": null}), 0), Ok(()));
        assert_eq!(outcome(json!({"exp": 1000.5}), 1060), Ok(()));
        assert_eq!(outcome(json!({"exp": u64::MAX, "nbf": 0}), 1 << 40), Ok(()));
    }

    #[test]
    fn issuer_and_audience_are_exact() {
        assert_eq!(outcome(json!({"iss": "I"}), 600), Err(TokenFault::Issuer));
        assert_eq!(outcome(json!({"aud": "s/"}), 600), Err(TokenFault::Audience));
        assert_eq!(outcome(json!({"aud": ["x", "s"]}), 600), Ok(()));
        assert_eq!(outcome(json!({"aud": []}), 600), Err(TokenFault::Audience));
    }

    #[test]
    fn claims_of_a_wrong_type_are_refused() {
        for change in [
            json!({"exp": null}),
            json!({"exp": "1000"}),
            json!({"exp": -1}),
            json!({"exp": 1e300}),
            json!({"nbf": "500"}),
            json!({"nbf": []}),
            json!({"iss": ["i"]}),
            json!({"iss": null}),
            json!({"aud": null}),
            json!({"aud": 1}),
            json!({"sub": 1}),
            json!({"access": {}}),
            json!({"access": [{"type": "repository"}]}),
        ] {
            assert!(claims(change.clone()).is_err(), "{change}");
        }
    }

    #[test]
    fn a_remembered_token_still_ends_in_time() {
        let memory = Memory::new();
        let verify = || claims(json!({})).unwrap().accept("i", "s", at(600));
        assert!(memory.recall("token", at(600), verify).is_ok());
        assert!(memory.recall("token", at(1060), || panic!("remembered")).is_ok());
        assert_eq!(memory.recall("token", at(1061), || panic!("remembered")).unwrap_err(), TokenFault::Expired);
        assert_eq!(memory.recall("token", at(1061), || Err(TokenFault::Signature)).unwrap_err(), TokenFault::Signature);
    }

    #[test]
    fn null_lists_and_unknown_members_are_tolerated() {
        let access = json!([{"type": "repository", "class": "plugin", "name": "a", "actions": ["pull"]}, {"type": "x", "name": "y", "actions": null}]);
        let verified = claims(json!({"access": access, "extra": 1})).unwrap().accept("i", "s", at(600)).unwrap();
        assert!(verified.scopes.len() == 1);
        assert!(claims(json!({"access": null})).is_ok());
    }
}
