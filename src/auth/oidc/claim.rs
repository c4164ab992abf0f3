//! What is asked of the claims of a token.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::auth::Pattern;

/// The name of a claim; with a slash in front, a JSON pointer (RFC 6901) to one that lies deeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName(String);

/// One claim, and what it may say.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The claim, which must be there.
    pub claim: ClaimName,
    /// One of them must match.
    pub patterns: Vec<Pattern>,
}

impl ClaimName {
    /// Takes a name, or a pointer; `None` for an empty text.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Its value among the claims.
    pub(super) fn of<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        if self.0.starts_with('/') { claims.pointer(&self.0) } else { claims.get(&self.0) }
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Condition {
    /// Whether the claim is there and says what it should; of a list, any element may.
    pub(super) fn holds(&self, claims: &Value) -> bool {
        match self.claim.of(claims) {
            Some(Value::Array(values)) => values.iter().any(|value| self.matches(value)),
            Some(value) => self.matches(value),
            None => false,
        }
    }

    fn matches(&self, value: &Value) -> bool {
        plain(value).is_some_and(|text| self.patterns.iter().any(|pattern| pattern.matches(&text, None)))
    }
}

/// The text of a value that is one.
fn plain(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn condition(claim: &str, patterns: &[&str]) -> Condition {
        Condition { claim: ClaimName::new(claim).unwrap(), patterns: patterns.iter().map(|text| Pattern::new(text)).collect() }
    }

    fn claims() -> Value {
        json!({
            "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "run_id": 42, "protected": true, "none": null,
            "groups": ["dev", "ops", 7], "object": {"a": "b"}, "nested": [["dev"]],
            "kubernetes.io": {"namespace": "build", "serviceaccount": {"name": "ci"}}, "a/b": "slash",
        })
    }

    #[test]
    fn a_claim_matches_by_its_text_and_a_list_by_any_element() {
        for (claim, pattern) in [
            ("repository", "acme/*"),
            ("sub", "repo:acme/*:ref:refs/heads/main"),
            ("sub", "repo:acme/**"),
            ("run_id", "42"),
            ("protected", "true"),
            ("groups", "ops"),
            ("groups", "7"),
            ("/kubernetes.io/namespace", "build"),
            ("/kubernetes.io/serviceaccount/name", "c*"),
            ("/groups/0", "dev"),
            ("/a~1b", "slash"),
            ("a/b", "slash"),
        ] {
            assert!(condition(claim, &["no", pattern]).holds(&claims()), "{claim} {pattern}");
        }
    }

    #[test]
    fn a_claim_that_is_missing_or_no_text_matches_nothing() {
        for (claim, pattern) in [
            ("missing", "**"),
            ("none", "**"),
            ("object", "**"),
            ("nested", "**"),
            ("/kubernetes.io/missing", "**"),
            ("kubernetes.io/namespace", "**"),
            ("Repository", "**"),
            ("repository", "acme"),
            ("sub", "repo:acme/*"),
            ("repository", "{user}/app"),
        ] {
            assert!(!condition(claim, &[pattern]).holds(&claims()), "{claim} {pattern}");
        }
        assert!(!condition("repository", &[]).holds(&claims()));
    }

    proptest! {
        #[test]
        fn a_pointer_of_any_text_is_safe(name in "/?.{0,20}") {
            if let Some(claim) = ClaimName::new(&name) {
                let _ = Condition { claim, patterns: vec![Pattern::new("**")] }.holds(&claims());
            }
        }
    }
}
