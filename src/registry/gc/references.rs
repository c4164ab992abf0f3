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
    /// Reads the fields of every kind of manifest there has been, schema 1 among them. `None` where one of them holds something else
    /// than is named by a digest, so that nobody can say what the manifest needs.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let fields = value.as_object()?;
        let mut content = Vec::new();
        if let Some(config) = fields.get("config").filter(|config| !config.is_null()) {
            content.push(digest_of(config, "digest")?);
        }
        for (list, field) in LISTS {
            match fields.get(list) {
                None | Some(Value::Null) => {}
                Some(Value::Array(descriptors)) => {
                    for descriptor in descriptors {
                        content.push(digest_of(descriptor, field)?);
                    }
                }
                Some(_) => return None,
            }
        }
        // What it is about is nothing that it needs.
        let subject = fields.get("subject").and_then(|subject| digest_of(subject, "digest"));
        Some(Self { content, subject })
    }
}

/// The lists of content, and the field of their entries that holds the digest.
const LISTS: [(&str, &str); 4] = [("layers", "digest"), ("blobs", "digest"), ("manifests", "digest"), ("fsLayers", "blobSum")];

fn digest_of(descriptor: &Value, field: &str) -> Option<Digest> {
    descriptor.get(field)?.as_str()?.parse().ok()
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
            (format!(r#"{{"manifests":[{{"digest":"{a}"}}],"subject":{{"digest":"{b}"}}}}"#), vec![a.clone()], Some(b)),
            (format!(r#"{{"blobs":[{{"digest":"{a}"}}],"layers":null}}"#), vec![a.clone()], None),
            (format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{a}"}}]}}"#), vec![a], None),
            ("{}".to_owned(), Vec::new(), None),
        ] {
            assert_eq!(References::of(text.as_bytes()), Some(References { content, subject }), "{text}");
        }
    }

    #[test]
    fn a_manifest_that_names_something_else_than_digests_cannot_be_judged() {
        for text in ["", "no JSON", "[]", r#"{"layers":[{"digest":"sha256:short"}]}"#, r#"{"manifests":{}}"#, r#"{"config":{}}"#] {
            assert_eq!(References::of(text.as_bytes()), None, "{text}");
        }
    }
}
