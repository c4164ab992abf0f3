//! Builds the state, owns the sockets and the background tasks.
//!
//! [`run`] is the program's `serve`; [`Server`] is the same thing for tests, without signals. Connections come in through
//! [`accept`]; every background task is started here, gets a token that ends it, and is waited for.

mod accept;
mod background;
mod clocked;
mod configured;
mod control;
mod health;
mod listen;
mod lock;
mod owner;
mod privileges;
mod secret;
mod supervisor;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_server::ServerHandle;
use actix_web::web::Data;
use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use self::accept::Connections;
use self::background::Background;
use self::configured::Configured;
pub use self::control::{Reply, Request, ask};
pub use self::health::health;
use self::listen::Listeners;
use self::lock::Lock;
pub use self::owner::RootStart;
use self::supervisor::Door;
use crate::auth::Authenticator;
use crate::blocking;
use crate::config::{Loaded, Severity};
use crate::http::AppState;
use crate::registry::Registry;
use crate::storage::Filesystem;
use crate::telemetry::{self, AccessLog, AuditLog, LineWriter};
use crate::tls::Certificate;

/// Serves until a signal ends it. To be called while there is one thread: as whom the server runs is settled here.
pub fn run(loaded: Loaded, root_start: RootStart) -> Result<()> {
    telemetry::start(&loaded.config.telemetry);
    for notice in &loaded.warnings {
        match notice.severity {
            Severity::Mistake | Severity::Warning => warn!("{}", notice.message),
            Severity::Info => info!("{}", notice.message),
        }
    }
    let inherited = Listeners::inherited()?;
    owner::settle(&loaded, root_start)?;
    actix_web::rt::System::new().block_on(async {
        let server = Server::open(loaded, inherited).await?;
        server.until_signalled().await
    })
}

/// A registry that serves.
pub struct Server {
    handle: ServerHandle,
    serving: tokio::task::JoinHandle<io::Result<()>>,
    addresses: Vec<SocketAddr>,
    doors: Vec<Door>,
    background: Background,
    drain_timeout: Duration,
    logs: Logs,
    _lock: Lock,
}

/// What is to be written to its end before the program ends.
struct Logs {
    access: Option<LineWriter>,
    audit: AuditLog,
}

impl Server {
    /// Opens everything a configuration names, binds, and serves.
    pub async fn start(loaded: Loaded) -> Result<Self> {
        Self::open(loaded, None).await
    }

    /// The same, on a socket that is there already, if one is.
    async fn open(loaded: Loaded, inherited: Option<Listeners>) -> Result<Self> {
        let Loaded { mut config, source, .. } = loaded;
        let lock = Lock::take(&config.state, &config.storage.root_directory).await?;
        let secret = match config.http.secret.take() {
            Some(secret) => secret,
            None => secret::of_state(&config.state).await?,
        };
        let storage = Filesystem::open(&config.storage).await;
        let storage = storage
            .with_context(|| format!("storage.filesystem.rootdirectory: {} cannot be used", config.storage.root_directory.display()))?;
        let registry = Registry::new(Arc::new(storage), config.registry.clone());
        let authenticator = Authenticator::open(&config.auth, &secret).await.context("auth: the files it names cannot be used")?;
        let authenticator = Arc::new(authenticator);
        config.http.secret = Some(secret);
        let certificate = match config.tls.clone() {
            Some(options) => Some(Arc::new(Certificate::open(options).await.context("http.tls: the files it names cannot be used")?)),
            None => None,
        };
        let access_log = match config.telemetry.access_log {
            AccessLog::Combined => Some(LineWriter::start("access-log", io::stdout()).context("the access log cannot be started")?),
            AccessLog::Disabled => None,
        };
        let audit = AuditLog::start(&config.telemetry.audit).context("log.audit.output cannot be written")?;
        let logs = Logs { access: access_log.clone(), audit: audit.clone() };
        let state = AppState::new(&config.http, Arc::clone(&registry), Arc::clone(&authenticator), access_log, audit)?;
        let state = Data::new(state);
        // Before anybody can connect: who sees the server serve can also ask it.
        let control = control::open(&config.state).await;
        let mut builder = actix_server::Server::build()
            .disable_signals()
            .workers(workers())
            .worker_max_blocking_threads(BLOCKING_THREADS)
            .shutdown_timeout(config.drain_timeout.as_secs());
        let stopping = builder.graceful_shutdown_signal();
        let connections = Connections::new(state, certificate.clone(), &config.connections, stopping);
        let mut addresses = Vec::new();
        let listeners = match inherited {
            Some(listeners) => listeners,
            None => Listeners::open(&config.listen)?,
        };
        let doors = listeners.doors()?;
        match listeners {
            Listeners::Tcp(listeners) => {
                for listener in listeners {
                    addresses.push(listener.local_addr()?);
                    builder = builder.listen("tcp", listener, connections.factory())?;
                }
            }
            Listeners::Unix(listener) => builder = builder.listen_uds("unix", listener, connections.factory())?,
        }
        let server = builder.run();
        let handle = server.handle();
        let serving = actix_web::rt::spawn(server);
        let configured = Configured::new(source, &config.auth);
        let background = Background::start(registry, authenticator, certificate, configured, control);
        info!(addresses = ?addresses, "the registry serves");
        Ok(Self { handle, serving, addresses, doors, background, drain_timeout: config.drain_timeout, logs, _lock: lock })
    }

    /// The TCP addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Reads certificates, keys and the password file again.
    pub async fn reload(&self) {
        self.background.reload().await;
    }

    /// Stops: with a drain timeout, after what is in flight has ended, at most that long.
    pub async fn stop(self) -> Result<()> {
        self.handle.stop(!self.drain_timeout.is_zero()).await;
        self.background.stop().await;
        let logs = self.logs;
        blocking::run(move || {
            logs.audit.flush();
            logs.access.iter().for_each(LineWriter::flush);
        })
        .await;
        self.serving.await.context("the server task ended early")?.context("the server failed")
    }

    async fn until_signalled(mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        supervisor::ready().await;
        let _alive = AbortOnDropHandle::new(actix_web::rt::spawn(supervisor::keep_alive(self.doors.clone(), workers())));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {
                    supervisor::reloading().await;
                    self.background.reload().await;
                    supervisor::ready().await;
                }
                ended = &mut self.serving => return ended.context("the server task ended early")?.context("the server failed"),
            }
        }
        supervisor::stopping().await;
        info!(drain.timeout_s = self.drain_timeout.as_secs(), "the registry stops");
        self.stop().await
    }
}

/// How many threads of each worker may wait for the disk.
const BLOCKING_THREADS: usize = 32;

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
