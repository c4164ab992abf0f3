//! Text of a request made into types, at the door.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use url::form_urlencoded;
use uuid::Uuid;

use super::Error;
use crate::oci::{Digest, MediaType, Reference};

/// The digest in the path.
pub(super) fn digest(request: &HttpRequest) -> Result<Digest, Error> {
    request.match_info().get("digest").unwrap_or_default().parse().map_err(Error::DigestInvalid)
}

/// The tag or digest in the path.
pub(super) fn reference(request: &HttpRequest) -> Result<Reference, Error> {
    Ok(request.match_info().get("reference").unwrap_or_default().parse()?)
}

/// The upload in the path: a UUID in its usual form, whatever its version.
pub(super) fn upload_id(request: &HttpRequest) -> Result<Uuid, Error> {
    let text = request.match_info().get("upload").unwrap_or_default();
    let id: Uuid = text.parse().map_err(|_| Error::UploadIdInvalid)?;
    if id.to_string() == text { Ok(id) } else { Err(Error::UploadIdInvalid) }
}

/// The announced type of the body, if it is one.
pub(super) fn media_type(request: &HttpRequest) -> Option<MediaType> {
    header(request, CONTENT_TYPE)?.parse().ok()
}

/// The announced length of the body.
pub(super) fn content_length(request: &HttpRequest) -> Option<u64> {
    header(request, CONTENT_LENGTH)?.parse().ok()
}

/// A header that is text.
pub(super) fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// The parameters of the query, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self::parse(request.query_string().as_bytes())
    }

    /// Reads a query, or a form body, which has the same encoding.
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The page that a listing is asked for.
pub(super) struct PageQuery {
    /// The last name of the page before.
    pub(super) last: Option<String>,
    /// How many names at most.
    pub(super) size: Option<usize>,
}

impl PageQuery {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Error> {
        let query = Query::of(request);
        let last = query.get("last").filter(|last| !last.is_empty()).map(str::to_owned);
        if last.as_ref().is_some_and(|last| last.contains(char::is_control)) {
            return Err(Error::QueryInvalid);
        }
        let size = query.get("n").filter(|size| !size.is_empty());
        let invalid = |text: &str| Error::PageSizeInvalid { size: text.into() };
        let size = size.map(|text| text.parse().map_err(|_| invalid(text))).transpose()?;
        Ok(Self { last, size })
    }
}
