//! Pulling, pushing and deleting manifests.

use actix_web::http::header::{ACCEPT, CONTENT_TYPE, ETAG, LOCATION};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::access::{Access, Delete, Pull, Push};
use super::extract::{self, Query};
use super::{AppState, Error, blobs, events};
use crate::oci::media_type::{DOCKER_LIST, DOCKER_MANIFEST};
use crate::oci::{Manifest, Reference, Tag};
use crate::registry::{self, ManifestPush, Repository, StoredManifest};

/// How many tags one push may set beside its reference (distribution specification 1.2 asks for at least 10).
const MOST_TAGS: usize = 100;

/// `GET` and `HEAD /v2/NAME/manifests/REFERENCE`.
pub(super) async fn get(access: Access<Pull>, request: HttpRequest) -> Result<HttpResponse, Error> {
    let reference = extract::reference(&request)?;
    let stored = access.repository().manifest(&reference).await.map_err(|error| named(error, access.repository()))?;
    let manifest = match &reference {
        Reference::Tag(_) if wants_image_of_list(&request, &stored) => default_image(access.repository(), stored).await?,
        _ => stored,
    };
    if let Some(response) = blobs::precondition(request.headers(), &manifest.digest) {
        return Ok(response);
    }
    events::pulled_manifest(&request, access.repository().name(), &reference, &manifest);
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, manifest.media_type.as_str()))
        .insert_header((ETAG, blobs::etag(&manifest.digest)))
        .insert_header(("docker-content-digest", manifest.digest.as_str()));
    Ok(response.body(manifest.bytes))
}

/// `PUT /v2/NAME/manifests/REFERENCE`.
pub(super) async fn put(access: Access<Push>, request: HttpRequest, body: Payload, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let reference = extract::reference(&request)?;
    let tags = extra_tags(&request, &reference)?;
    let limit = state.live().manifest_limit;
    let bytes = read(&request, body, limit).await?;
    let (named, content) = (reference.clone(), bytes.clone());
    let push = ManifestPush { reference, tags, media_type: extract::media_type(&request), bytes, mode: access.tag_mode() };
    let pushed = access.repository().put_manifest(push).await;
    if let Err(registry::Error::TagExists(_)) = &pushed {
        access.deny_move(&state, &request);
    }
    let pushed = pushed?;
    events::pushed_manifest(&request, access.repository().name(), &named, &pushed, &content).await;
    let location = state.live().locations.manifest(&state.live().proxies.client(&request), access.repository().name(), &pushed.digest);
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, location)).insert_header(("docker-content-digest", pushed.digest.as_str()));
    if let Some(subject) = &pushed.subject {
        response.insert_header(("oci-subject", subject.as_str()));
    }
    for tag in &pushed.tags {
        response.append_header(("oci-tag", tag.as_str()));
    }
    Ok(response.finish())
}

/// `DELETE /v2/NAME/manifests/REFERENCE`.
pub(super) async fn delete(access: Access<Delete>, request: HttpRequest) -> Result<HttpResponse, Error> {
    match extract::reference(&request)? {
        Reference::Tag(tag) => {
            access.repository().delete_tag(&tag).await?;
            events::deleted_tag(&request, access.repository().name(), &tag).await;
            Ok(HttpResponse::Accepted().finish())
        }
        Reference::Digest(digest) => {
            let tags = access.repository().delete_manifest(&digest).await?;
            events::deleted_manifest(&request, access.repository().name(), &digest, &tags).await;
            Ok(HttpResponse::Accepted().insert_header(("docker-content-digest", digest.as_str())).finish())
        }
    }
}

/// What a pull is refused with: that no manifest has a digest is said with the repository's name.
fn named(error: registry::Error, repository: &Repository) -> Error {
    match error {
        registry::Error::ManifestUnknown(Reference::Digest(digest)) => Error::RevisionUnknown { name: repository.name().clone(), digest },
        other => other.into(),
    }
}

/// Whether a client that knows schema 2 and no lists asks for what is a Docker list.
fn wants_image_of_list(request: &HttpRequest, stored: &StoredManifest) -> bool {
    if stored.media_type.as_str() != DOCKER_LIST {
        return false;
    }
    let lines = request.headers().get_all(ACCEPT).filter_map(|line| line.to_str().ok());
    let accepted: Vec<_> = lines.flat_map(|line| line.split(',')).map(|one| one.split(';').next().unwrap_or_default().trim()).collect();
    let accepts = |media_type| accepted.iter().any(|one| one.eq_ignore_ascii_case(media_type));
    accepts(DOCKER_MANIFEST) && !accepts(DOCKER_LIST) && !accepts("*/*") && !accepts("application/*")
}

/// The linux/amd64 image of a list; the list itself where it names none, or holds what we cannot read.
async fn default_image(repository: &Repository, list: StoredManifest) -> Result<StoredManifest, Error> {
    let parsed = Manifest::stored(&list.bytes).ok();
    match parsed.as_ref().and_then(Manifest::default_image) {
        Some(image) => Ok(repository.manifest(&Reference::Digest(image.digest.clone())).await?),
        None => Ok(list),
    }
}

fn extra_tags(request: &HttpRequest, reference: &Reference) -> Result<Vec<Tag>, Error> {
    let mut tags: Vec<Tag> = Vec::new();
    for text in Query::of(request).all("tag") {
        let tag = text.parse().map_err(|_| Error::TagInvalid)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > MOST_TAGS {
        return Err(Error::TooManyTags);
    }
    // Only a push by digest takes tags beside it (distribution specification 1.2, end-7b).
    if matches!(reference, Reference::Tag(_)) { Ok(Vec::new()) } else { Ok(tags) }
}

/// The body, when it is no longer than a manifest may be.
async fn read(request: &HttpRequest, mut body: Payload, limit: usize) -> Result<Bytes, Error> {
    if extract::content_length(request).is_some_and(|length| length > limit as u64) {
        return Err(Error::ManifestTooLarge { limit });
    }
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| Error::BodyBroken)?);
        if bytes.len() > limit {
            return Err(Error::ManifestTooLarge { limit });
        }
    }
    Ok(bytes.freeze())
}
