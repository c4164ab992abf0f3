//! What a request asks for, told from its path: for the metrics and the limits, which both look before and beside the routes.

use actix_web::http::Method;

use crate::telemetry::{self, Endpoint};

/// What the path of a request asks for, below a prefix that ends in `/`.
pub(super) fn endpoint_of(path: &str, prefix: &str) -> Endpoint {
    let Some(rest) = path.strip_prefix(prefix) else { return Endpoint::Other };
    match rest {
        "v2" | "v2/" => Endpoint::Base,
        "v2/_catalog" => Endpoint::Catalog,
        "auth/token" | "auth/jwks.json" => Endpoint::Token,
        _ => rest.strip_prefix("v2/").map_or(Endpoint::Other, in_repository),
    }
}

/// As the routes have it: the name is greedy, so the last keyword that fits counts.
fn in_repository(path: &str) -> Endpoint {
    let mut parts = path.rsplit('/');
    let [last, before, third] = [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
    match (third, before, last) {
        (_, "tags", "list") => Endpoint::Tags,
        (_, "manifests", _) => Endpoint::Manifest,
        (_, "referrers", _) => Endpoint::Referrers,
        ("blobs", "uploads", "") | (_, "blobs", "uploads") => Endpoint::BlobUpload,
        ("blobs", "uploads", _) => Endpoint::BlobUploadChunk,
        (_, "blobs", _) => Endpoint::Blob,
        _ => Endpoint::Other,
    }
}

/// The label of a method.
pub(super) fn method_of(method: &Method) -> telemetry::Method {
    match *method {
        Method::GET => telemetry::Method::Get,
        Method::HEAD => telemetry::Method::Head,
        Method::PUT => telemetry::Method::Put,
        Method::POST => telemetry::Method::Post,
        Method::PATCH => telemetry::Method::Patch,
        Method::DELETE => telemetry::Method::Delete,
        _ => telemetry::Method::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_its_endpoint() {
        for (path, expected) in [
            ("/v2", Endpoint::Base),
            ("/v2/", Endpoint::Base),
            ("/v2/_catalog", Endpoint::Catalog),
            ("/v2/a/b/tags/list", Endpoint::Tags),
            ("/v2/a/manifests/1", Endpoint::Manifest),
            ("/v2/a/referrers/sha256:x", Endpoint::Referrers),
            ("/v2/a/blobs/sha256:x", Endpoint::Blob),
            ("/v2/a/blobs/uploads", Endpoint::BlobUpload),
            ("/v2/a/blobs/uploads/", Endpoint::BlobUpload),
            ("/v2/a/blobs/uploads/x", Endpoint::BlobUploadChunk),
            ("/v2/blobs/uploads/manifests/1", Endpoint::Manifest),
            ("/v2/a", Endpoint::Other),
            ("/auth/token", Endpoint::Token),
            ("/metrics", Endpoint::Other),
            ("/", Endpoint::Other),
        ] {
            assert_eq!(endpoint_of(path, "/"), expected, "{path}");
        }
        assert_eq!(endpoint_of("/deep/v2/a/manifests/1", "/deep/"), Endpoint::Manifest);
        assert_eq!(endpoint_of("/v2/a/manifests/1", "/deep/"), Endpoint::Other);
    }
}
