//! The answers that have nothing to do with images.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use serde_json::json;

use super::Error;
use super::access::BaseAccess;

/// `GET /v2/`: clients find out here that this is a registry, and how to log in.
pub(super) async fn base(_: BaseAccess) -> HttpResponse {
    HttpResponse::Ok().json(json!({}))
}

/// `GET /`: what load balancers probe.
pub(super) async fn root() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-cache")).finish()
}

/// Any route under `/v2` that is none. Callers without credentials do not learn which routes there are.
pub(super) async fn unknown_in_api(_: BaseAccess) -> Result<HttpResponse, Error> {
    Err(Error::RouteUnknown)
}

/// Any other route that is none.
pub(super) async fn unknown() -> Result<HttpResponse, Error> {
    Err(Error::RouteUnknown)
}
