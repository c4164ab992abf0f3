//! Blobs that are fetched from elsewhere: a redirect to a server that has the same directory, as `middleware.storage` names it.

use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::registry::Content;

/// `middleware.storage`, as far as a store of files goes: where clients find the files of the data root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRedirect {
    /// Scheme and host, without a slash at the end.
    pub origin: String,
    /// The path below which the files lie, without a slash at the end.
    pub path: String,
    /// What is cut off the beginning of a whole path.
    pub trimmed: String,
}

impl BlobRedirect {
    /// The address of a content, whose place in the data root needs no escapes.
    pub(super) fn location(&self, content: &Content) -> String {
        let path = format!("{}/{}", self.path, content.location());
        format!("{}{}", self.origin, path.strip_prefix(&self.trimmed).unwrap_or(&path))
    }
}

/// The answer that sends a client there. The address may be another tomorrow, so it is not kept.
pub(super) fn answer(response: &mut HttpResponseBuilder, location: &str) -> HttpResponse {
    response.insert_header((LOCATION, location)).insert_header((CACHE_CONTROL, "no-cache")).finish()
}
