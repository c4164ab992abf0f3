//! The token realm: where clients turn credentials into tokens (Docker token specification).

use std::time::SystemTime;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::extract::{self, Query};
use super::middleware::authorization;
use super::{AppState, Error, audit};
use crate::auth::{self, BasicCredentials, Grant, IssuedToken, Offline, TokenRequest};
use crate::telemetry;

/// The longest form that is read, in bytes.
const FORM_LIMIT: usize = 64 * 1024;

/// `GET /auth/token`, with Basic credentials or none.
pub(super) async fn get(request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let query = Query::of(&request);
    let credentials = authorization(request.headers()).and_then(BasicCredentials::parse).map_err(|error| {
        audit::refusal(&state, &request, "", &error);
        refused()
    })?;
    let grant = match &credentials {
        Some(BasicCredentials { user, password }) => Grant::Password { user, password },
        None => Grant::Anonymous,
    };
    let is_offline = query.get("offline_token").is_some_and(|text| text == "true" || text == "1");
    respond(&request, &state, grant, &query, is_offline).await
}

/// `POST /auth/token`: OAuth2 with a form body.
pub(super) async fn post(request: HttpRequest, body: Payload, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let form = Query::parse(&read(&request, body).await?);
    let grant = match form.get("grant_type") {
        Some("password") => {
            let password = form.get("password").unwrap_or_default().as_bytes();
            Grant::Password { user: form.get("username").unwrap_or_default(), password }
        }
        Some("refresh_token") => Grant::Refresh(form.get("refresh_token").unwrap_or_default()),
        _ => return Err(Error::QueryInvalid),
    };
    let is_offline = form.get("access_type") == Some("offline") || matches!(grant, Grant::Refresh(_));
    respond(&request, &state, grant, &form, is_offline).await
}

/// `GET /auth/jwks.json`: the public keys that tokens verify with.
pub(super) async fn keys(state: Data<AppState>) -> Result<HttpResponse, Error> {
    let tokens = state.gate.tokens().ok_or(Error::RouteUnknown)?;
    Ok(HttpResponse::Ok().json(tokens.jwks(SystemTime::now())))
}

async fn respond(
    request: &HttpRequest,
    state: &AppState,
    grant: Grant<'_>,
    fields: &Query,
    is_offline: bool,
) -> Result<HttpResponse, Error> {
    let tokens = state.gate.tokens().ok_or(Error::RouteUnknown)?;
    let asked = TokenRequest {
        grant,
        service: fields.get("service"),
        scopes: fields.all("scope").collect(),
        access: if is_offline { Offline::Wanted } else { Offline::NotWanted },
        client_id: fields.get("client_id"),
    };
    let visit = state.live().proxies.visit(request);
    let issued = tokens.issue(asked, &visit).await;
    write_down(request, state, grant, &issued);
    match issued {
        Ok(issued) => Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(reply(&issued))),
        Err(auth::Error::Busy) => Err(Error::Busy),
        Err(auth::Error::Closed(wait)) => Err(Error::LoginsClosed(wait)),
        Err(auth::Error::IssuerUnavailable(_)) => Err(Error::IssuerUnavailable),
        Err(auth::Error::WrongCredentials | auth::Error::InvalidToken(_) | auth::Error::MalformedAuthorization) => Err(refused()),
        Err(error) => {
            tracing::error!(%error, "no token could be issued");
            Err(Error::AuthenticationFailed)
        }
    }
}

/// The login, and the token or why there is none.
fn write_down(request: &HttpRequest, state: &AppState, grant: Grant<'_>, issued: &Result<IssuedToken, auth::Error>) {
    match issued {
        Ok(issued) => {
            audit::login(state, request, &issued.identity, issued.proof);
            audit::token(state, request, issued);
            state.outlets.metrics.token(match grant {
                Grant::Password { .. } => telemetry::Grant::Password,
                Grant::Refresh(_) => telemetry::Grant::Refresh,
                Grant::Anonymous => telemetry::Grant::Anonymous,
            });
        }
        Err(error) => {
            let claimed = if let Grant::Password { user, .. } = grant { user } else { "" };
            audit::refusal(state, request, claimed, error);
        }
    }
}

fn refused() -> Error {
    Error::Unauthorized { challenge: Some("Basic realm=\"token\"".to_owned()), detail: json!([]) }
}

fn reply(issued: &IssuedToken) -> serde_json::Value {
    let issued_at = OffsetDateTime::from(issued.issued_at).format(&Rfc3339).unwrap_or_default();
    let mut reply = json!({
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.expires_in.as_secs(),
        "issued_at": issued_at,
        "scope": issued.scope,
    });
    if let Some(refresh) = &issued.refresh_token {
        reply["refresh_token"] = json!(refresh);
    }
    reply
}

async fn read(request: &HttpRequest, mut body: Payload) -> Result<BytesMut, Error> {
    if extract::content_length(request).is_some_and(|length| length > FORM_LIMIT as u64) {
        return Err(Error::QueryInvalid);
    }
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| Error::BodyBroken)?);
        if bytes.len() > FORM_LIMIT {
            return Err(Error::QueryInvalid);
        }
    }
    Ok(bytes)
}
