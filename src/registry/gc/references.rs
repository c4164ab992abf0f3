//! What the bytes of a manifest refer to, whatever registry took them.

use serde_json::Value;

use crate::oci::Digest;

/// What a manifest in the store refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct References {
    /// Configuration, layers and children, in order.
    pub(super) content: Vec<Digest>,
    /// The manifest that it is about.
    pub(super) subject: Option<Digest>,
}

impl References {
    /// Reads the fields of every kind of manifest there has been, schema 1 among them, in whatever case their names are: a stock registry
    /// reads `Layers` as it does `layers`. `None` where one of them holds something else than is named by a digest, so that nobody can say
    /// what the manifest needs.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let mut found = Self::default();
        for (name, value) in value.as_object()? {
            if is(name, "subject") {
                // What it is about is nothing that it needs.
                found.subject = digest_of(value, "digest").or(found.subject);
            } else if is(name, "config") && !value.is_null() {
                found.content.push(digest_of(value, "digest")?);
            } else if let Some((_, field)) = LISTS.iter().find(|(list, _)| is(name, list)) {
                found.take_in(value, field)?;
            }
        }
        Some(found)
    }

    fn take_in(&mut self, list: &Value, field: &str) -> Option<()> {
        match list {
            Value::Null => Some(()),
            Value::Array(descriptors) => {
                for descriptor in descriptors {
                    self.content.push(digest_of(descriptor, field)?);
                }
                Some(())
            }
            _ => None,
        }
    }
}

/// The lists of content, and the field of their entries that holds the digest.
const LISTS: [(&str, &str); 4] = [("layers", "digest"), ("blobs", "digest"), ("manifests", "digest"), ("fsLayers", "blobSum")];

/// The digest in a field. With a second one in another case nobody can say which counts.
fn digest_of(descriptor: &Value, field: &str) -> Option<Digest> {
    let mut fields = descriptor.as_object()?.iter().filter(|(name, _)| is(name, field));
    match (fields.next(), fields.next()) {
        (Some((_, value)), None) => value.as_str()?.parse().ok(),
        _ => None,
    }
}

fn is(name: &str, field: &str) -> bool {
    // Go folds the long s into ASCII, too.
    name.replace('\u{17f}', "s").eq_ignore_ascii_case(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    fn digest(content: &str) -> Digest {
        Digest::of(Algorithm::Sha256, content.as_bytes())
    }

    #[test]
    fn the_references_of_every_kind_of_manifest_are_found() {
        let (a, b, c) = (digest("a"), digest("b"), digest("c"));
        for (text, content, subject) in [
            (
                format!(r#"{{"config":{{"digest":"{a}"}},"layers":[{{"digest":"{b}"}},{{"digest":"{c}"}}]}}"#),
                vec![a.clone(), b.clone(), c],
                None,
            ),
            (format!(r#"{{"manifests":[{{"digest":"{a}"}}],"subject":{{"digest":"{b}"}}}}"#), vec![a.clone()], Some(b.clone())),
            (format!(r#"{{"blobs":[{{"digest":"{a}"}}],"layers":null}}"#), vec![a.clone()], None),
            (format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{a}"}}]}}"#), vec![a], None),
            (format!(r#"{{"Layers":[{{"Digest":"{b}"}}],"CONFIG":{{"digest":"{b}"}}}}"#), vec![b.clone(), b], None),
            ("{}".to_owned(), Vec::new(), None),
        ] {
            assert_eq!(References::of(text.as_bytes()), Some(References { content, subject }), "{text}");
        }
    }

    #[test]
    fn a_manifest_that_names_something_else_than_digests_cannot_be_judged() {
        for text in [
            "",
            "no JSON",
            "[]",
            r#"{"layers":[{"digest":"sha256:short"}]}"#,
            r#"{"manifests":{}}"#,
            r#"{"config":{}}"#,
            r#"{"config":{"digest":1,"Digest":2}}"#,
        ] {
            assert_eq!(References::of(text.as_bytes()), None, "{text}");
        }
    }
}
