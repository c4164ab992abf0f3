//! The rows of `docs/differences.md`, each with when it applies.

use super::asked::{self, NameKind, is_bad_digest, name_kind};
use super::bodies;
use super::exchange::{Difference, Exchange, Field, Route};
use super::traits::{
    added, has_name, is_bare, is_body_or_type, is_content, is_crashed, is_header, is_known_user, is_new_upload, is_outcome, is_put,
    is_range, is_read, is_refused_before_method, is_taken_by_them, is_unrouted, is_usual, plain, removed,
};
use crate::harness::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::stock::Version;

/// A difference that is kept.
struct Row {
    id: &'static str,
    /// The stock registries that differ so.
    versions: &'static [Version],
    covers: fn(&Exchange, &Difference) -> bool,
}

const BOTH: &[Version] = &[Version::Two, Version::Three];
const TWO: &[Version] = &[Version::Two];
const THREE: &[Version] = &[Version::Three];

const fn row(id: &'static str, versions: &'static [Version], covers: fn(&Exchange, &Difference) -> bool) -> Row {
    Row { id, versions, covers }
}

const ROWS: &[Row] = &[
    // Headers of every answer.
    row("request-id", BOTH, |_, found| added(found, "x-request-id")),
    row("nosniff", BOTH, |_, found| added(found, "x-content-type-options") && found.ours == "nosniff"),
    row("rate-limits", BOTH, |_, found| added(found, "ratelimit-limit") || added(found, "ratelimit-remaining")),
    row("headers-everywhere", BOTH, |x, found| {
        (added(found, "docker-distribution-api-version") && is_bare(x))
            || (added(found, "x-two") && (plain(x) || x.theirs.status == 301))
            || (x.path == "/" && found.field == Field::Length)
    }),
    row("charset", TWO, |_, found| {
        is_header(found, "content-type") && found.theirs == "application/json; charset=utf-8" && found.ours == "application/json"
    }),
    // Paths and methods.
    row("json-errors", BOTH, |x, found| {
        plain(x) && x.theirs.status == x.ours.status && matches!(x.theirs.status, 404 | 405) && is_body_or_type(found)
    }),
    row("base-methods", BOTH, |x, found| is_bare(x) && !is_read(x) && x.theirs.status == 200 && (is_outcome(found) || is_content(found))),
    row("head-listings", BOTH, |x, found| {
        (is_outcome(found) && x.sent.method == "HEAD" && x.theirs.status == 405)
            || (is_header(found, "allow") && found.theirs == "GET" && found.ours == "GET, HEAD")
    }),
    row("options", BOTH, |x, found| {
        is_outcome(found) && x.sent.method == "OPTIONS" && !is_bare(x) && x.ours.status == 200 && is_refused_before_method(x)
    }),
    row("method-first", BOTH, |x, found| is_outcome(found) && !is_bare(x) && x.ours.status == 405 && is_refused_before_method(x)),
    row("post-on-upload", BOTH, |x, found| is_outcome(found) && is_new_upload(x)),
    row("allow", BOTH, |x, found| {
        is_header(found, "allow")
            && x.theirs.status == x.ours.status
            && !is_bare(x)
            && (found.theirs.is_empty() || (x.setting == "read-only" && found.theirs == "GET, HEAD"))
    }),
    row("allow-uploads", BOTH, |x, found| {
        is_header(found, "allow")
            && matches!(x.route, Route::Upload | Route::Uploads)
            && found.theirs == "DELETE, GET, HEAD, PATCH, POST, PUT"
    }),
    row("no-slash", BOTH, |x, found| {
        is_outcome(found) && is_usual(x) && x.theirs.status == 301 && (x.path == "/v2" || x.path.ends_with("/blobs/uploads"))
    }),
    row("redirects", BOTH, |x, found| {
        let is_location = is_header(found, "location") && (found.ours.contains('%') || x.path.contains("%2e"));
        let is_both = x.theirs.status == 301 && x.ours.status == 301 && (is_body_or_type(found) || is_location);
        is_both || (is_outcome(found) && x.ours.status == 301 && x.theirs.status == 404 && plain(x))
    }),
    row("encoded-dots", BOTH, |x, found| is_outcome(found) && is_usual(x) && x.theirs.status == 301 && x.path.contains("%2e%2e")),
    row("login-first", BOTH, |x, found| {
        is_outcome(found) && is_usual(x) && x.setting == "htpasswd" && plain(x) && x.theirs.status == 404 && x.ours.status == 401
    }),
    // Names, tags and digests.
    row("long-name", BOTH, |x, found| {
        let is_refused = is_outcome(found) && is_usual(x) && x.ours.status == 404 && !matches!(x.theirs.status, 301 | 405);
        let is_named = found.field == Field::Detail && x.theirs.status == 401;
        name_kind(x) == NameKind::Long && (is_refused || is_named)
    }),
    row("host-in-name", BOTH, |x, found| {
        let is_refused = is_outcome(found) && is_usual(x) && x.ours.status == 404 && !matches!(x.theirs.status, 301 | 405);
        is_refused && name_kind(x) == NameKind::WithHost
    }),
    row("bad-digest", BOTH, |x, found| is_outcome(found) && is_known_user(x) && is_unrouted(x) && has_name(x) && is_bad_digest(x)),
    row("bad-digest-500", TWO, |x, found| {
        is_outcome(found)
            && is_usual(x)
            && matches!(x.theirs.status, 405 | 500)
            && x.ours.status == 400
            && has_name(x)
            && !x.sent.target.contains("sha384:")
            && is_bad_digest(x)
    }),
    row("sha384", BOTH, |x, found| {
        let is_refused = is_outcome(found) && is_usual(x) && x.ours.status == 400 && matches!(x.theirs.status, 404 | 405);
        is_refused && has_name(x) && x.route != Route::Referrers && x.sent.target.contains("sha384:")
    }),
    row("sha512", BOTH, |x, found| {
        let is_name =
            ["docker-content-digest", "etag", "location"].iter().any(|name| is_header(found, name)) && found.ours.contains("sha512:");
        let is_pushed = is_put(x) && found.theirs == "400 DIGEST_INVALID";
        let is_mounted = x.route == Route::Blob && is_read(x) && x.theirs.status == 404 && matches!(x.ours.status, 200 | 206 | 304);
        x.sent.target.contains("sha512:") && (is_name || (is_outcome(found) && (is_pushed || is_mounted)))
    }),
    row("referrers", BOTH, |x, found| {
        is_outcome(found) && is_known_user(x) && is_usual(x) && x.route == Route::Referrers && has_name(x) && plain(x)
    }),
    // Listings.
    row("catalog", BOTH, |x, found| {
        let is_list = found.field == Field::Body && found.theirs.starts_with("{\"repositories\"");
        let is_hidden = found.theirs.contains("seed/emptied") || found.theirs.contains("seed/blobs");
        // Pages are cut elsewhere when fewer are listed.
        (is_list && is_hidden) || (x.route == Route::Catalog && is_header(found, "link") && found.theirs.contains("last=seed%2F"))
    }),
    row("pages", TWO, |x, found| {
        let is_page = added(found, "link") || found.field == Field::Body;
        matches!(x.route, Route::Catalog | Route::Tags)
            && has_name(x)
            && ((is_outcome(found) && x.ours.status == 400 && found.ours.ends_with("PAGINATION_NUMBER_INVALID"))
                || (x.route == Route::Tags && x.theirs.status == 200 && is_page && !is_crashed(found)))
    }),
    row("page-detail", THREE, |x, found| x.route == Route::Tags && found.field == Field::Detail && found.theirs.starts_with("{\"n\":")),
    row("last-page", THREE, |x, found| x.route == Route::Tags && removed(found, "link")),
    row("control-in-last", BOTH, |x, found| is_outcome(found) && found.ours == "400 UNSUPPORTED" && x.sent.target.contains("last=%00")),
    row("tags-unknown", THREE, |x, found| {
        is_outcome(found) && x.route == Route::Tags && found.theirs == "200" && found.ours == "404 NAME_UNKNOWN"
    }),
    // Manifests.
    row("accept-oci", BOTH, |x, found| {
        let is_refused = is_outcome(found) && x.theirs.status == 404 && matches!(x.ours.status, 200 | 304 | 412);
        let media_type = x.ours.header("content-type");
        let kinds: &[&str] = if x.version == Version::Two { &[OCI_MANIFEST, OCI_INDEX] } else { &[OCI_MANIFEST] };
        let is_unasked = kinds.iter().any(|kind| !asked::accepts(x, kind) && (x.ours.status != 200 || media_type == *kind));
        is_read(x) && x.route == Route::Manifest && has_name(x) && is_refused && is_unasked
    }),
    row("accept-list", BOTH, |x, found| {
        // Nothing tells a list from an image in an answer without content, which 2.8.2 refuses both.
        let is_list = match x.ours.status {
            200 => matches!(x.theirs.status, 400 | 404) && x.ours.header("content-type") == DOCKER_LIST,
            304 | 412 => x.theirs.status == 400 && x.version == Version::Three,
            _ => false,
        };
        is_outcome(found) && is_read(x) && x.route == Route::Manifest && is_list && !asked::accepts(x, DOCKER_LIST)
    }),
    row("accept-schema2", TWO, |x, found| {
        let is_refused = is_outcome(found) && x.theirs.status == 400 && matches!(x.ours.status, 200 | 304 | 412);
        let is_image = x.ours.status != 200 || x.ours.header("content-type") == DOCKER_MANIFEST;
        is_read(x) && x.route == Route::Manifest && is_refused && is_image && !asked::accepts(x, DOCKER_MANIFEST)
    }),
    row("accept-image", BOTH, |x, found| {
        let names = ["content-type", "docker-content-digest", "etag"];
        let is_content = found.field == Field::Body || found.field == Field::Length || names.iter().any(|name| is_header(found, name));
        let is_list = x.theirs.status == 200 && x.ours.status == 200 && x.ours.header("content-type") == DOCKER_LIST;
        let is_wild = asked::accepts(x, "*/*") || asked::accepts(x, "application/*");
        let is_asked = (asked::accepts(x, DOCKER_MANIFEST) && is_wild) || asked::accepts(x, OCI_MANIFEST) || asked::accepts(x, OCI_INDEX);
        is_read(x) && x.route == Route::Manifest && is_list && is_content && is_asked && !asked::accepts(x, DOCKER_LIST)
    }),
    row("if-match", BOTH, |x, found| is_outcome(found) && x.route == Route::Manifest && x.theirs.status == 200 && x.ours.status == 412),
    row("not-modified", BOTH, |x, found| {
        x.route == Route::Manifest
            && x.theirs.status == 304
            && (added(found, "etag") || added(found, "docker-content-digest") || (is_outcome(found) && x.ours.status == 404))
    }),
    row("subject", BOTH, |x, found| is_put(x) && added(found, "oci-subject")),
    row("tag-query", BOTH, |x, found| {
        let is_shown = x.route == Route::Tags && x.ours.status == 200 && String::from_utf8_lossy(&x.ours.body).contains("\"one\"");
        let is_listed = is_shown && (is_outcome(found) || (x.version == Version::Three && found.field == Field::Body));
        (is_put(x) && added(found, "oci-tag")) || is_listed
    }),
    row("artifact", BOTH, |x, found| {
        let is_taken = found.ours == "201" || x.ours.status == 400;
        is_put(x) && is_outcome(found) && found.theirs == "400 MANIFEST_INVALID" && is_taken && bodies::is_artifact(x)
    }),
    row("field-twice", BOTH, |x, found| is_taken_by_them(x, found) && bodies::gives_a_field_twice(x)),
    row("image-and-index", BOTH, |x, found| is_taken_by_them(x, found) && !bodies::gives_a_field_twice(x) && bodies::is_image_and_index(x)),
    row("no-referrer", BOTH, |x, found| is_taken_by_them(x, found) && bodies::cannot_be_a_referrer(x)),
    row("manifest-order", BOTH, |x, found| {
        let is_by_digest = found.theirs == "400 DIGEST_INVALID" && !x.sent.target.contains("sha512:");
        let is_of_references = found.theirs.starts_with("400 ") && found.theirs.ends_with("MANIFEST_BLOB_UNKNOWN");
        let faults = [
            bodies::points_nowhere,
            bodies::is_of_another_schema,
            bodies::is_image_and_index,
            bodies::gives_a_field_twice,
            bodies::cannot_be_a_referrer,
        ];
        let is_shape = found.ours == "400 MANIFEST_INVALID" && faults.iter().any(|fault| fault(x));
        // 2.8.2 looks at the digest of the path last.
        let is_path_last = x.version == Version::Two && found.ours == "400 DIGEST_INVALID" && is_bad_digest(x) && x.theirs.status == 400;
        is_put(x) && is_outcome(found) && has_name(x) && ((is_shape && (is_by_digest || is_of_references)) || is_path_last)
    }),
    row("manifest-500", BOTH, |x, found| {
        is_put(x)
            && is_outcome(found)
            && x.theirs.status == 500
            && found.ours == "400 MANIFEST_INVALID"
            && (bodies::is_of_another_schema(x) || bodies::points_nowhere(x))
    }),
    row("elsewhere", BOTH, |x, found| {
        let is_refused = x.theirs.status == 500 || found.theirs.starts_with("400 MANIFEST_BLOB_UNKNOWN");
        let is_elsewhere = bodies::points_elsewhere(x) || (found.theirs.contains(" UNKNOWN") && bodies::has_urls(x));
        let is_taken = x.ours.status == 201 || found.ours.starts_with("400 MANIFEST_BLOB_UNKNOWN");
        is_put(x) && is_outcome(found) && is_taken && is_refused && is_elsewhere && !is_address_refused(x, found)
    }),
    row("addresses", BOTH, |x, found| is_put(x) && is_outcome(found) && is_address_refused(x, found)),
    row("urls", TWO, |x, found| {
        let is_refused = found.ours.starts_with("400 MANIFEST_BLOB_UNKNOWN");
        let is_less = matches!(found.theirs.as_str(), "201" | "400 MANIFEST_BLOB_UNKNOWN");
        is_put(x) && is_outcome(found) && is_less && is_refused && bodies::has_urls(x) && !bodies::points_elsewhere(x)
    }),
    row("too-large", BOTH, |_, found| found.theirs == "400 MANIFEST_INVALID" && found.ours == "413 MANIFEST_INVALID"),
    row("manifest-detail", THREE, |x, found| {
        is_put(x) && x.ours.status == 400 && (found.field == Field::Detail || found.field == Field::Message)
    }),
    // Deleting.
    row("tag-deletion", TWO, |x, found| {
        let is_delete = x.sent.method == "DELETE" && x.route == Route::Manifest;
        is_delete && is_outcome(found) && found.theirs == "400 DIGEST_INVALID" && matches!(x.ours.status, 202 | 404)
    }),
    row("deleted-twice", TWO, |x, found| x.sent.method == "DELETE" && found.theirs == "202" && found.ours == "404 MANIFEST_UNKNOWN"),
    row("delete-answers", BOTH, |x, found| {
        let is_detail = x.version == Version::Three || (found.theirs == "null" && x.route == Route::Blob);
        x.sent.method == "DELETE"
            && matches!(x.route, Route::Blob | Route::Manifest)
            && (added(found, "docker-content-digest") || (found.field == Field::Detail && x.ours.status == 404 && is_detail))
    }),
    // Blobs.
    row("immutable", BOTH, |x, found| {
        x.route == Route::Blob
            && is_header(found, "cache-control")
            && found.theirs == "max-age=31536000"
            && found.ours == "max-age=31536000, immutable"
    }),
    row("etag-forms", BOTH, |x, found| is_outcome(found) && x.ours.status == 304 && matches!(x.theirs.status, 200 | 206 | 416)),
    row("precondition", BOTH, |x, found| {
        let names = ["cache-control", "content-type", "docker-content-digest", "etag"];
        x.route == Route::Blob && x.theirs.status == 412 && x.ours.status == 412 && names.iter().any(|name| removed(found, name))
    }),
    row("range-unread", BOTH, |x, found| {
        is_range(x, found) && x.sent.method == "GET" && x.theirs.status == 416 && matches!(x.ours.status, 200 | 206)
    }),
    row("range-twice", BOTH, |x, found| is_range(x, found) && x.sent.method == "GET" && x.theirs.status == 206 && x.ours.status == 200),
    row("range-head", BOTH, |x, found| is_range(x, found) && x.sent.method == "HEAD" && x.ours.status == 200),
    row("range-nothing", BOTH, |x, found| is_range(x, found) && matches!(x.theirs.status, 200 | 206) && x.ours.status == 416),
    row("range-refusal", BOTH, |x, found| {
        x.route == Route::Blob
            && x.theirs.status == 416
            && x.ours.status == 416
            && !added(found, "x-request-id")
            && !added(found, "x-content-type-options")
    }),
    row("empty-link", BOTH, |x, found| {
        (is_outcome(found)
            && is_read(x)
            && has_name(x)
            && matches!(x.route, Route::Blob | Route::Manifest)
            && x.theirs.status == 500
            && x.ours.status == 404)
            || (x.route == Route::Tags && is_crashed(found))
    }),
    // Uploads.
    row("no-state", BOTH, |x, found| {
        is_outcome(found)
            && is_usual(x)
            && has_name(x)
            && x.route == Route::Upload
            && (found.theirs == "404 BLOB_UPLOAD_INVALID" || (x.sent.method == "HEAD" && x.theirs.status == 404))
    }),
    row("state-on-cancel", THREE, |x, found| {
        is_outcome(found) && x.sent.method == "DELETE" && x.theirs.status == 416 && x.ours.status == 204
    }),
    row("ended-upload", BOTH, |x, found| {
        let went_on = matches!(x.theirs.status, 201 | 202 | 204 | 416) || found.theirs == "400 DIGEST_INVALID";
        is_outcome(found) && x.route == Route::Upload && went_on && found.ours == "404 BLOB_UPLOAD_UNKNOWN"
    }),
    row("refused-end", THREE, |x, found| {
        let is_further = bodies::offset(&x.theirs) > bodies::offset(&x.ours);
        x.route == Route::Upload && is_read(x) && (is_header(found, "range") || is_header(found, "location")) && is_further
    }),
    row("upload-id", THREE, |x, found| {
        is_outcome(found) && is_usual(x) && has_name(x) && x.route == Route::Upload && x.theirs.status == 500 && x.ours.status == 404
    }),
    row("content-range", BOTH, |x, found| {
        let is_ignored = matches!(x.theirs.status, 201 | 202 | 416 | 500) || found.theirs == "400 DIGEST_INVALID";
        is_outcome(found)
            && x.route == Route::Upload
            && x.sent.headers.iter().any(|(name, _)| name == "Content-Range")
            && is_ignored
            && matches!(x.ours.status, 202 | 400 | 416)
    }),
    row("content-type", BOTH, |x, found| is_outcome(found) && x.sent.method == "PATCH" && x.theirs.status == 500 && x.ours.status == 415),
    row("digest-algorithm", BOTH, |x, found| {
        is_outcome(found)
            && x.route == Route::Uploads
            && x.sent.target.contains("digest-algorithm=md5")
            && found.ours == "400 DIGEST_INVALID"
    }),
    row("upload-detail", THREE, |x, found| {
        let is_known = ["null", "\"illegal base64 data", "\"invalid digest for referenced layer: sha384:"];
        x.route == Route::Upload && found.field == Field::Detail && is_known.iter().any(|text| found.theirs.starts_with(text))
    }),
    row("details", TWO, |x, found| {
        let shapes: &[&str] = match (x.route, x.sent.method.as_str(), x.theirs.status) {
            (Route::Manifest, "GET", 404) => &["{\"Name\":", "{\"Tag\":"],
            (Route::Manifest, "PUT", 400) => &["{\"Field\":", "{\"Offset\":", "{}", "null"],
            (Route::Manifest, "DELETE", 404) => &["{\"Name\":"],
            (Route::Manifest, "DELETE", 400) => &["null"],
            (Route::Blob, _, 400) => &["{}"],
            (Route::Upload, "PUT", 400) => &["{\"Digest\":", "{}"],
            (Route::Upload, _, 404) => &["{}", "null", "0"],
            (Route::Upload, "PATCH", 416) => &["0", "null"],
            _ => &[],
        };
        found.field == Field::Detail && shapes.iter().any(|shape| found.theirs.starts_with(shape))
    }),
];

/// The ids of the rows that cover a difference.
pub(super) fn covering(exchange: &Exchange, found: &Difference) -> Vec<&'static str> {
    let rows = ROWS.iter().filter(|row| row.versions.contains(&exchange.version) && (row.covers)(exchange, found));
    rows.map(|row| row.id).collect()
}

/// The ids of the rows that a stock registry must hit.
pub(super) fn expected(version: Version) -> impl Iterator<Item = &'static str> {
    ROWS.iter().filter(move |row| row.versions.contains(&version)).map(|row| row.id)
}

/// Fails when the document has other rows.
pub(super) fn check_document() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Answers")).unwrap();
    let ids: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let rows: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
    assert_eq!(ids, rows, "the document's rows, and the test's");
}

/// Whether both refuse a layer for the address that it has.
fn is_address_refused(x: &Exchange, found: &Difference) -> bool {
    x.theirs.status == 500 && found.theirs.contains(" UNKNOWN") && found.ours == "400 MANIFEST_INVALID" && bodies::has_urls(x)
}
