//! Whether the addresses can be listened on: each is bound and let go.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use super::super::listen::bind;
use super::Findings;
use super::places::file_to_append_to;
use crate::config::{Config, Listen, Severity};

const PRIVILEGED: &str = "ports below 1024 are for root, or for who has the capability CAP_NET_BIND_SERVICE";

impl Findings {
    /// With a server of ours on the directory, its ports are taken by it.
    pub(super) fn ports(&mut self, config: &Config, serving: bool) {
        // Held to the end, so that an address that is named twice is found.
        let mut held = Vec::new();
        match &config.listen {
            Listen::Tcp(address) => self.port("http.addr", address, serving, &mut held),
            Listen::Unix(path) => self.wrong("http.addr", socket(path)),
        }
        if let Some(debug) = &config.debug {
            self.port("http.debug.addr", &debug.address, serving, &mut held);
        }
        let acme = config.tls.as_ref().and_then(|tls| tls.acme.as_ref());
        if let Some(address) = acme.and_then(|acme| acme.http.as_ref()) {
            self.port("http.tls.letsencrypt.http", address, serving, &mut held);
        }
    }

    fn port(&mut self, key: &'static str, address: &str, serving: bool, held: &mut Vec<TcpListener>) {
        let error = match bind(key, address) {
            Ok(listeners) => return held.extend(listeners),
            Err(error) => error,
        };
        let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let text = format!("{error:#}");
        let text = text.strip_prefix(key).map_or(text.as_str(), |rest| rest.trim_start_matches(": "));
        match kind {
            Some(ErrorKind::AddrInUse) if serving => {
                self.add(Severity::Info, key, format!("{address} is taken, as it must be while the registry serves"));
            }
            Some(ErrorKind::AddrInUse) => {
                self.add(Severity::Mistake, key, format!("{text}; another program, or another key of this file, has that address"));
            }
            Some(ErrorKind::PermissionDenied) => self.add(Severity::Mistake, key, format!("{text}; {PRIVILEGED}")),
            _ => self.add(Severity::Mistake, key, text.to_owned()),
        }
    }
}

/// Whether a socket could be made. Trying would leave it behind.
fn socket(path: &Path) -> Result<(), String> {
    SocketAddr::from_pathname(path).map_err(|error| format!("{} cannot be a socket: {error}", path.display()))?;
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(()),
        Ok(_) => Err(format!("{} is in the way of the socket, and is none", path.display())),
        // The directory must be there: it is not made at a start.
        Err(error) if error.kind() == ErrorKind::NotFound => file_to_append_to(path),
        Err(error) => Err(format!("{} cannot be a socket: {error}", path.display())),
    }
}
