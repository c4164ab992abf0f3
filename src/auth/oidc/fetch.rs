//! Asks an issuer for its keys: its metadata, then the key set that it names.
//!
//! Invariants: no redirect is followed, nothing is asked over plain HTTP but this machine, at most [`LARGEST`] bytes are read of
//! an answer, and all of it takes at most [`PATIENCE`].

use std::time::Duration;

use reqwest::{Client, StatusCode, redirect};
use serde::Deserialize;
use url::Url;

use super::IssuerUrl;
use crate::auth::error::KeyFault;
use crate::auth::trusted_keys::{self, TrustedKeys};
use crate::blocking;

/// Why the keys cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFault {
    /// No connection, no TLS, or an answer that breaks off.
    #[error("no answer from {address}")]
    Transport { address: Url, source: reqwest::Error },
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// Another status than 200; redirects are among them.
    #[error("{address} answers {status}")]
    Status { address: Url, status: StatusCode },
    /// The answer is too large.
    #[error("the answer of {0} is larger than {LARGEST} bytes")]
    TooLarge(Url),
    /// The metadata lack what we need.
    #[error("{0} is no OpenID Connect metadata")]
    Metadata(Url),
    /// The metadata are those of another issuer.
    #[error("the metadata are those of the issuer {0:?}")]
    Issuer(String),
    /// The metadata lead where we do not go.
    #[error("the metadata name {0:?} as the address of the keys, which is not an https address")]
    Address(String),
    /// The key set cannot be used.
    #[error("{address}: {fault}")]
    Keys { address: Url, fault: KeyFault },
}

/// Of the metadata, what we need.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// The keys that an issuer publishes now.
pub(super) async fn keys(issuer: IssuerUrl) -> Result<TrustedKeys, FetchFault> {
    tokio::time::timeout(PATIENCE, discovered(&issuer)).await.map_err(|_| FetchFault::Slow)?
}

async fn discovered(issuer: &IssuerUrl) -> Result<TrustedKeys, FetchFault> {
    let client = client(issuer).await?;
    let place = issuer.metadata();
    let metadata: Metadata = serde_json::from_slice(&get(&client, place.clone()).await?).map_err(|_| FetchFault::Metadata(place))?;
    // Section 4.3: the same value, byte by byte.
    if metadata.issuer != issuer.as_str() {
        return Err(FetchFault::Issuer(shortened(&metadata.issuer)));
    }
    let address = Url::parse(&metadata.jwks_uri).ok().filter(|address| issuer.admits(address));
    let address = address.ok_or_else(|| FetchFault::Address(shortened(&metadata.jwks_uri)))?;
    let set = get(&client, address.clone()).await?;
    let read = blocking::run(move || Ok(trusted_keys::read(&set)?.keys.into_iter().collect()));
    read.await.map_err(|fault| FetchFault::Keys { address, fault })
}

/// A client for one fetch: they are an hour apart, so that nothing is gained by keeping one, and certificates are read anew.
async fn client(issuer: &IssuerUrl) -> Result<Client, FetchFault> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .user_agent(concat!("breakwater/", env!("CARGO_PKG_VERSION")));
    // A proxy is nothing to ask for this machine, least of all in the clear.
    let builder = if issuer.is_plain() { builder.no_proxy() } else { builder.https_only(true) };
    // Reading the system's certificates blocks.
    let client = blocking::run(move || builder.build()).await;
    client.map_err(|source| FetchFault::Transport { address: issuer.metadata(), source })
}

async fn get(client: &Client, address: Url) -> Result<Vec<u8>, FetchFault> {
    let transport = |source: reqwest::Error| FetchFault::Transport { address: address.clone(), source: source.without_url() };
    let mut response = client.get(address.clone()).send().await.map_err(transport)?;
    if response.status() != StatusCode::OK {
        return Err(FetchFault::Status { status: response.status(), address });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(FetchFault::TooLarge(address));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// As much of a text as the log needs.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The most bytes of an answer.
pub(super) const LARGEST: usize = 1024 * 1024;
/// The time for all of a fetch.
const PATIENCE: Duration = Duration::from_secs(5);
