//! A pointer to content, as manifests and lists of referrers carry it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::media_type::OCTET_STREAM;
use super::{Digest, MediaType};

/// A descriptor of the image specification ("OCI Content Descriptors"), as far as a registry reads it.
///
/// Fields that a registry has no use for are dropped: manifests are stored and served as bytes. It goes by the digest, so that alone
/// must be right: what else is absent, `null` or out of range is taken as not known, as registry:2 takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the content; that of bytes of no stated kind where none is given that is one.
    #[serde(default = "no_stated_kind", deserialize_with = "media_type_or_none")]
    pub media_type: MediaType,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes; 0 where it is not known.
    #[serde(default, deserialize_with = "size_or_none")]
    pub size: u64,
    /// The type of the artifact, where the content is a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What the content runs on, where it is a manifest in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Where the content may be had besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    /// Notes of the author.
    #[serde(default, deserialize_with = "annotations", skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The platform of an image in an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As GOARCH.
    #[serde(default, deserialize_with = "text_or_none")]
    pub architecture: String,
    /// As GOOS.
    #[serde(default, deserialize_with = "text_or_none")]
    pub os: String,
    /// The variant of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Notes, where `null` counts as no text.
pub(super) fn annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let notes = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?;
    Ok(notes.map(|notes| notes.into_iter().map(|(name, note)| (name, note.unwrap_or_default())).collect()))
}

fn no_stated_kind() -> MediaType {
    OCTET_STREAM.parse().expect("the constants of media_type.rs are media types")
}

fn media_type_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MediaType, D::Error> {
    Ok(text_or_none(deserializer)?.parse().unwrap_or_else(|_| no_stated_kind()))
}

fn size_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = Option::<i64>::deserialize(deserializer)?;
    Ok(size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default())
}

fn text_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::oci::Algorithm;

    fn read(changes: Value) -> Result<Descriptor, serde_json::Error> {
        let mut value = json!({"digest": Digest::of(Algorithm::Sha256, b"x")});
        value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(value)
    }

    #[test]
    fn what_is_absent_null_or_out_of_range_is_not_known() {
        for changes in [
            json!({}),
            json!({"mediaType": "", "size": -1}),
            json!({"mediaType": null, "size": null, "platform": null, "annotations": null, "artifactType": null}),
            json!({"mediaType": "no type", "size": i64::MIN}),
        ] {
            let descriptor = read(changes.clone()).unwrap();
            assert_eq!((descriptor.media_type.as_str(), descriptor.size), (OCTET_STREAM, 0), "{changes}");
        }
        let descriptor = read(json!({"platform": {"os": null}, "annotations": {"a": null, "b": "c"}})).unwrap();
        assert_eq!(descriptor.platform.unwrap().os, "");
        assert_eq!(descriptor.annotations.unwrap().into_values().collect::<Vec<_>>(), ["", "c"]);
    }

    #[test]
    fn what_is_of_another_shape_is_refused() {
        for changes in [
            json!({"digest": "sha256:abc"}),
            json!({"digest": null}),
            json!({"size": "7"}),
            json!({"size": 1.5}),
            json!({"size": u64::MAX}),
            json!({"mediaType": 1}),
            json!({"platform": "linux"}),
            json!({"annotations": {"a": 1}}),
        ] {
            assert!(read(changes.clone()).is_err(), "{changes}");
        }
    }
}
