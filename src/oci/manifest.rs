//! Manifests and indexes, as far as a registry reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::media_type::{DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST};
use super::{Descriptor, Digest, MediaType, descriptor};

/// A manifest that has been read: what it is and what it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    media_type: MediaType,
    fields: Fields,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// Not JSON, or of another shape.
    #[error("not a manifest: {0}")]
    Shape(#[from] serde_json::Error),
    /// A `schemaVersion` other than 2.
    #[error("schema version {0:?} where 2 is demanded")]
    SchemaVersion(Option<u64>),
    /// The type announced is none that the registry takes.
    #[error("unsupported manifest media type and no default available: {}", .0.as_ref().map_or("", MediaType::as_str))]
    MediaType(Option<MediaType>),
    /// The type in the body is not the one announced.
    #[error("media type {stated} in the body where {announced} was announced")]
    Disagreement {
        /// In the body.
        stated: MediaType,
        /// In the header.
        announced: MediaType,
    },
    /// An index has image fields, or an image those of an index.
    #[error("fields of an image and of an index in one manifest")]
    Ambiguous,
    /// A field that this type demands is absent.
    #[error("no field {0}")]
    Missing(&'static str),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    schema_version: Option<u64>,
    #[serde(default, deserialize_with = "stated")]
    media_type: Option<MediaType>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "descriptor::annotations")]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads the body of a push, whose type was announced in a header.
    pub fn parse(announced: Option<MediaType>, bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let announced = match announced {
            Some(media_type) if media_type.is_manifest() => media_type,
            other => return Err(InvalidManifest::MediaType(other)),
        };
        let fields: Fields = serde_json::from_slice(bytes)?;
        if let Some(stated) = &fields.media_type
            && *stated != announced
        {
            return Err(InvalidManifest::Disagreement { stated: stated.clone(), announced });
        }
        let manifest = Self { media_type: announced, fields };
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads bytes that lie in the store, where no type is kept beside them.
    ///
    /// Without `mediaType` an object with `manifests` is an OCI index, any other an OCI manifest.
    pub fn stored(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        Ok(Self { media_type: Self::stored_media_type(bytes), fields: serde_json::from_slice(bytes)? })
    }

    /// The type of bytes that lie in the store, whatever else they hold: other registries took manifests that we would not.
    pub fn stored_media_type(bytes: &[u8]) -> MediaType {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let stated = value.get("mediaType").and_then(Value::as_str).and_then(|text| text.parse().ok());
        stated.unwrap_or_else(|| {
            if value.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
                known(DOCKER_SCHEMA1)
            } else if value.get("manifests").is_some_and(|list| !list.is_null()) {
                known(OCI_INDEX)
            } else {
                known(OCI_MANIFEST)
            }
        })
    }

    /// The type of the manifest itself.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The configuration.
    pub fn config(&self) -> Option<&Descriptor> {
        self.fields.config.as_ref()
    }

    /// The configuration and the layers, in order.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let lists = [&self.fields.layers, &self.fields.blobs];
        self.fields.config.iter().chain(lists.into_iter().flatten().flatten())
    }

    /// What an index points to.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        self.fields.manifests.iter().flatten()
    }

    /// The manifest that this one refers to.
    pub fn subject(&self) -> Option<&Digest> {
        self.fields.subject.as_ref().map(|subject| &subject.digest)
    }

    /// The descriptor under which a list of referrers shows this manifest.
    ///
    /// `artifactType` falls back to the configuration's media type (distribution specification, "Listing Referrers").
    pub fn as_referrer(&self, digest: Digest, size: u64) -> Descriptor {
        let of_config = || self.fields.config.as_ref().map(|config| config.media_type.as_str().to_owned());
        Descriptor {
            media_type: self.media_type.clone(),
            digest,
            size,
            artifact_type: self.fields.artifact_type.clone().filter(|kind| !kind.is_empty()).or_else(of_config),
            platform: None,
            urls: None,
            annotations: self.fields.annotations.clone(),
        }
    }

    /// The linux/amd64 image of an index: what clients get that know schema 2 but no lists.
    pub fn default_image(&self) -> Option<&Descriptor> {
        self.children().find(|child| child.platform.as_ref().is_some_and(|on| on.os == "linux" && on.architecture == "amd64"))
    }

    fn check(&self) -> Result<(), InvalidManifest> {
        let fields = &self.fields;
        let is_image = fields.config.is_some() || fields.layers.is_some();
        if is_image && (fields.manifests.is_some() || self.media_type.is_index()) {
            return Err(InvalidManifest::Ambiguous);
        }
        let need = |present: bool, field| if present { Ok(()) } else { Err(InvalidManifest::Missing(field)) };
        match self.media_type.as_str() {
            OCI_ARTIFACT => return Ok(()),
            OCI_MANIFEST => need(fields.config.is_some(), "config")?,
            // Only the image specification lets the type be absent: these would be served as what they are not.
            DOCKER_MANIFEST => {
                need(fields.media_type.is_some(), "mediaType")?;
                need(fields.config.is_some(), "config")?;
            }
            DOCKER_LIST => need(fields.media_type.is_some(), "mediaType")?,
            _ => {}
        }
        match fields.schema_version {
            Some(2) => Ok(()),
            other => Err(InvalidManifest::SchemaVersion(other)),
        }
    }
}

/// The type that a body states. Empty text is none, as in Go.
fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MediaType>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

fn known(text: &'static str) -> MediaType {
    text.parse().expect("the constants of media_type.rs are media types")
}

#[cfg(test)]
mod tests {
    use super::super::Algorithm;
    use super::*;

    fn descriptor(media_type: &str) -> Value {
        serde_json::json!({"mediaType": media_type, "digest": Digest::of(Algorithm::Sha256, b"x"), "size": 1})
    }

    fn image() -> Value {
        serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.example.config+json"), "layers": [descriptor("application/x-layer")],
        })
    }

    fn parse(media_type: &str, value: &Value) -> Result<Manifest, InvalidManifest> {
        Manifest::parse(Some(known_or(media_type)), value.to_string().as_bytes())
    }

    fn known_or(media_type: &str) -> MediaType {
        media_type.parse().unwrap()
    }

    #[test]
    fn an_image_points_to_its_configuration_and_layers() {
        let manifest = parse(OCI_MANIFEST, &image()).unwrap();
        assert_eq!(manifest.blobs().count(), 2);
        assert_eq!(manifest.children().count(), 0);
    }

    #[test]
    fn a_referrer_without_artifact_type_shows_that_of_its_configuration() {
        let manifest = parse(OCI_MANIFEST, &image()).unwrap();
        let referrer = manifest.as_referrer(Digest::of(Algorithm::Sha256, b"m"), 7);
        assert_eq!(referrer.artifact_type.as_deref(), Some("application/vnd.example.config+json"));
    }

    #[test]
    fn a_body_that_says_otherwise_than_its_header_is_refused() {
        assert!(matches!(parse(DOCKER_MANIFEST, &image()), Err(InvalidManifest::Disagreement { .. })));
    }

    #[test]
    fn manifests_of_unknown_type_are_refused() {
        assert!(matches!(parse("application/json", &image()), Err(InvalidManifest::MediaType(Some(_)))));
        assert!(matches!(Manifest::parse(None, b"{}"), Err(InvalidManifest::MediaType(None))));
    }

    #[test]
    fn an_image_that_is_an_index_as_well_is_refused() {
        let mut value = image();
        value["manifests"] = serde_json::json!([]);
        assert!(matches!(parse(OCI_MANIFEST, &value), Err(InvalidManifest::Ambiguous)));
    }

    #[test]
    fn a_field_given_twice_is_refused() {
        let body = format!(r#"{{"schemaVersion":2,"config":{c},"config":{c},"layers":[]}}"#, c = descriptor("a/b"));
        let result = Manifest::parse(Some(known_or(OCI_MANIFEST)), body.as_bytes());
        assert!(matches!(result, Err(InvalidManifest::Shape(_))));
    }

    #[test]
    fn what_registry_2_takes_and_does_no_harm_is_taken() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        for change in [
            serde_json::json!({"layers": null, "mediaType": ""}),
            serde_json::json!({"layers": [{"digest": digest, "size": -1, "mediaType": "", "urls": null, "data": null}]}),
            serde_json::json!({"config": {"digest": digest}, "annotations": {"a": null}, "subject": null, "manifests": null}),
            serde_json::json!({"other": {"deep": [1, {"er": null}]}, "config": {"digest": digest, "other": 1}}),
        ] {
            let mut value = image();
            value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            parse(OCI_MANIFEST, &value).unwrap_or_else(|error| panic!("{change}: {error}"));
        }
        for index in [serde_json::json!({"schemaVersion": 2}), serde_json::json!({"schemaVersion": 2, "manifests": null})] {
            assert_eq!(parse(OCI_INDEX, &index).unwrap().children().count(), 0);
        }
    }

    #[test]
    fn an_index_with_the_fields_of_an_image_is_refused() {
        assert!(matches!(parse(OCI_INDEX, &serde_json::json!({"schemaVersion": 2, "layers": []})), Err(InvalidManifest::Ambiguous)));
    }

    #[test]
    fn docker_manifests_state_their_type() {
        let mut value = image();
        value["mediaType"] = "".into();
        assert!(matches!(parse(DOCKER_MANIFEST, &value), Err(InvalidManifest::Missing("mediaType"))));
        let list = serde_json::json!({"schemaVersion": 2, "manifests": []});
        assert!(matches!(parse(DOCKER_LIST, &list), Err(InvalidManifest::Missing("mediaType"))));
    }

    #[test]
    fn stored_bytes_without_a_type_are_known_by_their_fields() {
        assert_eq!(Manifest::stored(br#"{"manifests":[]}"#).unwrap().media_type().as_str(), OCI_INDEX);
        assert_eq!(Manifest::stored(br#"{"layers":[]}"#).unwrap().media_type().as_str(), OCI_MANIFEST);
        // As registry:2 takes it, whatever it was pushed as.
        assert_eq!(Manifest::stored(br#"{"manifests":null}"#).unwrap().media_type().as_str(), OCI_MANIFEST);
    }

    #[test]
    fn the_type_of_stored_bytes_is_found_where_we_would_not_take_them() {
        for (bytes, expected) in [
            (format!(r#"{{"mediaType":"{DOCKER_MANIFEST}","layers":[{{"mediaType":"","digest":"x"}}]}}"#), DOCKER_MANIFEST),
            (r#"{"mediaType":"","config":null,"config":{}}"#.to_owned(), OCI_MANIFEST),
            (r#"{"schemaVersion":1,"signatures":[]}"#.to_owned(), DOCKER_SCHEMA1),
            ("no JSON".to_owned(), OCI_MANIFEST),
        ] {
            assert_eq!(Manifest::stored_media_type(bytes.as_bytes()).as_str(), expected, "{bytes}");
        }
    }
}
