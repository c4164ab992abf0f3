//! What a manifest points to, as events list it: descriptors with all of their fields, in the order in which registry 3 writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "String::is_empty")]
    artifact_type: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Platform {
    architecture: String,
    os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    os_version: String,
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    os_features: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
}

/// The configuration and the layers of an image, or the manifests of an index. Of what is neither, nothing.
pub fn references(manifest: &[u8]) -> Vec<Reference> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Fields {
        config: Option<Reference>,
        layers: Vec<Reference>,
        manifests: Vec<Reference>,
    }
    let fields: Fields = serde_json::from_slice(manifest).unwrap_or_default();
    fields.config.into_iter().chain(fields.layers).chain(fields.manifests).collect()
}
