//! The URLs that answers carry.

use super::Options;
use super::client_addr::Client;
use crate::oci::{Digest, Name};

/// How URLs of this registry begin.
#[derive(Clone, Debug)]
pub(super) struct Locations {
    prefix: String,
    host: Option<String>,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Absolute,
    Relative,
}

impl Locations {
    pub(super) fn new(options: &Options) -> Self {
        let style = if options.relative_urls { Style::Relative } else { Style::Absolute };
        Self { prefix: options.prefix.clone(), host: options.host.clone(), style }
    }

    /// Scheme, host and prefix without a slash at the end: what the token realm's address begins with.
    ///
    /// A configured address that ends with the prefix has it already.
    pub(super) fn origin(&self, client: &Client) -> String {
        let prefix = self.prefix.trim_end_matches('/');
        match (&self.host, &client.host) {
            (Some(host), _) if host.ends_with(prefix) => host.clone(),
            (Some(host), _) => format!("{host}{prefix}"),
            (None, Some(host)) => format!("{}://{host}{prefix}", client.scheme.as_str()),
            (None, None) => prefix.to_owned(),
        }
    }

    pub(super) fn manifest(&self, client: &Client, name: &Name, digest: &Digest) -> String {
        self.url(client, &format!("v2/{name}/manifests/{digest}"))
    }

    pub(super) fn blob(&self, client: &Client, name: &Name, digest: &Digest) -> String {
        self.url(client, &format!("v2/{name}/blobs/{digest}"))
    }

    pub(super) fn upload(&self, client: &Client, name: &Name, id: uuid::Uuid, state: &str) -> String {
        self.url(client, &format!("v2/{name}/blobs/uploads/{id}?_state={state}"))
    }

    /// A path under the prefix, from the root of this host.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The URL of a path under the prefix, with its query.
    ///
    /// A configured address is that of the registry as a whole, so that the prefix stands in it where clients need it.
    pub(super) fn url(&self, client: &Client, path: &str) -> String {
        match (&self.host, &client.host, self.style) {
            (Some(host), _, _) => format!("{host}/{path}"),
            (None, Some(host), Style::Absolute) => format!("{}://{host}{}{path}", client.scheme.as_str(), self.prefix),
            (None, _, _) => self.path(path),
        }
    }
}
