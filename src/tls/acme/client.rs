//! How an ACME server is spoken to: HTTPS with a limit to everything, and an ear for how long it wants to be left alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use reqwest::{Body, Certificate, redirect};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::{Error, Options};
use crate::blocking;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer.
const LARGEST: usize = 1024 * 1024;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("breakwater/", env!("CARGO_PKG_VERSION"), " instant-acme"));

/// A client for one attempt: those are hours apart, so that nothing is gained by keeping one, and certificates are read anew.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    patience: Arc<Mutex<Option<SystemTime>>>,
}

impl Client {
    /// Makes a client that believes in the authority of the options, or else in those of the system.
    pub(super) async fn new(options: &Options) -> Result<Self, Error> {
        let authority = options.authority.clone();
        let http = blocking::run(move || {
            let builder =
                reqwest::Client::builder().redirect(redirect::Policy::none()).connect_timeout(PATIENCE).timeout(PATIENCE).https_only(true);
            let Some(path) = authority else {
                return builder.build().map_err(|source| Error::Server(instant_acme::Error::Other(source.into())));
            };
            let unusable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Authority { path: path.clone(), source };
            let pem = std::fs::read(&path).map_err(|source| unusable(source.into()))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|source| unusable(source.into()))?;
            if certificates.is_empty() {
                return Err(unusable("it holds no certificate".into()));
            }
            builder.tls_certs_only(certificates).build().map_err(|source| unusable(source.into()))
        });
        Ok(Self { http: http.await?, patience: Arc::default() })
    }

    /// Until when the server wants no more requests, if it said so.
    pub(super) fn asked_to_wait(&self) -> Option<SystemTime> {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Fault> {
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(USER_AGENT, AGENT);
        let request = self.http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(Body::wrap(body));
        let mut answer = request.send().await?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = retry_after(&headers, SystemTime::now());
        }
        // What is no problem document says nothing; some proxy may have written it.
        if status.is_redirection() || (!status.is_success() && !is_problem(&headers)) {
            return Err(Fault::Status(status));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > LARGEST {
                return Err(Fault::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(BytesResponse { parts: response.into_parts().0, body: Box::new(body.freeze()) })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let exchange = self.clone().exchange(request);
        Box::pin(async move { exchange.await.map_err(|fault| instant_acme::Error::Other(fault.into())) })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Transport(#[from] reqwest::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("its answer is larger than {LARGEST} bytes")]
    TooLarge,
}

fn is_problem(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/problem+json"))
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => now.checked_add(Duration::from_secs(seconds)),
        Err(_) => OffsetDateTime::parse(value, &Rfc2822).ok().map(SystemTime::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_understood() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (text, seconds) in
            [("120", Some(120)), ("Sun, 09 Sep 2001 01:47:40 GMT", Some(60)), ("soon", None), ("99999999999999999999", None)]
        {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now), seconds.map(|seconds| now + Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
