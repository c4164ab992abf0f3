//! Where a path leads that is only nearly one of the API's.
//!
//! registry:2 answers 301 to a path with empty or dotted segments and to a route with a slash too many, and scripts follow it.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;

use super::endpoint::endpoint_of;
use crate::telemetry::Endpoint;

/// The answer that leads to the path that was meant; `None` where the path stays as it is.
pub(super) fn redirect(request: &HttpRequest, prefix: &str) -> Option<HttpResponse> {
    let meant = meant(request.path(), prefix)?;
    let location = if request.query_string().is_empty() { meant } else { format!("{meant}?{}", request.query_string()) };
    Some(HttpResponse::MovedPermanently().insert_header((LOCATION, location)).finish())
}

fn meant(path: &str, prefix: &str) -> Option<String> {
    // Other paths begin with none: `*`, and what a CONNECT names. A browser takes a backslash for a slash, and two of them for a host.
    if !path.starts_with('/') || path.contains('\\') {
        return None;
    }
    let clean = clean(path);
    if clean != path {
        return Some(clean);
    }
    let short = path.strip_suffix('/')?;
    match endpoint_of(short, prefix) {
        Endpoint::Catalog | Endpoint::Tags | Endpoint::Manifest | Endpoint::Referrers | Endpoint::Blob | Endpoint::BlobUploadChunk => {
            Some(short.to_owned())
        }
        _ => None,
    }
}

/// The path without empty segments, `.` and `..` (RFC 3986, section 5.2.4), its last slash kept. It begins with one slash, so that it
/// leads to no other host.
fn clean(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_nearly_one_of_the_api_leads_to_that() {
        for (path, expected) in [
            ("/v2//_catalog", Some("/v2/_catalog")),
            ("/v2/../v2/_catalog", Some("/v2/_catalog")),
            ("/v2/a/./tags/list", Some("/v2/a/tags/list")),
            ("//elsewhere.test/v2/", Some("/elsewhere.test/v2/")),
            ("/../..", Some("/")),
            ("/v2/_catalog/", Some("/v2/_catalog")),
            ("/v2/a/tags/list/", Some("/v2/a/tags/list")),
            ("/v2/a/manifests/1/", Some("/v2/a/manifests/1")),
            ("/v2/a/blobs/x/", Some("/v2/a/blobs/x")),
            ("/v2/a/blobs/uploads/x/", Some("/v2/a/blobs/uploads/x")),
            ("/v2/a/blobs/uploads/", None),
            ("/v2/a/manifests/1", None),
            ("/v2/", None),
            ("/", None),
            ("*", None),
            ("//\\elsewhere.test/v2/", None),
            ("/\\elsewhere.test/./v2/", None),
        ] {
            assert_eq!(meant(path, "/").as_deref(), expected, "{path}");
        }
        assert_eq!(meant("/below/v2/_catalog/", "/below/").as_deref(), Some("/below/v2/_catalog"));
    }
}
