//! Pulling and deleting blobs.

use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::accel::X_ACCEL_REDIRECT;
use super::access::{Access, Delete, Pull};
use super::pieces::{Truncated, pieces};
use super::range::{Part, Wanted, wanted};
use super::state::AppState;
use super::{Error, blob_redirect, events, extract};
use crate::oci::Digest;
use crate::oci::media_type::OCTET_STREAM;
use crate::registry::Content;

/// A blob is never another one: it may be kept for a year, and need not be asked after.
const KEPT: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");

/// `GET` and `HEAD /v2/NAME/blobs/DIGEST`.
pub(super) async fn get(access: Access<Pull>, request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let digest = extract::digest(&request)?;
    let blob = access.repository().blob(&digest).await?;
    let total = blob.content.length();
    events::pulled_blob(&request, access.repository().name(), &digest, total);
    let redirect = state.live().blob_redirect.as_ref().map(|redirect| redirect.location(&blob.content));
    if let Some(location) = redirect {
        return Ok(blob_redirect::answer(headers(&mut HttpResponse::TemporaryRedirect(), &digest), &location));
    }
    if let Some(mut response) = precondition(request.headers(), &digest) {
        if response.status() == StatusCode::NOT_MODIFIED {
            // What keeps the blob keeps it for as long as before (RFC 9110, section 15.4.5).
            response.headers_mut().insert(CACHE_CONTROL, KEPT);
        }
        return Ok(response);
    }
    if request.method() == Method::HEAD {
        // The length alone: a body, though never sent, would be read.
        return Ok(headers(&mut HttpResponse::Ok(), &digest).body(SizedStream::new(total, stream::empty::<Result<_, Truncated>>())));
    }
    let live = state.live();
    if let Some(location) = live.accel.as_ref().and_then(|accel| accel.location(&live.proxies, &request, &blob.content)) {
        let mut answer = headers(&mut HttpResponse::Ok(), &digest).insert_header((X_ACCEL_REDIRECT, location)).finish();
        // nginx says this of its own, and would pass ours on beside it.
        answer.headers_mut().remove(ACCEPT_RANGES);
        return Ok(answer);
    }
    let range = if_range_holds(request.headers(), &digest).then(|| extract::header(&request, RANGE)).flatten();
    let whole = Part { offset: 0, length: total };
    match wanted(range, total) {
        Wanted::Whole => Ok(send(headers(&mut HttpResponse::Ok(), &digest), blob.content, whole)),
        Wanted::One(part) => {
            let mut response = HttpResponse::PartialContent();
            headers(&mut response, &digest).insert_header((CONTENT_RANGE, part.content_range(total)));
            Ok(send(&mut response, blob.content, part))
        }
        Wanted::Several(parts) => Ok(send_several(&digest, &blob.content, &parts)),
        Wanted::Unsatisfiable => Err(Error::RangeNotSatisfiable { length: total }),
    }
}

/// `DELETE /v2/NAME/blobs/DIGEST`.
pub(super) async fn delete(access: Access<Delete>, request: HttpRequest) -> Result<HttpResponse, Error> {
    let digest = extract::digest(&request)?;
    access.repository().delete_blob(&digest).await?;
    events::deleted_blob(&request, access.repository().name(), &digest).await;
    Ok(HttpResponse::Accepted().insert_header(("docker-content-digest", digest.as_str())).finish())
}

/// The answer that needs no content: 304 when the client has it, 412 when it wants another one.
pub(super) fn precondition(headers: &HeaderMap, digest: &Digest) -> Option<HttpResponse> {
    let mut if_match = headers.get_all(IF_MATCH).peekable();
    if if_match.peek().is_some() && !if_match.any(|value| value.to_str().is_ok_and(|list| names(list, digest))) {
        return Some(HttpResponse::PreconditionFailed().finish());
    }
    if headers.get_all(IF_NONE_MATCH).any(|value| value.to_str().is_ok_and(|list| names(list, digest))) {
        let mut response = HttpResponse::NotModified();
        response.insert_header((ETAG, etag(digest))).insert_header(("docker-content-digest", digest.as_str()));
        return Some(response.finish());
    }
    None
}

pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

fn names(list: &str, digest: &Digest) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == digest.as_str())
}

fn if_range_holds(headers: &HeaderMap, digest: &Digest) -> bool {
    headers.get(IF_RANGE).is_none_or(|value| value.as_bytes() == etag(digest).as_bytes())
}

fn headers<'a>(response: &'a mut HttpResponseBuilder, digest: &Digest) -> &'a mut HttpResponseBuilder {
    response
        .insert_header((CONTENT_TYPE, OCTET_STREAM))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((CACHE_CONTROL, KEPT))
        .insert_header((ETAG, etag(digest)))
        .insert_header(("docker-content-digest", digest.as_str()))
}

fn send(response: &mut HttpResponseBuilder, content: Content, part: Part) -> HttpResponse {
    response.body(SizedStream::new(part.length, pieces(content, part)))
}

/// Several parts, as `multipart/byteranges` (RFC 9110, section 14.6).
fn send_several(digest: &Digest, content: &Content, parts: &[Part]) -> HttpResponse {
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let total = content.length();
    let head = |part: &Part| {
        let range = part.content_range(total);
        format!("--{boundary}\r\nContent-Range: {range}\r\nContent-Type: {OCTET_STREAM}\r\n\r\n")
    };
    let tail = format!("\r\n--{boundary}--\r\n");
    let line_end = |index| if index == 0 { "" } else { "\r\n" };
    let heads: Vec<_> = parts.iter().enumerate().map(|(index, part)| format!("{}{}", line_end(index), head(part))).collect();
    let length = heads.iter().zip(parts).map(|(head, part)| head.len() as u64 + part.length).sum::<u64>() + tail.len() as u64;
    let sections: Vec<_> = heads.into_iter().zip(parts).map(|(head, part)| (Bytes::from(head), content.clone(), *part)).collect();
    let body = stream::iter(sections)
        .flat_map(|(head, content, part)| stream::once(async { Ok(head) }).chain(pieces(content, part)))
        .chain(stream::once(async { Ok(Bytes::from(tail)) }));
    let mut response = HttpResponse::PartialContent();
    headers(&mut response, digest).insert_header((CONTENT_TYPE, format!("multipart/byteranges; boundary={boundary}")));
    response.body(SizedStream::new(length, Box::pin(body)))
}
