//! The protocol on the wire; thin.
//!
//! Owns routes, headers, status codes and bodies; decides nothing. [`app`] is the one function that the server and the tests both
//! call. Around every request runs [`middleware::observe`] (request id, fixed headers, access log); around `/v2` also
//! [`middleware::authenticate`], which finds out who asks and ends before any extractor starts. Whether the caller may is
//! decided in [`access`], whose extractors are every handler's first argument.

mod accel;
mod access;
mod access_line;
mod answer;
mod audit;
mod blob_redirect;
mod blobs;
mod body;
mod client_addr;
mod debug;
mod endpoint;
mod error;
mod events;
mod extract;
mod health;
mod listings;
mod location;
mod manifests;
mod metrics;
mod middleware;
mod observation;
mod ops;
mod pieces;
mod range;
mod rate_limit;
mod redirect;
mod referrers;
mod refusal;
mod routes;
mod state;
mod token;
mod upload_state;
mod uploads;

#[cfg(test)]
mod tests;

pub use blob_redirect::BlobRedirect;
pub use body::Pace;
pub use client_addr::{ConnectionInfo, Scheme};
pub use debug::debug_app;
pub use error::Error;
pub use health::Health;
pub use metrics::MetricsOptions;
pub use rate_limit::{RateLimit, RateLimits};
pub use routes::app;
pub use state::AppState;

use ipnet::IpNet;
use zeroize::Zeroizing;

/// `http`, as far as requests are concerned.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every route hangs under this path, which begins and ends with `/`.
    pub prefix: String,
    /// The absolute URL, without a slash at its end, that every generated Location begins with.
    pub host: Option<String>,
    /// Generated Locations are paths only.
    pub relative_urls: bool,
    /// The key that signs the state in the Locations of uploads; random when absent, which the server sees to.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// Headers added to each routed answer, each name with its values.
    pub headers: Vec<(String, Vec<String>)>,
    /// The peers whose forwarding headers are believed; `None`: loopback for addresses, and private networks besides for scheme and host.
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// The path, with `/` at both ends, below which a trusted proxy in front serves the files of the data root to itself; it is then told
    /// which one to send instead of being sent a blob's bytes.
    pub accel_redirect: Option<String>,
    /// Where everybody fetches blobs instead of here.
    pub blob_redirect: Option<BlobRedirect>,
    /// The most repositories in one page of the catalog.
    pub catalog_max_entries: usize,
    /// The most tags in one page, when a page is asked for.
    pub tags_max: usize,
    /// How fast a body must come.
    pub pace: Pace,
    /// The largest manifest that is taken, in bytes.
    pub manifest_limit: usize,
    /// How many requests a caller may make.
    pub rates: RateLimits,
    /// Where and for whom metrics are served beside the API; `None`: nowhere.
    pub metrics: Option<MetricsOptions>,
}
