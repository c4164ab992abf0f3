//! Blobs that the proxy in front sends: `X-Accel-Redirect`, as nginx understands it.
//!
//! The registry has decided that the caller may have the blob, and where its bytes lie; the proxy opens the file, and sends what of it the
//! client's `Range` asks for. Invariant: only a proxy that is trusted, and that has passed the request on, is told. Anybody else would be
//! left with an answer without a body.

use actix_web::HttpRequest;
use actix_web::http::header::{IF_MATCH, IF_UNMODIFIED_SINCE};

use super::client_addr::Proxies;
use crate::registry::Content;

/// The header that names the file.
pub(super) const X_ACCEL_REDIRECT: &str = "x-accel-redirect";

/// Where the proxy finds the files of the data root.
#[derive(Clone, Debug)]
pub(super) struct Accel {
    prefix: String,
}

impl Accel {
    /// Below a path with `/` at both ends, which needs no escapes.
    pub(super) fn below(prefix: String) -> Self {
        Self { prefix }
    }

    /// Where the proxy that has passed a request on finds the content; `None` when the bytes are to come from here.
    ///
    /// The proxy knows the file by another tag than ours, so what holds only for one tag or time is answered from here.
    pub(super) fn location(&self, proxies: &Proxies, request: &HttpRequest, content: &Content) -> Option<String> {
        let is_conditional = [IF_MATCH, IF_UNMODIFIED_SINCE].iter().any(|name| request.headers().contains_key(name));
        (!is_conditional && proxies.have_passed_on(request)).then(|| format!("{}{}", self.prefix, content.location()))
    }
}
