//! The protocol on the wire; thin.

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
    /// The key that signs the state in the Locations of uploads; random when absent.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// Headers added to each routed answer, each name with its values.
    pub headers: Vec<(String, Vec<String>)>,
    /// The peers whose forwarding headers are believed; `None`: the default of `reference/interface.md`, "Proxies".
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// The most repositories in one page of the catalog.
    pub catalog_max_entries: usize,
    /// The most tags in one page, when a page is asked for.
    pub tags_max: usize,
}
