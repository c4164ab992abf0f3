//! Uploads: every way in which clients push a blob.

use actix_web::http::header::{CONTENT_TYPE, LOCATION, RANGE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use time::OffsetDateTime;

use super::access::{Access, Delete, Push};
use super::extract::{self, Query};
use super::range::{self, Part};
use super::{AppState, Error, events};
use crate::auth::policy::Pullable;
use crate::oci::digest::InvalidDigest;
use crate::oci::media_type::OCTET_STREAM;
use crate::oci::{Algorithm, Digest, Name};
use crate::registry::{self, MountSource, Session, Sight, UploadStatus};

/// `POST /v2/NAME/blobs/uploads/`: begins an upload, mounts a blob, or takes one whole.
pub(super) async fn begin(access: Access<Push>, request: HttpRequest, body: Payload, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let query = Query::of(&request);
    if query.get("digest-algorithm").is_some_and(|name| name.parse::<Algorithm>().is_err()) {
        return Err(InvalidDigest::Algorithm.into());
    }
    if let Some(digest) = mounted(&access, &request, &query, &state).await? {
        events::mounted_blob(&request, access.repository(), query.get("from"), &digest).await;
        return Ok(created(&access, &request, &state, &digest));
    }
    match query.get("digest") {
        Some(text) => {
            let digest = text.parse().map_err(|_| Error::DigestUnreadable)?;
            let session = access.repository().begin_upload(OffsetDateTime::now_utc()).await?;
            let id = session.status().id;
            match session.append(body).await {
                Ok(session) => make(&access, &request, session, &digest).await?,
                Err(error) => {
                    // The client has not learned where to go on.
                    access.repository().cancel_upload(id).await.ok();
                    return Err(error.into());
                }
            }
            Ok(created(&access, &request, &state, &digest))
        }
        None => {
            let session = access.repository().begin_upload(OffsetDateTime::now_utc()).await?;
            Ok(status(HttpResponse::Accepted(), &access, &request, &state, session.status()))
        }
    }
}

/// `PATCH /v2/NAME/blobs/uploads/UPLOAD`: appends bytes.
pub(super) async fn append(
    access: Access<Push>,
    request: HttpRequest,
    body: Payload,
    state: Data<AppState>,
) -> Result<HttpResponse, Error> {
    if extract::header(&request, CONTENT_TYPE).is_some_and(|kind| !kind.is_empty() && !kind.starts_with(OCTET_STREAM)) {
        return Err(Error::MediaTypeUnsupported);
    }
    let session = resume(&access, &request, &state).await?.append(body).await?;
    Ok(status(HttpResponse::Accepted(), &access, &request, &state, session.status()))
}

/// `PUT /v2/NAME/blobs/uploads/UPLOAD?digest=…`: appends the last bytes, if any, and makes the blob.
pub(super) async fn finish(
    access: Access<Push>,
    request: HttpRequest,
    body: Payload,
    state: Data<AppState>,
) -> Result<HttpResponse, Error> {
    let query = Query::of(&request);
    let digest = query.get("digest").filter(|text| !text.is_empty()).ok_or(Error::DigestMissing)?;
    let digest: Digest = digest.parse().map_err(|_| Error::DigestUnreadable)?;
    let session = resume(&access, &request, &state).await?;
    make(&access, &request, session.append(body).await?, &digest).await?;
    Ok(created(&access, &request, &state, &digest))
}

/// Makes a blob of what has come, and tells of it.
async fn make(access: &Access<Push>, request: &HttpRequest, session: Session, digest: &Digest) -> Result<(), Error> {
    let size = session.status().offset;
    session.finish(digest).await?;
    events::pushed_blob(request, access.repository().name(), digest, size).await;
    Ok(())
}

/// `GET` and `HEAD /v2/NAME/blobs/uploads/UPLOAD`: where the upload stands.
pub(super) async fn look(access: Access<super::access::Pull>, request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let found = access.repository().upload_status(extract::upload_id(&request)?).await?;
    Ok(status(HttpResponse::NoContent(), &access, &request, &state, &found))
}

/// `DELETE /v2/NAME/blobs/uploads/UPLOAD`: ends the upload.
pub(super) async fn cancel(access: Access<Delete>, request: HttpRequest) -> Result<HttpResponse, Error> {
    let id = extract::upload_id(&request)?;
    access.repository().cancel_upload(id).await?;
    Ok(HttpResponse::NoContent().insert_header(("docker-upload-uuid", id.to_string())).finish())
}

/// The digest of a blob that was asked to be mounted, when that came about. A request that cannot be met begins an upload instead.
async fn mounted(access: &Access<Push>, request: &HttpRequest, query: &Query, state: &AppState) -> Result<Option<Digest>, Error> {
    let Some(digest) = query.get("mount").and_then(|text| text.parse::<Digest>().ok()) else { return Ok(None) };
    let among = async |names: Vec<Name>| {
        let sources: Vec<_> = names.into_iter().filter_map(|name| access.source(state, request, name)).collect();
        access.repository().mount_blob(&digest, MountSource::Among(&sources)).await
    };
    let found = match (query.get("from"), access.pullable()) {
        (Some(from), _) => among(from.parse().into_iter().collect()).await?,
        (None, Pullable::AtMost(names)) => among(names).await?,
        (None, Pullable::ByRules) => {
            let sight = Sight { admits: &|name| access.may_pull(name), leads_below: &|path| access.may_pull_below(path) };
            access.repository().mount_blob(&digest, MountSource::InSight(sight)).await?
        }
        (None, Pullable::All) => access.repository().mount_blob(&digest, MountSource::Anywhere).await?,
    };
    Ok(found.then_some(digest))
}

/// Goes on with an upload, when the request begins where the upload stands.
async fn resume(access: &Access<Push>, request: &HttpRequest, state: &AppState) -> Result<Session, Error> {
    let id = extract::upload_id(request)?;
    let name = access.repository().name();
    let known = match Query::of(request).get("_state") {
        Some(text) => Some(state.upload_states.offset(text, name, id).map_err(|_| Error::UploadStateInvalid)?),
        None => None,
    };
    let range = range::of_upload(request.headers()).map_err(|_| Error::RangeMalformed)?;
    let length = extract::content_length(request);
    let session = access.repository().resume_upload(id).await?;
    let stands_at = session.status().offset;
    for begins_at in known.into_iter().chain(range.map(|part| part.offset)) {
        if begins_at != stands_at {
            return Err(registry::Error::OutOfOrder { stands_at, begins_at }.into());
        }
    }
    match (range, length) {
        (Some(Part { length: ranged, .. }), Some(length)) if ranged != length => Err(Error::SizeInvalid),
        _ => Ok(session),
    }
}

fn created<P>(access: &Access<P>, request: &HttpRequest, state: &AppState, digest: &Digest) -> HttpResponse {
    let location = state.live().locations.blob(&state.live().proxies.client(request), access.repository().name(), digest);
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, location)).insert_header(("docker-content-digest", digest.as_str()));
    response.finish()
}

fn status<P>(
    mut response: HttpResponseBuilder,
    access: &Access<P>,
    request: &HttpRequest,
    state: &AppState,
    status: &UploadStatus,
) -> HttpResponse {
    let name = access.repository().name();
    let signed = state.upload_states.sign(name, status);
    let location = state.live().locations.upload(&state.live().proxies.client(request), name, status.id, &signed);
    response
        .insert_header((LOCATION, location))
        .insert_header((RANGE, format!("0-{}", status.offset.saturating_sub(1))))
        .insert_header(("docker-upload-uuid", status.id.to_string()))
        .finish()
}
