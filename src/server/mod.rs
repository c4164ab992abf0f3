//! Builds the state, owns the sockets and the background tasks.
//!
//! [`run`] is the program's `serve`; [`Server`] is the same thing for tests, without signals. Connections come in through
//! [`accept`]; every background task is started here, gets a token that ends it, and is waited for.

mod accept;
mod background;
mod challenges;
mod clocked;
mod configured;
mod control;
mod health;
mod inspect;
mod lock;
mod parts;
mod secret;
mod timed_storage;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_server::ServerHandle;
use actix_web::web::Data;
use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use self::accept::Connections;
use self::background::Background;
use self::challenges::Challenges;
use self::configured::Configured;
pub use self::control::{Reply, Request, ask};
pub use self::inspect::{Finding, inspect, inspect_key_set};
use self::lock::Lock;
use self::parts::Parts;
use crate::blocking;
use crate::config::{Listen, Loaded, Severity};
use crate::telemetry::{self, Outlets};

/// Serves until a signal ends it.
pub fn run(loaded: Loaded) -> Result<()> {
    let _telemetry = telemetry::start(&loaded.config.telemetry, env!("CARGO_PKG_VERSION"));
    for notice in &loaded.warnings {
        match notice.severity {
            Severity::Mistake | Severity::Warning => warn!("{}", notice.message),
            Severity::Info => info!("{}", notice.message),
        }
    }
    actix_web::rt::System::new().block_on(async {
        let server = Server::start(loaded).await?;
        server.until_signalled().await
    })
}

/// A registry that serves.
pub struct Server {
    handle: ServerHandle,
    serving: tokio::task::JoinHandle<io::Result<()>>,
    addresses: Vec<SocketAddr>,
    debug_addresses: Vec<SocketAddr>,
    background: Background,
    drain_timeout: Duration,
    outlets: Outlets,
    _lock: Lock,
}

impl Server {
    /// Opens everything a configuration names, binds, and serves.
    pub async fn start(loaded: Loaded) -> Result<Self> {
        let Loaded { mut config, source, .. } = loaded;
        let lock = Lock::take(&config.state, &config.storage.root_directory).await?;
        let public = config.http.host.clone();
        let parts = Parts::open(&mut config).await?;
        let state = Data::new(parts.state(&config)?);
        // Before anybody can connect: who sees the server serve can also ask it.
        let control = control::open(&config.state).await;
        let mut builder = actix_server::Server::build()
            .disable_signals()
            .workers(workers())
            .worker_max_blocking_threads(BLOCKING_THREADS)
            .shutdown_timeout(config.drain_timeout.as_secs());
        let stopping = builder.graceful_shutdown_signal();
        let mut debug_addresses = Vec::new();
        if let Some(debug) = &config.debug {
            for listener in bind("http.debug.addr", &debug.address)? {
                debug_addresses.push(listener.local_addr()?);
                builder = builder.listen("debug", listener, accept::debug_factory(&state, debug, config.connections.timeouts))?;
            }
        }
        let connections = Connections::new(state, &parts, &config.connections, stopping);
        let mut addresses = Vec::new();
        match &config.listen {
            Listen::Tcp(address) => {
                for listener in bind("http.addr", address)? {
                    let bound = listener.local_addr()?;
                    addresses.push(bound);
                    builder = builder.listen("tcp", listener, connections.factory())?;
                }
            }
            Listen::Unix(path) => {
                builder = builder.listen_uds("unix", bind_unix(path)?, connections.factory())?;
            }
        }
        if let Some(certificate) = &parts.certificate
            && let Some(address) = certificate.acme().and_then(|acme| acme.http())
        {
            let port = addresses.first().map_or(443, SocketAddr::port);
            let challenges = Challenges::new(Arc::clone(certificate), public.as_deref(), port);
            for listener in bind("http.tls.letsencrypt.http", address)? {
                info!(address = %listener.local_addr()?, "the ACME server is answered here, and others are sent to https");
                builder = builder.listen("http-01", listener, connections.challenge_factory(challenges.clone()))?;
            }
        }
        let server = builder.run();
        let handle = server.handle();
        let serving = actix_web::rt::spawn(server);
        let configured = Configured::new(source, &config.auth);
        parts.outlets.metrics.started(SystemTime::now());
        let outlets = parts.outlets.clone();
        let background = Background::start(parts, configured, control, config.health);
        info!(addresses = ?addresses, "the registry serves");
        Ok(Self { handle, serving, addresses, debug_addresses, background, drain_timeout: config.drain_timeout, outlets, _lock: lock })
    }

    /// The TCP addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses of the debug listener.
    pub fn debug_addresses(&self) -> &[SocketAddr] {
        &self.debug_addresses
    }

    /// Reads certificates, keys and the password file again.
    pub async fn reload(&self) {
        self.background.reload().await;
    }

    /// Stops: with a drain timeout, after what is in flight has ended, at most that long.
    pub async fn stop(self) -> Result<()> {
        self.handle.stop(!self.drain_timeout.is_zero()).await;
        self.background.stop().await;
        let outlets = self.outlets;
        blocking::run(move || outlets.flush()).await;
        self.serving.await.context("the server task ended early")?.context("the server failed")
    }

    async fn until_signalled(mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => self.background.reload().await,
                ended = &mut self.serving => return ended.context("the server task ended early")?.context("the server failed"),
            }
        }
        info!(drain.timeout_s = self.drain_timeout.as_secs(), "the registry stops");
        self.stop().await
    }
}

/// How many threads of each worker may wait for the disk.
const BLOCKING_THREADS: usize = 32;

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Every address that a name stands for; for `localhost` both families of loopback, whatever the host's own table says.
fn bind(key: &str, address: &str) -> Result<Vec<TcpListener>> {
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

fn addresses(address: &str) -> io::Result<Vec<SocketAddr>> {
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
