//! A client of any registry on loopback, stock or ours, that says what it got and judges nothing.

use std::net::SocketAddr;

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::harness::{Image, OCI_MANIFEST, sha256, with};

const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry that serves.
pub(crate) struct Peer {
    base: String,
    http: reqwest::Client,
}

/// An answer, or none where the registry was gone.
type Answer = Result<(StatusCode, Bytes), reqwest::Error>;

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { base: format!("http://{address}"), http }
    }

    async fn send(&self, method: Method, target: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Response, reqwest::Error> {
        // A location of another registry on the same directory is one of this one, too.
        let path = target.strip_prefix("http://").map_or(target, |rest| &rest[rest.find('/').unwrap()..]);
        let mut request = self.http.request(method, format!("{}{path}", self.base)).header("accept", ACCEPT).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await
    }

    async fn answer(&self, method: Method, target: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let response = self.send(method, target, headers, body).await?;
        Ok((response.status(), response.bytes().await?))
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.answer(Method::GET, target, &[], Bytes::new()).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.answer(Method::DELETE, target, &[], Bytes::new()).await
    }

    /// Begins an upload with some bytes; where it goes on.
    pub(crate) async fn begin(&self, repository: &str, bytes: &Bytes) -> String {
        let location = |response: Response| {
            assert_eq!(response.status(), 202);
            response.headers()["location"].to_str().unwrap().to_owned()
        };
        let begun = self.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/"), &[], Bytes::new()).await.unwrap();
        let target = location(begun);
        let octets = [("content-type", "application/octet-stream")];
        location(self.send(Method::PATCH, &target, &octets, bytes.clone()).await.unwrap())
    }

    /// Ends an upload with the last of its bytes.
    pub(crate) async fn finish(&self, location: &str, digest: &str, bytes: Bytes) -> Answer {
        let octets = [("content-type", "application/octet-stream")];
        self.answer(Method::PUT, &with(location, &format!("digest={digest}")), &octets, bytes).await
    }

    pub(crate) async fn push_blob(&self, repository: &str, bytes: &Bytes) -> Answer {
        let begun = self.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/"), &[], Bytes::new()).await?;
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        self.finish(&location, &sha256(bytes), bytes.clone()).await
    }

    /// Whether the blob was mounted.
    pub(crate) async fn mount(&self, repository: &str, from: &str, digest: &str) -> bool {
        let target = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
        self.answer(Method::POST, &target, &[], Bytes::new()).await.unwrap().0 == 201
    }

    pub(crate) async fn push_manifest(&self, repository: &str, reference: &str, manifest: &Bytes) -> Answer {
        let value: Value = serde_json::from_slice(manifest).unwrap();
        let media_type = value["mediaType"].as_str().unwrap_or(OCI_MANIFEST).to_owned();
        let target = format!("/v2/{repository}/manifests/{reference}");
        self.answer(Method::PUT, &target, &[("content-type", &media_type)], manifest.clone()).await
    }

    /// Pushes an image by a tag or by its digest. An error: the registry was gone.
    pub(crate) async fn push_image(&self, repository: &str, reference: &str, image: &Image) -> Answer {
        for blob in [&image.config, &image.layer] {
            self.push_blob(repository, blob).await?;
        }
        self.push_manifest(repository, reference, &image.manifest).await
    }
}
