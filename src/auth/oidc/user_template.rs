//! How the claims of a token make the name of a user: `ci-{repository_owner}`.

use serde_json::Value;

use super::ClaimName;

/// A text with claims in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Claim(ClaimName),
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// A brace that opens, and no brace that closes it.
    #[error("has a brace that is not closed")]
    Unclosed,
    /// A brace that closes, and none that opened.
    #[error("has a brace that was not opened")]
    Unopened,
    /// Braces without a name between them.
    #[error("has braces without the name of a claim between them")]
    Nameless,
}

impl UserTemplate {
    /// Takes a text apart.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal(&mut parts, before)?;
            let (name, left) = after.split_once('}').filter(|(name, _)| !name.contains('{')).ok_or(TemplateFault::Unclosed)?;
            parts.push(Part::Claim(ClaimName::new(name).ok_or(TemplateFault::Nameless)?));
            rest = left;
        }
        literal(&mut parts, rest)?;
        Ok(Self { parts })
    }

    /// The name that claims make; `None` where one is missing or no text, or the whole cannot be a name.
    pub(super) fn fill(&self, claims: &Value) -> Option<String> {
        let mut name = String::new();
        for part in &self.parts {
            name.push_str(match part {
                Part::Text(text) => text,
                Part::Claim(claim) => claim.of(claims)?.as_str()?,
            });
        }
        let fits = !name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control);
        fits.then_some(name)
    }
}

fn literal(parts: &mut Vec<Part>, text: &str) -> Result<(), TemplateFault> {
    if text.contains('}') {
        return Err(TemplateFault::Unopened);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

/// The most bytes of a name, as in a password file.
const LONGEST: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> Option<String> {
        let claims = json!({
            "repository_owner": "acme", "empty": "", "number": 7, "list": ["a"], "line": "a\nb", "long": "x".repeat(255),
            "kubernetes.io": {"namespace": "build"}, "braces": "{repository_owner}",
        });
        UserTemplate::parse(template).unwrap().fill(&claims)
    }

    #[test]
    fn claims_take_the_places_of_their_names() {
        for (template, expected) in [
            ("ci-{repository_owner}", "ci-acme"),
            ("{repository_owner}", "acme"),
            ("{repository_owner}.{/kubernetes.io/namespace}", "acme.build"),
            ("deployer", "deployer"),
            ("a{empty}", "a"),
            ("{braces}", "{repository_owner}"),
        ] {
            assert_eq!(filled(template).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn a_missing_claim_or_an_impossible_name_is_none() {
        for template in ["{missing}", "{number}", "{list}", "{kubernetes.io}", "{empty}", "", "{line}", "a{long}", "{/missing}"] {
            assert_eq!(filled(template), None, "{template}");
        }
        assert_eq!(filled("{long}").map(|name| name.len()), Some(255));
    }

    #[test]
    fn braces_come_in_pairs_with_a_name_between() {
        for (template, fault) in [
            ("ci-{", TemplateFault::Unclosed),
            ("{a{b}}", TemplateFault::Unclosed),
            ("{a}-{b", TemplateFault::Unclosed),
            ("a}", TemplateFault::Unopened),
            ("{a}}", TemplateFault::Unopened),
            ("}{", TemplateFault::Unopened),
            ("ci-{}", TemplateFault::Nameless),
        ] {
            assert_eq!(UserTemplate::parse(template), Err(fault), "{template}");
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_always_a_possible_name(template in ".{0,40}", claim in "\\PC{0,20}|.{0,20}") {
            if let Ok(template) = UserTemplate::parse(&template)
                && let Some(name) = template.fill(&json!({"a": claim}))
            {
                prop_assert!(!name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control));
            }
        }
    }
}
