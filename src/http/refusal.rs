//! The part of `error.rs` for what the rules refuse: one exhaustive match over their errors.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use serde_json::json;

use super::answer::Answer;
use crate::oci::{ErrorCode, Reference};
use crate::registry::{Error as Refusal, StorageError};

/// What a client gets.
pub(super) fn answer(refusal: &Refusal) -> Answer {
    let answer = Answer::new;
    match refusal {
        Refusal::NameUnknown(name) => answer(StatusCode::NOT_FOUND, ErrorCode::NameUnknown).with(json!({"name": name.as_str()})),
        Refusal::BlobUnknown(digest) => answer(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown).with(json!(digest)),
        Refusal::ManifestUnknown(reference) => manifest_unknown(reference),
        Refusal::ManifestInvalid(fault) => answer(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid).with(json!(fault.to_string())),
        Refusal::ReferencesUnknown(digests) => {
            answer(StatusCode::BAD_REQUEST, ErrorCode::ManifestBlobUnknown).with_each(digests.iter().map(|digest| json!(digest)))
        }
        Refusal::UrlsRefused(refused) => {
            let reason = "a layer may not lie at this address (validation.manifests.urls)";
            let details = refused.iter().map(|one| json!({"digest": one.layer, "url": one.url, "reason": reason}));
            answer(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid).with_each(details)
        }
        Refusal::ClassRefused(config) => {
            let config = config.as_ref().map(ToString::to_string);
            let answer = answer(StatusCode::FORBIDDEN, ErrorCode::Denied).with(json!({"config": config}));
            answer.saying("the registry does not take manifests of this class (policy.repository.classes)")
        }
        Refusal::DigestMismatch { expected, .. } => {
            let detail = format!("invalid digest for referenced layer: {expected}, content does not match digest");
            answer(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid).with(json!(detail))
        }
        Refusal::UploadUnknown(_) => upload_unknown(),
        Refusal::UploadBusy(_) => {
            let reason = json!({"reason": "another request is writing to this upload"});
            answer(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid).with(reason)
        }
        Refusal::OutOfOrder { stands_at, .. } => {
            answer(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid).with(json!({"offset": stands_at}))
        }
        Refusal::BlobTooLarge { limit } => {
            let answer = answer(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid).with(json!({"limit": limit}));
            answer.saying("the blob is larger than this registry takes")
        }
        Refusal::DiskReserved { .. } => {
            let answer = answer(StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unavailable);
            answer.saying("the registry's disk is nearly full: nothing can be pushed until space is freed; pulls go on")
        }
        Refusal::BodyBroken(_) => answer(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid),
        Refusal::TagExists(tag) => {
            let answer = answer(StatusCode::FORBIDDEN, ErrorCode::Denied).with(json!({"tag": tag.as_str()}));
            answer.saying("the tag exists, and you may add tags here but not move them")
        }
        Refusal::DeletionDisabled | Refusal::ReadOnly => {
            answer(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported).header(ALLOW, "GET, HEAD")
        }
        Refusal::Held => {
            let answer = answer(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable).header(RETRY_AFTER, "10");
            answer.saying("garbage is being collected: pushes and deletes are taken again in a moment; pulls go on")
        }
        Refusal::Storage(StorageError::Full(_)) => answer(StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unavailable),
        Refusal::LinkInStore(_) | Refusal::Storage(StorageError::NotFound(_) | StorageError::Denied { .. } | StorageError::Io { .. }) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown)
        }
    }
}

fn manifest_unknown(reference: &Reference) -> Answer {
    let answer = Answer::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown);
    match reference {
        Reference::Tag(tag) => answer.with(json!(format!("unknown tag={tag}"))),
        Reference::Digest(_) => answer,
    }
}

/// There is no such upload, whoever found that out.
pub(super) fn upload_unknown() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown).with(json!("blob upload unknown"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::oci::manifest::InvalidManifest;
    use crate::oci::{Algorithm, Digest};
    use crate::registry::RefusedUrl;

    /// What the layers below say, with the status and the code that clients get.
    fn refusals() -> Vec<(Refusal, u16, &'static str)> {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let (id, key) = (Uuid::nil(), crate::storage::layout::repositories());
        vec![
            (Refusal::NameUnknown("a".parse().unwrap()), 404, "NAME_UNKNOWN"),
            (Refusal::BlobUnknown(digest.clone()), 404, "BLOB_UNKNOWN"),
            (Refusal::ManifestUnknown("1".parse().unwrap()), 404, "MANIFEST_UNKNOWN"),
            (Refusal::ManifestInvalid(InvalidManifest::Ambiguous), 400, "MANIFEST_INVALID"),
            (Refusal::ReferencesUnknown(vec![digest.clone()]), 400, "MANIFEST_BLOB_UNKNOWN"),
            (Refusal::UrlsRefused(vec![RefusedUrl { layer: digest.clone(), url: "http://x".into() }]), 400, "MANIFEST_INVALID"),
            (Refusal::ClassRefused(None), 403, "DENIED"),
            (Refusal::DigestMismatch { expected: digest.clone(), actual: digest }, 400, "DIGEST_INVALID"),
            (Refusal::UploadUnknown(id), 404, "BLOB_UPLOAD_UNKNOWN"),
            (Refusal::UploadBusy(id), 416, "RANGE_INVALID"),
            (Refusal::OutOfOrder { stands_at: 1, begins_at: 2 }, 416, "RANGE_INVALID"),
            (Refusal::BodyBroken(String::new()), 400, "SIZE_INVALID"),
            (Refusal::BlobTooLarge { limit: 1 }, 413, "SIZE_INVALID"),
            (Refusal::DiskReserved { free: 1, reserve: 2 }, 507, "UNAVAILABLE"),
            (Refusal::TagExists("1".parse().unwrap()), 403, "DENIED"),
            (Refusal::DeletionDisabled, 405, "UNSUPPORTED"),
            (Refusal::ReadOnly, 405, "UNSUPPORTED"),
            (Refusal::Held, 503, "UNAVAILABLE"),
            (Refusal::LinkInStore(key.clone()), 500, "UNKNOWN"),
            (Refusal::Storage(StorageError::Full(key.clone())), 507, "UNAVAILABLE"),
            (Refusal::Storage(StorageError::NotFound(key.clone())), 500, "UNKNOWN"),
            (Refusal::Storage(StorageError::Denied { key: key.clone(), source: std::io::ErrorKind::Other.into() }), 500, "UNKNOWN"),
            (Refusal::Storage(StorageError::Io { key, source: std::io::ErrorKind::Other.into() }), 500, "UNKNOWN"),
        ]
    }

    #[test]
    fn each_refusal_has_its_status_and_code() {
        for (refusal, status, code) in refusals() {
            let answer = answer(&refusal);
            assert_eq!((answer.status.as_u16(), answer.code.as_str()), (status, code), "{refusal:?}");
        }
    }
}
