//! Where connections come from: a socket that systemd has opened, else those of `http.addr`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use listenfd::ListenFd;

use super::health::within_reach;
use super::supervisor::Door;
use crate::config::Listen;

/// Sockets that listen.
pub(super) enum Listeners {
    Tcp(Vec<TcpListener>),
    Unix(UnixListener),
}

impl Listeners {
    /// The socket that a service manager has passed to this process, if it has: one, of TCP or in the file system. It changes the
    /// environment, so there must be no other thread yet.
    pub(super) fn inherited() -> Result<Option<Self>> {
        let mut passed = ListenFd::from_env();
        match passed.len() {
            0 => return Ok(None),
            1 => {}
            many => bail!("{many} sockets were passed in LISTEN_FDS, and the registry takes one; keep one Listen line in its socket unit"),
        }
        // A socket of another kind is an error here, and is left for the second try.
        if let Ok(Some(listener)) = passed.take_tcp_listener(0) {
            return Ok(Some(Self::Tcp(vec![listener])));
        }
        let listener =
            passed.take_unix_listener(0).context("what was passed in LISTEN_FDS is no stream socket, of TCP or in the file system")?;
        Ok(listener.map(Self::Unix))
    }

    /// Opens the sockets of a configuration.
    pub(super) fn open(listen: &Listen) -> Result<Self> {
        match listen {
            Listen::Tcp(address) => bind("http.addr", address).map(Self::Tcp),
            Listen::Unix(path) => bind_unix(path).map(Self::Unix),
        }
    }

    /// How the server reaches itself.
    pub(super) fn doors(&self) -> io::Result<Vec<Door>> {
        match self {
            Self::Tcp(listeners) => listeners.iter().map(|listener| Ok(Door::Tcp(within_reach(listener.local_addr()?)))).collect(),
            Self::Unix(listener) => Ok(listener.local_addr()?.as_pathname().map(|path| Door::Unix(path.to_owned())).into_iter().collect()),
        }
    }
}

/// Every address that a name stands for; for `localhost` both families of loopback, whatever the host's own table says.
pub(super) fn bind(key: &str, address: &str) -> Result<Vec<TcpListener>> {
    let wanted = addresses(address).with_context(|| format!("{key}: {address} names no address"))?;
    let mut listeners: Vec<TcpListener> = Vec::new();
    for mut one in wanted {
        // With port 0 the second family gets the port that the first one got.
        if let (0, Some(first)) = (one.port(), listeners.first()) {
            one.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(one) {
            Ok(listener) => listeners.push(listener),
            // A host without IPv6 still has the other family.
            Err(error) if lacks_family(&error) && !listeners.is_empty() => {}
            Err(error) if lacks_family(&error) && one.ip() == Ipv6Addr::UNSPECIFIED => {
                listeners.push(TcpListener::bind((Ipv4Addr::UNSPECIFIED, one.port()))?);
            }
            Err(error) => return Err(error).with_context(|| format!("{key}: cannot listen on {one}")),
        }
    }
    anyhow::ensure!(!listeners.is_empty(), "{key}: {address} names no address");
    Ok(listeners)
}

/// The addresses of a `host:port`.
pub(super) fn addresses(address: &str) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let known = |addresses: &[IpAddr]| {
        let port: u16 = port.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no port"))?;
        Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
    };
    match host {
        "localhost" => known(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        // As Go has it, no host means every address.
        "" => known(&[Ipv6Addr::UNSPECIFIED.into()]),
        _ => Ok(address.to_socket_addrs()?.collect()),
    }
}

fn lacks_family(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn bind_unix(path: &Path) -> Result<UnixListener> {
    // Only a socket that an earlier server left is cleared away.
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        std::fs::remove_file(path).with_context(|| format!("http.addr: {} is in the way", path.display()))?;
    }
    UnixListener::bind(path).with_context(|| format!("http.addr: cannot listen on {}", path.display()))
}
