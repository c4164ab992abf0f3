//! What runs around every request.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, REFERER, TRANSFER_ENCODING, USER_AGENT};
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest, ResponseError as _};
use time::OffsetDateTime;
use time::macros::format_description;
use tracing::Instrument as _;

use super::access::Asker;
use super::audit::RequestId;
use super::body::Body;
use super::client_addr::is_host;
use super::rate_limit::{Allowance, is_manifest};
use super::{AppState, Error, audit};
use crate::auth::{self, Caller};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// Numbers requests: random at start, so that two runs do not share ids.
#[derive(Debug)]
pub(super) struct RequestIds {
    run: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self { run: uuid::Uuid::new_v4().as_fields().0, next: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{:08x}{:08x}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Outermost: names the request, refuses what is no proper HTTP, adds the fixed headers, writes the access log.
pub(super) async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let state = request.app_data::<Data<AppState>>().cloned();
    let Some(state) = state else { return Ok(request.into_response(Error::Unguarded.error_response())) };
    let id = state.request_ids.next();
    let span = tracing::error_span!("request", request.id = %id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = if is_proper(request.head().version, request.method(), request.headers()) {
        let body = Body::share(&mut request, state.pace);
        let response = next.call(request).instrument(span).await?.map_into_boxed_body();
        if let Some(body) = body.filter(|_| !response.status().is_success()) {
            body.drain().await;
        }
        response
    } else {
        request.into_response(Error::RequestInvalid.error_response())
    };
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(log) = &state.access_log {
        log.write(combined_line(&state, &response));
    }
    Ok(response)
}

/// Around `/v2`: finds out who asks. What comes of it lies in the request for the extractors of [`super::access`].
pub(super) async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let state = request.app_data::<Data<AppState>>().cloned();
    let Some(state) = state else { return Ok(request.into_response(Error::Unguarded.error_response())) };
    let asker = find_out(&state, request.request()).await;
    let admitted = match &asker {
        Ok(caller) => {
            let source = state.proxies.client(request.request()).source();
            state.limiter.admit(caller, source, request.method(), request.path())
        }
        // Answered with a refusal, which costs less than counting it.
        Err(_) => Ok(None),
    };
    request.extensions_mut().insert(Asker(asker));
    let allowance = match &admitted {
        Ok(allowance) => *allowance,
        Err(Error::RateLimited { limit, .. }) => Some(Allowance { limit: *limit, remaining: 0 }),
        Err(_) => None,
    };
    let allowance = allowance.filter(|_| request.method() == Method::GET && is_manifest(request.path()));
    let mut response = match admitted {
        Ok(_) => next.call(request).await?.map_into_boxed_body(),
        Err(error) => request.into_response(error.error_response()),
    };
    if let Some(Allowance { limit, remaining }) = allowance {
        let limit = HeaderValue::try_from(limit.text()).unwrap_or_else(|_| HeaderValue::from_static(""));
        response.headers_mut().insert(RATE_LIMIT, limit);
        response.headers_mut().insert(RATE_LIMIT_REMAINING, HeaderValue::from(remaining));
    }
    for (name, value) in &state.headers {
        // The first value replaces what a handler or `observe` would set, the next ones stand beside it.
        response.headers_mut().append(name.clone(), value.clone());
    }
    Ok(response)
}

async fn find_out(state: &AppState, request: &HttpRequest) -> Result<Caller, auth::Error> {
    let text = authorization(request.headers())?;
    let found = state.gate.authenticate(text, &state.proxies.visit(request)).await;
    match &found {
        Ok(caller) => audit::login(state, request, caller.identity(), caller.proof()),
        Err(error) => audit::refusal(state, request, &auth::claimed_user(text).unwrap_or_default(), error),
    }
    found
}

/// The one `Authorization`; several, or one that is no text, are refused rather than chosen from.
pub(super) fn authorization(headers: &HeaderMap) -> Result<Option<&str>, auth::Error> {
    let mut values = headers.get_all(AUTHORIZATION);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| auth::Error::MalformedAuthorization),
        (Some(_), Some(_)) => Err(auth::Error::MalformedAuthorization),
    }
}

/// What the HTTP library lets through and RFC 9112 does not: a malformed host, a transfer coding in HTTP/1.0, a tunnel.
fn is_proper(version: Version, method: &Method, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(|host| host.to_str().is_ok_and(is_host));
    let coded = headers.contains_key(TRANSFER_ENCODING);
    host.unwrap_or(true) && !(version == Version::HTTP_10 && coded) && method != Method::CONNECT
}

/// One line in the combined format, as registry:2 writes it.
fn combined_line(state: &AppState, response: &ServiceResponse<BoxBody>) -> String {
    let request = response.request();
    let client = state.proxies.client(request);
    let time = OffsetDateTime::now_utc();
    let format = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let time = time.format(format).unwrap_or_default();
    let length = match response.response().body().size() {
        BodySize::Sized(length) if request.method() != Method::HEAD => length,
        BodySize::Sized(_) | BodySize::None | BodySize::Stream => 0,
    };
    let extensions = request.extensions();
    let user = extensions.get::<Asker>().and_then(|asker| asker.0.as_ref().ok()).map(|caller| caller.identity().to_string());
    let user = user.as_deref().filter(|user| !user.is_empty());
    let mut line = format!("{} - ", client.address);
    push_escaped(&mut line, user.unwrap_or("-").as_bytes());
    // Writing to a text cannot fail.
    write!(line, " [{time}] \"{} ", request.method()).ok();
    push_escaped(&mut line, request.uri().to_string().as_bytes());
    write!(line, " {:?}\" {} {length} \"", request.version(), response.status().as_u16()).ok();
    push_escaped(&mut line, request.headers().get(REFERER).map_or(b"", HeaderValue::as_bytes));
    line.push_str("\" \"");
    push_escaped(&mut line, request.headers().get(USER_AGENT).map_or(b"", HeaderValue::as_bytes));
    line.push_str("\"\n");
    line
}

/// Adds text from outside so that it can neither end its field nor its line.
fn push_escaped(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend(['\\', char::from(*byte)]),
            0x20..=0x7e => line.push(char::from(*byte)),
            other => {
                write!(line, "\\x{other:02x}").ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_in_its_field() {
        let mut line = String::new();
        push_escaped(&mut line, "a\" 200\n\u{7f}é".as_bytes());
        assert_eq!(line, "a\\\" 200\\x0a\\x7f\\xc3\\xa9");
    }
}
