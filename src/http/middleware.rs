//! What runs around every request.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest, ResponseError as _};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::access::Asker;
use super::audit::RequestId;
use super::body::Body;
use super::client_addr::is_host;
use super::endpoint::endpoint_of;
use super::observation::Observation;
use super::rate_limit::Allowance;
use super::redirect::redirect;
use super::{AppState, Error, audit};
use crate::auth::{self, Caller};
use crate::telemetry::{self, Endpoint, Label as _, Traces};

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

/// Outermost: names the request, refuses what is no proper HTTP, adds the fixed headers, follows the answer to its end.
pub(super) async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let state = request.app_data::<Data<AppState>>().cloned();
    let Some(state) = state else { return Ok(request.into_response(Error::Unguarded.error_response())) };
    let id = state.request_ids.next();
    let span = request_span(&state, &request, &id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut observation = Observation::begin(&state, &request);
    let mut response = if is_proper(request.head().version, request.method(), request.headers()) {
        let body = Body::share(&mut request, state.live().pace);
        observation.receives(body.clone());
        let response = if observation.is_of_the_api() && !state.health.is_good() {
            request.error_response(Error::Unhealthy)
        } else if let Some(response) = redirect(request.request(), &state.prefix) {
            request.into_response(response)
        } else {
            next.call(request).instrument(span.clone()).await?.map_into_boxed_body()
        };
        let refusal = response.response().error().and_then(|error| error.as_error::<Error>());
        if let Some(limit) = refusal.and_then(Error::limit) {
            state.outlets.metrics.limited(limit);
        }
        if let Some(body) = body.filter(|_| !response.status().is_success()) {
            body.drain().await;
        }
        response
    } else {
        request.into_response(Error::RequestInvalid.error_response())
    };
    span.record("http.response.status_code", response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    Ok(observation.follow(response, &id))
}

/// What the log names a request by; where requests are traced, with what OpenTelemetry's conventions for HTTP servers ask for.
fn request_span(state: &AppState, request: &ServiceRequest, id: &str) -> Span {
    if state.outlets.traces == Traces::Off {
        return tracing::error_span!("request", request.id = %id);
    }
    let (method, endpoint) = (request.method(), endpoint_of(request.match_info().as_str(), &state.prefix));
    let span = tracing::error_span!(
        "request",
        request.id = %id,
        otel.name = format!("{method} {}", endpoint.text()),
        otel.kind = "server",
        http.request.method = %method,
        url.path = request.path(),
        http.response.status_code = Empty,
    );
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    telemetry::adopt(&span, &header);
    span
}

/// Around `/v2`: finds out who asks. What comes of it lies in the request for the extractors of [`super::access`].
pub(super) async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let state = request.app_data::<Data<AppState>>().cloned();
    let Some(state) = state else { return Ok(request.into_response(Error::Unguarded.error_response())) };
    let asker = find_out(&state, request.request()).await;
    let endpoint = endpoint_of(request.match_info().as_str(), &state.prefix);
    let admitted = match &asker {
        Ok(caller) => {
            let source = state.live().proxies.client(request.request()).source();
            state.live().limiter.admit(caller, source, request.method(), endpoint)
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
    let allowance = allowance.filter(|_| request.method() == Method::GET && endpoint == Endpoint::Manifest);
    let mut response = match admitted {
        Ok(_) => next.call(request).await?.map_into_boxed_body(),
        Err(error) => request.error_response(error),
    };
    let live = state.live();
    if let Some(Allowance { limit, remaining }) = allowance {
        let limit = HeaderValue::try_from(limit.text()).unwrap_or_else(|_| HeaderValue::from_static(""));
        response.headers_mut().insert(RATE_LIMIT, limit);
        response.headers_mut().insert(RATE_LIMIT_REMAINING, HeaderValue::from(remaining));
    }
    for (name, value) in &live.headers {
        // The first value replaces what a handler or `observe` would set, the next ones stand beside it.
        response.headers_mut().append(name.clone(), value.clone());
    }
    Ok(response)
}

async fn find_out(state: &AppState, request: &HttpRequest) -> Result<Caller, auth::Error> {
    let text = authorization(request.headers())?;
    let visit = state.live().proxies.visit(request);
    let found = state.gate.authenticate(text, &visit).await;
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
