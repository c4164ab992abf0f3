//! The answers that have nothing to do with images.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use serde_json::json;

use super::access::BaseAccess;
use super::{AppState, Error};

/// `GET /v2/`: clients find out here that this is a registry, and how to log in.
pub(super) async fn base(_: BaseAccess) -> HttpResponse {
    HttpResponse::Ok().json(json!({}))
}

/// `GET /`: what load balancers probe.
pub(super) async fn root() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-cache")).finish()
}

/// `GET /healthz`: the process answers. Says nothing of what it needs to do its work.
pub(super) async fn healthy() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({}))
}

/// `GET /readyz`: requests can be served, as far as the store can be read and no health check fails.
pub(super) async fn ready(state: Data<AppState>) -> Result<HttpResponse, Error> {
    if !state.health.is_good() {
        return Err(Error::Unhealthy);
    }
    if let Err(error) = state.gate.ready().await {
        tracing::warn!(%error, "the store cannot be read: not ready");
        return Err(Error::NotReady);
    }
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({})))
}

/// Any route under `/v2` that is none. Callers without credentials do not learn which routes there are.
pub(super) async fn unknown_in_api(_: BaseAccess) -> Result<HttpResponse, Error> {
    Err(Error::RouteUnknown)
}

/// Any other route that is none.
pub(super) async fn unknown() -> Result<HttpResponse, Error> {
    Err(Error::RouteUnknown)
}
