//! What rows ask of an exchange and of a difference in it.

use super::asked::{NameKind, is_bad_digest, name_kind};
use super::exchange::{Difference, Exchange, Field, Route};

pub(super) fn is_header(found: &Difference, name: &str) -> bool {
    found.field == Field::Header(name.to_owned())
}

/// Ours alone has it.
pub(super) fn added(found: &Difference, name: &str) -> bool {
    is_header(found, name) && found.theirs.is_empty()
}

/// Theirs alone has it.
pub(super) fn removed(found: &Difference, name: &str) -> bool {
    is_header(found, name) && found.ours.is_empty()
}

pub(super) fn is_outcome(found: &Difference) -> bool {
    found.field == Field::Outcome
}

pub(super) fn is_body_or_type(found: &Difference) -> bool {
    found.field == Field::Body || is_header(found, "content-type")
}

pub(super) fn is_content(found: &Difference) -> bool {
    is_body_or_type(found) || is_header(found, "allow") || is_header(found, "cache-control")
}

pub(super) fn is_crashed(found: &Difference) -> bool {
    found.field == Field::Body && found.theirs.contains("\"crashed\"")
}

pub(super) fn is_range(x: &Exchange, found: &Difference) -> bool {
    is_outcome(found) && x.route == Route::Blob && x.sent.headers.iter().any(|(name, _)| name == "Range")
}

/// `/` and `/v2/`, which answer whatever the method is.
pub(super) fn is_bare(x: &Exchange) -> bool {
    x.path == "/" || x.path == "/v2/"
}

pub(super) fn is_read(x: &Exchange) -> bool {
    matches!(x.sent.method.as_str(), "GET" | "HEAD")
}

/// A push that they take, and that is no manifest to us.
pub(super) fn is_taken_by_them(x: &Exchange, found: &Difference) -> bool {
    is_put(x) && is_outcome(found) && found.theirs == "201" && found.ours == "400 MANIFEST_INVALID"
}

pub(super) fn is_put(x: &Exchange) -> bool {
    x.sent.method == "PUT" && x.route == Route::Manifest
}

/// A POST to an upload, by which stock registries begin another one.
pub(super) fn is_new_upload(x: &Exchange) -> bool {
    x.sent.method == "POST" && x.route == Route::Upload && x.theirs.status == 202
}

/// Whether they refuse what the request is about, or lead elsewhere, without a look at the method.
pub(super) fn is_refused_before_method(x: &Exchange) -> bool {
    let is_path = is_bad_digest(x) || name_kind(x) != NameKind::Good;
    match x.theirs.status {
        301 => x.path == "/v2" || x.path.contains("%2e%2e") || x.path.ends_with("/blobs/uploads"),
        401 => x.setting == "htpasswd",
        400 => is_path,
        404 => is_path || plain(x) || matches!(x.route, Route::Upload | Route::Uploads),
        500 => is_path || x.route == Route::Upload,
        _ => false,
    }
}

/// Whether the method is one that the route knows to us.
pub(super) fn is_usual(x: &Exchange) -> bool {
    x.sent.method != "OPTIONS" && x.ours.status != 405
}

/// Whether their answer is the plain text of no route.
pub(super) fn plain(x: &Exchange) -> bool {
    x.theirs.header("content-type").starts_with("text/plain")
}

/// Whether their router knows no such path, or leads elsewhere.
pub(super) fn is_unrouted(x: &Exchange) -> bool {
    is_usual(x) && x.theirs.status == 404 && plain(x) && x.ours.status == 400
}

/// Whether we did not ask for credentials first.
pub(super) fn is_known_user(x: &Exchange) -> bool {
    x.ours.status != 401
}

pub(super) fn has_name(x: &Exchange) -> bool {
    name_kind(x) == NameKind::Good
}
