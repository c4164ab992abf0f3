//! Builds the state, owns the sockets and the background tasks.
//!
//! [`run`] is the program's `serve`; [`Server`] is the same thing for tests, without signals. Connections come in through
//! [`accept`]; every background task is started here, gets a token that ends it, and is waited for.

mod accept;
mod background;
mod challenges;
mod checks;
mod clocked;
mod collect;
mod configured;
mod control;
mod health;
mod holding;
mod inspect;
mod listen;
mod lock;
mod owner;
mod parts;
mod privileges;
mod reload;
mod seats;
mod secret;
mod supervisor;
mod timed_storage;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_server::{ServerBuilder, ServerHandle};
use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use self::accept::Connections;
use self::background::Background;
use self::challenges::Challenges;
pub use self::collect::{Beside, Collection, Effect, collect};
use self::configured::Configured;
pub use self::control::{Reply, Request, ask};
pub use self::health::health;
pub use self::inspect::{Finding, inspect, inspect_key_set};
use self::listen::Listeners;
use self::lock::Lock;
pub use self::owner::RootStart;
use self::parts::Parts;
use self::supervisor::Door;
use crate::blocking;
use crate::config::{Config, Loaded, Severity};
pub use crate::registry::{Marked, Progress, Survey, SurveyedRepository, Untagged};
use crate::telemetry::{self, Outlets};

/// Serves until a signal ends it. To be called while there is one thread: as whom the server runs is settled here.
pub fn run(loaded: Loaded, root_start: RootStart) -> Result<()> {
    let inherited = Listeners::inherited()?;
    telemetry::with_log(&loaded.config.telemetry, || owner::settle(&loaded, root_start))?;
    let _telemetry = telemetry::start(&loaded.config.telemetry, env!("CARGO_PKG_VERSION")).context("the log cannot be started")?;
    for notice in &loaded.warnings {
        match notice.severity {
            Severity::Mistake | Severity::Warning => warn!("{}", notice.message),
            Severity::Info => info!("{}", notice.message),
        }
    }
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
    debug_addresses: Vec<SocketAddr>,
    doors: Vec<Door>,
    background: Background,
    drain_timeout: Duration,
    outlets: Outlets,
    _lock: Lock,
}

impl Server {
    /// Opens everything a configuration names, binds, and serves.
    pub async fn start(loaded: Loaded) -> Result<Self> {
        Self::open(loaded, None).await
    }

    /// The same, on a socket that is there already, if one is.
    async fn open(loaded: Loaded, inherited: Option<Listeners>) -> Result<Self> {
        let Loaded { mut config, source, settings, .. } = loaded;
        let lock = Lock::take(&config.state, &config.storage.root_directory).await?;
        let (parts, couriers) = Parts::open(&mut config).await?;
        // Before anybody can connect: who sees the server serve can also ask it.
        let control = control::open(&config.state).await.map(|listener| (listener, config.storage.root_directory.clone()));
        let entrance = Entrance::open(&config, inherited, &parts)?;
        let server = entrance.builder.run();
        let handle = server.handle();
        let serving = actix_web::rt::spawn(server);
        let configured = Configured::new(source, settings, &config.auth);
        parts.outlets.metrics.started(SystemTime::now());
        let outlets = parts.outlets.clone();
        let background = Background::start(parts, configured, control, config.health, couriers);
        let Entrance { addresses, debug_addresses, doors, .. } = entrance;
        info!(addresses = ?addresses, "the registry serves");
        Ok(Self {
            handle,
            serving,
            addresses,
            debug_addresses,
            doors,
            background,
            drain_timeout: config.drain_timeout,
            outlets,
            _lock: lock,
        })
    }

    /// The TCP addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses of the debug listener.
    pub fn debug_addresses(&self) -> &[SocketAddr] {
        &self.debug_addresses
    }

    /// Reads the configuration and all files it names again.
    ///
    /// # Errors
    /// What cannot be used; the old of it stays in force.
    pub async fn reload(&self) -> Result<(), String> {
        self.background.reloader().reload().await.map(drop)
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
        supervisor::ready().await;
        let alive = AbortOnDropHandle::new(actix_web::rt::spawn(supervisor::keep_alive(self.doors.clone(), workers())));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {
                    supervisor::reloading().await;
                    // What came of it is in the log.
                    let _ = self.background.reloader().reload().await;
                    supervisor::ready().await;
                }
                ended = &mut self.serving => return ended.context("the server task ended early")?.context("the server failed"),
            }
        }
        // From here on it does not answer itself, and need not.
        drop(alive);
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

/// Every socket, with what becomes of its connections.
struct Entrance {
    builder: ServerBuilder,
    addresses: Vec<SocketAddr>,
    debug_addresses: Vec<SocketAddr>,
    doors: Vec<Door>,
}

impl Entrance {
    fn open(config: &Config, inherited: Option<Listeners>, parts: &Parts) -> Result<Self> {
        let builder = actix_server::Server::build()
            .disable_signals()
            .workers(workers())
            .worker_max_blocking_threads(BLOCKING_THREADS)
            .shutdown_timeout(config.drain_timeout.as_secs());
        let stopping = builder.graceful_shutdown_signal();
        let mut entrance = Self { builder, addresses: Vec::new(), debug_addresses: Vec::new(), doors: Vec::new() };
        if let Some(debug) = &config.debug {
            for listener in listen::bind("http.debug.addr", &debug.address)? {
                entrance.debug_addresses.push(listener.local_addr()?);
                let factory = accept::debug_factory(&parts.state, debug, config.connections.timeouts);
                entrance.builder = entrance.builder.listen("debug", listener, factory)?;
            }
        }
        let connections = Connections::new(parts, stopping);
        let listeners = match inherited {
            Some(listeners) => listeners,
            None => Listeners::open(&config.listen)?,
        };
        entrance.doors = listeners.doors()?;
        match listeners {
            Listeners::Tcp(listeners) => {
                for listener in listeners {
                    entrance.addresses.push(listener.local_addr()?);
                    entrance.builder = entrance.builder.listen("tcp", listener, connections.factory())?;
                }
            }
            Listeners::Unix(listener) => entrance.builder = entrance.builder.listen_uds("unix", listener, connections.factory())?,
        }
        entrance.answer_challenges(config, parts, &connections)
    }

    /// Opens the second listener of ACME, where one is configured.
    fn answer_challenges(mut self, config: &Config, parts: &Parts, connections: &Connections) -> Result<Self> {
        if let Some(certificate) = &parts.certificate
            && let Some(address) = certificate.acme().and_then(|acme| acme.http())
        {
            let port = self.addresses.first().map_or(443, SocketAddr::port);
            let challenges = Challenges::new(Arc::clone(certificate), config.http.host.as_deref(), port);
            for listener in listen::bind("http.tls.letsencrypt.http", address)? {
                info!(address = %listener.local_addr()?, "the ACME server is answered here, and others are sent to https");
                self.builder = self.builder.listen("http-01", listener, connections.challenge_factory(challenges.clone()))?;
            }
        }
        Ok(self)
    }
}
