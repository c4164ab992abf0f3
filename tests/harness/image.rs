//! Images and indexes made of a few words.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image with one layer.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) config: Bytes,
    pub(crate) layer: Bytes,
    pub(crate) media_type: &'static str,
    pub(crate) manifest: Bytes,
    pub(crate) digest: String,
}

impl Image {
    /// The fields of its manifest, to make another one of.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.manifest).unwrap()
    }

    pub(crate) fn descriptor(&self) -> Value {
        descriptor(self.media_type, &self.manifest)
    }

    /// The same image with schema 2's types.
    pub(crate) fn in_schema_2(&self) -> Self {
        let mut value = self.value();
        value["mediaType"] = DOCKER_MANIFEST.into();
        value["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
        value["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
        Self { media_type: DOCKER_MANIFEST, ..self.with(&value) }
    }

    /// The same image with other fields.
    pub(crate) fn with(&self, value: &Value) -> Self {
        let manifest = Bytes::from(value.to_string());
        Self { digest: sha256(&manifest), manifest, ..self.clone() }
    }

    /// An artifact that refers to this image.
    pub(crate) fn referrer(&self, artifact_type: &str) -> Self {
        let mut value = self.value();
        value["artifactType"] = artifact_type.into();
        value["subject"] = self.descriptor();
        value["annotations"] = json!({"org.example.kind": artifact_type});
        self.with(&value)
    }
}

pub(crate) fn image_of(text: &str) -> Image {
    let config = Bytes::from(json!({"architecture": "amd64", "os": "linux", "comment": text}).to_string());
    let layer = Bytes::from(format!("a layer made of {text}"));
    // With blanks as no serializer writes them, so that only a registry that keeps bytes answers with these.
    let manifest = Bytes::from(format!(
        "{{\n  \"schemaVersion\": 2, \"mediaType\": \"{OCI_MANIFEST}\",\n  \"config\": {},\n  \"layers\": [ {} ]\n}}\n",
        descriptor(OCI_CONFIG, &config),
        descriptor(OCI_LAYER, &layer)
    ));
    Image { config, layer, media_type: OCI_MANIFEST, digest: sha256(&manifest), manifest }
}

pub(crate) fn index_of(media_type: &str, children: &[Value]) -> Bytes {
    Bytes::from(json!({"schemaVersion": 2, "mediaType": media_type, "manifests": children}).to_string())
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
