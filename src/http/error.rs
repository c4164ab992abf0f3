//! The one place that turns an error into a status; `refusal.rs` is its part for what the rules refuse.
//!
//! Clients get a code of the specification and its fixed message; the chain of causes goes to the log, once, here.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

use std::time::Duration;

use actix_web::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};

use super::answer::Answer;
use super::rate_limit::RateLimit;
use super::refusal;
use crate::oci::digest::InvalidDigest;
use crate::oci::reference::InvalidReference;
use crate::oci::{Digest, ErrorCode, Name};
use crate::registry;
use crate::telemetry::Limit;

/// Why a request is not answered as it hoped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Credentials are missing, wrong, or do not suffice.
    #[error("authentication required")]
    Unauthorized {
        /// The text of `WWW-Authenticate`.
        challenge: Option<String>,
        /// What was needed, for the body. Where there is none at all, docker shows no message either.
        detail: Value,
    },
    /// The caller may not pull here: to it the repository of this name does not exist.
    #[error("hidden from the caller")]
    Hidden(String),
    /// The caller may pull here, but not do this.
    #[error("denied")]
    Denied,
    /// Too many password checks are waiting.
    #[error("too many password checks are waiting")]
    Busy,
    /// Too many wrong passwords came from there: the next is looked at when this time has passed.
    #[error("too many wrong passwords")]
    LoginsClosed(Duration),
    /// The caller has made too many requests: the next is taken when this time has passed.
    #[error("too many requests")]
    RateLimited {
        /// That time.
        wait: Duration,
        /// What the caller has used up.
        limit: RateLimit,
        /// Of which kind of request.
        of: Limit,
    },
    /// A health check fails.
    #[error("a health check fails")]
    Unhealthy,
    /// The store cannot be read.
    #[error("not ready")]
    NotReady,
    /// Whether a token of another issuer is good cannot be found out for now.
    #[error("the issuer's keys cannot be had")]
    IssuerUnavailable,
    /// Who asks could not be found out, through no fault of theirs.
    #[error("authentication failed on our side")]
    AuthenticationFailed,
    /// A route hangs outside the middleware that it needs. A fault of ours.
    #[error("a route is not guarded")]
    Unguarded,
    /// The name is malformed.
    #[error("malformed repository name")]
    NameInvalid,
    /// A tag beside the path is malformed.
    #[error("malformed tag")]
    TagInvalid,
    /// The reference in the path is malformed.
    #[error(transparent)]
    ReferenceInvalid(#[from] InvalidReference),
    /// A digest is malformed, or of an unknown algorithm.
    #[error(transparent)]
    DigestInvalid(#[from] InvalidDigest),
    /// The digest that an upload is to end with is absent.
    #[error("digest missing")]
    DigestMissing,
    /// The digest that an upload is to end with is none.
    #[error("digest parsing failed")]
    DigestUnreadable,
    /// The repository has no manifest of this digest.
    #[error("unknown manifest name={name} revision={digest}")]
    RevisionUnknown {
        /// The repository.
        name: Name,
        /// The digest.
        digest: Digest,
    },
    /// No upload can have this id.
    #[error("malformed upload id")]
    UploadIdInvalid,
    /// The `_state` of an upload was not made by us for it.
    #[error("forged upload state")]
    UploadStateInvalid,
    /// `Content-Range` is malformed.
    #[error("malformed content range")]
    RangeMalformed,
    /// `Content-Range` and the length of the body disagree.
    #[error("content range and length disagree")]
    SizeInvalid,
    /// The page size is no number from 0 to the limit.
    #[error("malformed page size")]
    PageSizeInvalid {
        /// As it was read.
        size: Value,
    },
    /// The query is not what its route takes.
    #[error("malformed query")]
    QueryInvalid,
    /// The body of a manifest is too long.
    #[error("manifest too large")]
    ManifestTooLarge {
        /// The most bytes that are taken.
        limit: usize,
    },
    /// More tags in one push than are taken.
    #[error("too many tags")]
    TooManyTags,
    /// The body is not of the type that the route takes.
    #[error("unsupported media type")]
    MediaTypeUnsupported,
    /// The body broke off.
    #[error("the body broke off")]
    BodyBroken,
    /// The ranges asked for lie beyond the content.
    #[error("range not satisfiable")]
    RangeNotSatisfiable {
        /// The length of the content.
        length: u64,
    },
    /// There is no such route.
    #[error("no such route")]
    RouteUnknown,
    /// The request is not one that HTTP allows.
    #[error("malformed request")]
    RequestInvalid,
    /// The route knows other methods only.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// The methods it knows.
        allow: &'static str,
    },
    /// The rules refuse, or fail.
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

impl Error {
    fn answer(&self) -> Answer {
        let answer = Answer::new;
        match self {
            Self::Unauthorized { challenge, detail } => {
                let answer = answer(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized).with(detail.clone());
                match challenge {
                    Some(challenge) => answer.header(WWW_AUTHENTICATE, challenge),
                    None => answer,
                }
            }
            // As `NameUnknown` of the registry, to the byte.
            Self::Hidden(name) => answer(StatusCode::NOT_FOUND, ErrorCode::NameUnknown).with(json!({"name": name})),
            Self::Denied => answer(StatusCode::FORBIDDEN, ErrorCode::Denied),
            Self::Busy => answer(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests).header(RETRY_AFTER, "1"),
            Self::LoginsClosed(wait) => too_many(*wait).saying("too many wrong passwords from your address"),
            Self::RateLimited { wait, limit, .. } => too_many(*wait).with(json!({"limit": limit.text()})),
            Self::Unhealthy => {
                let answer = answer(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable);
                answer.with(json!("health check failed: please see /debug/health"))
            }
            Self::NotReady => answer(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable).saying("the store cannot be read"),
            Self::IssuerUnavailable => answer(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable).header(RETRY_AFTER, "10"),
            Self::AuthenticationFailed | Self::Unguarded => answer(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown),
            // A path with neither is none of the API's: registry:2 has no route for it, and clients take that for absence.
            Self::NameInvalid => answer(StatusCode::NOT_FOUND, ErrorCode::NameInvalid),
            Self::ReferenceInvalid(InvalidReference::Tag) => answer(StatusCode::NOT_FOUND, ErrorCode::TagInvalid),
            Self::TagInvalid => answer(StatusCode::BAD_REQUEST, ErrorCode::TagInvalid),
            Self::ReferenceInvalid(InvalidReference::Digest(_)) | Self::DigestInvalid(_) | Self::DigestMissing | Self::DigestUnreadable => {
                answer(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid).with(json!(self.to_string()))
            }
            Self::RevisionUnknown { .. } => answer(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown).with(json!(self.to_string())),
            Self::UploadIdInvalid => refusal::upload_unknown(),
            Self::UploadStateInvalid => answer(StatusCode::NOT_FOUND, ErrorCode::BlobUploadInvalid).with(json!("invalid secret")),
            Self::RangeMalformed => answer(StatusCode::BAD_REQUEST, ErrorCode::RangeInvalid),
            Self::SizeInvalid | Self::BodyBroken => answer(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid),
            Self::PageSizeInvalid { size } => answer(StatusCode::BAD_REQUEST, ErrorCode::PaginationNumberInvalid).with(json!({"n": size})),
            Self::QueryInvalid | Self::RequestInvalid => answer(StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
            Self::ManifestTooLarge { limit } => {
                answer(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid).with(json!({"limit": limit}))
            }
            Self::TooManyTags => answer(StatusCode::URI_TOO_LONG, ErrorCode::TagInvalid),
            Self::MediaTypeUnsupported => answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BlobUploadInvalid),
            Self::RangeNotSatisfiable { length } => {
                let answer = answer(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid).with(json!({"length": length}));
                answer.header(CONTENT_RANGE, format!("bytes */{length}"))
            }
            Self::RouteUnknown => answer(StatusCode::NOT_FOUND, ErrorCode::Unsupported),
            Self::MethodNotAllowed { allow } => answer(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported).header(ALLOW, *allow),
            Self::Registry(refusal) => refusal::answer(refusal),
        }
    }

    /// The limit that has refused the request, if one has.
    pub(super) fn limit(&self) -> Option<Limit> {
        use registry::Error as Refusal;
        if let Self::RateLimited { of, .. } = self {
            Some(*of)
        } else if let Self::ManifestTooLarge { .. } = self {
            Some(Limit::ManifestSize)
        } else if let Self::Registry(Refusal::BlobTooLarge { .. }) = self {
            Some(Limit::BlobSize)
        } else if let Self::Registry(Refusal::DiskReserved { .. }) = self {
            Some(Limit::Reserve)
        } else {
            None
        }
    }

    fn log(&self, status: StatusCode) {
        let chain = chain_of(self);
        let is_meant = matches!(self, Self::Registry(registry::Error::Held));
        if status.is_server_error() && !is_meant {
            tracing::error!(error = %chain, "a request failed on our side");
        } else {
            tracing::debug!(error = %chain, status = status.as_u16(), "a request is refused");
        }
    }
}

/// 429 with the whole seconds after which there is room again.
fn too_many(wait: Duration) -> Answer {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Answer::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests).header(RETRY_AFTER, seconds.max(1).to_string())
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.answer().status
    }

    fn error_response(&self) -> HttpResponse {
        let answer = self.answer();
        self.log(answer.status);
        let mut response = answer.response();
        if matches!(self, Self::RequestInvalid) {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    fn own() -> Vec<(Error, u16, &'static str)> {
        let limit = RateLimit { period: Duration::from_secs(1), burst: std::num::NonZeroU32::MIN };
        vec![
            (Error::Unauthorized { challenge: None, detail: Value::Null }, 401, "UNAUTHORIZED"),
            (Error::Hidden("a".into()), 404, "NAME_UNKNOWN"),
            (Error::LoginsClosed(Duration::from_millis(1500)), 429, "TOOMANYREQUESTS"),
            (Error::Unhealthy, 503, "UNAVAILABLE"),
            (Error::RateLimited { wait: Duration::ZERO, limit, of: Limit::Reads }, 429, "TOOMANYREQUESTS"),
            (Error::IssuerUnavailable, 503, "UNAVAILABLE"),
            (Error::NotReady, 503, "UNAVAILABLE"),
            (Error::Denied, 403, "DENIED"),
            (Error::Busy, 429, "TOOMANYREQUESTS"),
            (Error::AuthenticationFailed, 500, "UNKNOWN"),
            (Error::Unguarded, 500, "UNKNOWN"),
            (Error::NameInvalid, 404, "NAME_INVALID"),
            (Error::ReferenceInvalid(InvalidReference::Tag), 404, "TAG_INVALID"),
            (Error::TagInvalid, 400, "TAG_INVALID"),
            (Error::ReferenceInvalid(InvalidReference::Digest(InvalidDigest::Length)), 400, "DIGEST_INVALID"),
            (Error::DigestInvalid(InvalidDigest::Format), 400, "DIGEST_INVALID"),
            (Error::DigestMissing, 400, "DIGEST_INVALID"),
            (Error::DigestUnreadable, 400, "DIGEST_INVALID"),
            (Error::RevisionUnknown { name: "a".parse().unwrap(), digest: Digest::of(Algorithm::Sha256, b"x") }, 404, "MANIFEST_UNKNOWN"),
            (Error::UploadIdInvalid, 404, "BLOB_UPLOAD_UNKNOWN"),
            (Error::UploadStateInvalid, 404, "BLOB_UPLOAD_INVALID"),
            (Error::RangeMalformed, 400, "RANGE_INVALID"),
            (Error::SizeInvalid, 400, "SIZE_INVALID"),
            (Error::PageSizeInvalid { size: Value::Null }, 400, "PAGINATION_NUMBER_INVALID"),
            (Error::QueryInvalid, 400, "UNSUPPORTED"),
            (Error::ManifestTooLarge { limit: 1 }, 413, "MANIFEST_INVALID"),
            (Error::TooManyTags, 414, "TAG_INVALID"),
            (Error::MediaTypeUnsupported, 415, "BLOB_UPLOAD_INVALID"),
            (Error::BodyBroken, 400, "SIZE_INVALID"),
            (Error::RangeNotSatisfiable { length: 1 }, 416, "RANGE_INVALID"),
            (Error::RouteUnknown, 404, "UNSUPPORTED"),
            (Error::RequestInvalid, 400, "UNSUPPORTED"),
            (Error::MethodNotAllowed { allow: "GET" }, 405, "UNSUPPORTED"),
        ]
    }

    #[test]
    fn each_error_has_its_status_and_code() {
        for (error, status, code) in own() {
            let answer = error.answer();
            assert_eq!((answer.status.as_u16(), answer.code.as_str()), (status, code), "{error:?}");
            assert_eq!(error.error_response().status().as_u16(), status);
        }
    }
}
