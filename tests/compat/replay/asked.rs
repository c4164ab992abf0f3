//! What the words of a request are by the grammars, for the rows that go by that.

use breakwater::oci::{Digest, Name};
use url::form_urlencoded;

use super::exchange::{Exchange, Route};

/// What a repository's name is to a stock registry and to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A name to both, or the route has none.
    Good,
    /// By the grammar, but longer than 255.
    Long,
    /// Stock routes take it for a host and a name.
    WithHost,
    /// No name to either.
    Bad,
}

/// The name in the path.
pub(super) fn name_kind(exchange: &Exchange) -> NameKind {
    let Some(name) = parts(exchange).map(|(name, _)| name) else { return NameKind::Good };
    if name.parse::<Name>().is_ok() {
        return NameKind::Good;
    }
    let is_long = |name: &str| name.len() > 255 && name.split('/').all(|part| part.parse::<Name>().is_ok() || part.len() > 255);
    if is_long(&name) {
        return NameKind::Long;
    }
    match name.split_once('/') {
        Some((host, rest)) if rest.parse::<Name>().is_ok() && !host.is_empty() && host.bytes().all(is_of_host) => NameKind::WithHost,
        _ => NameKind::Bad,
    }
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':')
}

/// Whether the path has a malformed digest where one belongs.
pub(super) fn is_bad_digest(exchange: &Exchange) -> bool {
    let Some((_, last)) = parts(exchange) else { return false };
    match exchange.route {
        Route::Manifest => last.contains(':') && last.parse::<Digest>().is_err(),
        Route::Blob => last.parse::<Digest>().is_err(),
        _ => false,
    }
}

/// Whether `Accept` names a type.
pub(super) fn accepts(exchange: &Exchange, media_type: &str) -> bool {
    let lines = exchange.sent.headers.iter().filter(|(name, _)| name == "Accept").flat_map(|(_, line)| line.split(','));
    lines.map(|one| one.split(';').next().unwrap_or_default().trim()).any(|one| one == media_type)
}

/// The name, and what comes last, decoded.
fn parts(exchange: &Exchange) -> Option<(String, String)> {
    let path = exchange.path.strip_prefix("/v2/")?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let after = match exchange.route {
        Route::Tags | Route::Manifest | Route::Blob | Route::Referrers | Route::Uploads => 2,
        Route::Upload => 3,
        Route::Base | Route::Catalog | Route::Other => return None,
    };
    let parts: Vec<&str> = path.split('/').collect();
    let name = parts.get(..parts.len().checked_sub(after)?)?.join("/");
    Some((decoded(&name), decoded(parts.last()?)))
}

fn decoded(text: &str) -> String {
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
