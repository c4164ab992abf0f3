//! A client of the registry.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::{Body, Method, redirect};
use tokio::sync::mpsc;

use super::image::{Image, image_of, sha256};
use super::{Answer, Identity};

/// Sends requests, with credentials if it has any.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Scheme and host, without a slash at the end.
    pub(crate) base: String,
    authorization: Option<String>,
    listener: Listener,
}

/// Whose answers they are.
#[derive(Clone, Copy, PartialEq)]
enum Listener {
    Api,
    Debug,
}

/// A request in the making.
pub(crate) struct Request {
    listener: Listener,
    builder: reqwest::RequestBuilder,
    name: String,
    is_head: bool,
}

impl Client {
    /// A client of a registry at an address; with an authority, over TLS; with an identity, it shows a certificate.
    pub(crate) fn new(address: SocketAddr, authority: Option<&str>, identity: Option<&Identity>) -> Self {
        let mut builder = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).resolve("localhost", address);
        let mut scheme = "http";
        if let Some(authority) = authority {
            scheme = "https";
            builder = builder.tls_certs_only([reqwest::Certificate::from_pem(authority.as_bytes()).unwrap()]);
        }
        if let Some(identity) = identity {
            builder = builder.identity(reqwest::Identity::from_pem(identity.pem().as_bytes()).unwrap());
        }
        Self {
            http: builder.build().unwrap(),
            base: format!("{scheme}://localhost:{}", address.port()),
            authorization: None,
            listener: Listener::Api,
        }
    }

    /// A client of a debug listener.
    pub(crate) fn of_debug(address: SocketAddr) -> Self {
        Self { listener: Listener::Debug, ..Self::new(address, None, None) }
    }

    pub(crate) fn basic(&self, (user, password): (&str, &str)) -> Self {
        self.authorization(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.authorization(&format!("Bearer {token}"))
    }

    pub(crate) fn authorization(&self, value: &str) -> Self {
        Self { authorization: Some(value.to_owned()), ..self.clone() }
    }

    /// A client with a token that carries these scopes, asked for with a password.
    pub(crate) async fn login(&self, user: (&str, &str), scopes: &[&str]) -> Self {
        let answer = self.basic(user).token(scopes).await.is(200);
        self.bearer(answer.json()["token"].as_str().unwrap())
    }

    /// Asks the realm, with the credentials of this client.
    pub(crate) async fn token(&self, scopes: &[&str]) -> Answer {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={}", encode(scope))).collect();
        self.get(&format!("/auth/token?service=the-service{scopes}")).send().await
    }

    /// Asks the realm by POST.
    pub(crate) async fn post_form(&self, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post("/auth/token").header("content-type", "application/x-www-form-urlencoded").body(body).send().await
    }

    /// A request to a path, or to a whole URL such as a `Location`.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        let url = if target.starts_with('/') { format!("{}{target}", self.base) } else { target.to_owned() };
        let mut builder = self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if let Some(value) = &self.authorization {
            builder = builder.header("authorization", value);
        }
        Request { listener: self.listener, builder, name: format!("{method} {target}"), is_head: method == "HEAD" }
    }

    pub(crate) fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    pub(crate) fn head(&self, target: &str) -> Request {
        self.request("HEAD", target)
    }

    pub(crate) fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    pub(crate) fn put(&self, target: &str) -> Request {
        self.request("PUT", target)
    }

    pub(crate) fn patch(&self, target: &str) -> Request {
        self.request("PATCH", target)
    }

    pub(crate) fn delete(&self, target: &str) -> Request {
        self.request("DELETE", target)
    }

    /// Begins an upload; its location.
    pub(crate) async fn begin(&self, repository: &str) -> String {
        self.post(&format!("/v2/{repository}/blobs/uploads/")).send().await.is(202).location().to_owned()
    }

    /// Pushes a blob; its digest.
    pub(crate) async fn push_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        let location = self.begin(repository).await;
        self.put(&with(&location, &format!("digest={digest}"))).body(bytes).send().await.is(201);
        digest
    }

    pub(crate) async fn push_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: impl Into<Bytes>) -> Answer {
        let request = self.put(&format!("/v2/{repository}/manifests/{reference}")).header("content-type", media_type);
        request.body(bytes.into()).send().await
    }

    /// Pushes an image whose content is made of a text, so that different texts make different images.
    pub(crate) async fn push_image(&self, repository: &str, tag: &str, text: &str) -> Image {
        let image = image_of(text);
        for blob in [&image.config, &image.layer] {
            self.push_blob(repository, blob.clone()).await;
        }
        self.push_manifest(repository, tag, image.media_type, image.manifest.clone()).await.is(201);
        image
    }

    /// A manifest, with its type accepted.
    pub(crate) async fn manifest(&self, repository: &str, reference: &str) -> Answer {
        self.get(&format!("/v2/{repository}/manifests/{reference}")).header("accept", "*/*").send().await
    }

    pub(crate) async fn tags(&self, repository: &str) -> Vec<String> {
        let answer = self.get(&format!("/v2/{repository}/tags/list")).send().await.is(200);
        serde_json::from_value(answer.json()["tags"].clone()).unwrap()
    }

    pub(crate) async fn catalog(&self) -> Vec<String> {
        let answer = self.get("/v2/_catalog").send().await.is(200);
        serde_json::from_value(answer.json()["repositories"].clone()).unwrap()
    }

    /// The digests of what refers to a subject.
    pub(crate) async fn referrers(&self, repository: &str, subject: &str) -> Vec<String> {
        let answer = self.get(&format!("/v2/{repository}/referrers/{subject}")).send().await.is(200);
        let index = answer.json();
        index["manifests"].as_array().unwrap().iter().map(|one| one["digest"].as_str().unwrap().to_owned()).collect()
    }

    /// Pulls an image whole and checks each byte of it.
    pub(crate) async fn pull_image(&self, repository: &str, reference: &str, image: &Image) {
        let manifest = self.manifest(repository, reference).await.is(200);
        assert_eq!((manifest.digest(), &manifest.body), (image.digest.as_str(), &image.manifest));
        for blob in [&image.config, &image.layer] {
            assert_eq!(self.get(&format!("/v2/{repository}/blobs/{}", sha256(blob))).send().await.is(200).body, blob);
        }
    }
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.builder = self.builder.body(body);
        self
    }

    /// A body in pieces, without a length.
    pub(crate) fn stream(self, pieces: Vec<Bytes>) -> Self {
        let pieces = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        self.body(Body::wrap_stream(pieces))
    }

    /// Sends it, and checks what holds for every answer.
    pub(crate) async fn send(self) -> Answer {
        let response = self.builder.send().await.unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let answer = Answer { request: self.name, status, headers, body };
        // That the disk is full, or the store gone, is no fault of the server.
        assert!(status < 500 || [503, 507].contains(&status), "{answer:?}");
        if self.listener == Listener::Debug {
            return answer;
        }
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0", "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
        assert!(answer.has("x-request-id"), "{answer:?}");
        assert!(!answer.has("content-encoding"), "{answer:?}");
        assert!(!self.is_head || answer.body.is_empty(), "{answer:?}");
        answer
    }
}

/// A body that a test sends piece by piece, and ends by dropping the sender.
pub(crate) fn pipe() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    (sender, Body::wrap_stream(pieces))
}

/// A URL with more in its query.
pub(crate) fn with(url: &str, query: &str) -> String {
    format!("{url}{}{query}", if url.contains('?') { '&' } else { '?' })
}

/// A text as it stands in a query.
pub(crate) fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
