//! The way in: accept, count, watch, TLS, HTTP.
//!
//! Every connection of every listener comes through [`Connections::factory`]. A connection that finds no seat is closed before the
//! handshake costs anything.

use std::convert::Infallible;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::{HttpService, Request, Response};
use actix_server::GracefulShutdownSignal;
use actix_service::{ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::web::Data;
use arc_swap::ArcSwap;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::challenges::Challenges;
use super::clocked::{Clocked, Traffic};
use super::parts::Parts;
use super::seats::Seats;
use crate::config::{ConnectionLimits, DebugListener, Timeouts};
use crate::http::{self, AppState, ConnectionInfo, Scheme};
use crate::telemetry::{Limit, Metrics};
use crate::tls::Certificate;

/// How much of an answer is gathered before it is written: less than a piece of a blob, so that one piece is gathered and not two.
const WRITE_BUFFER: usize = 16 * 1024;

/// How much of an answer waits in the kernel without having been sent: enough to keep a fast client busy.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

/// What every connection gets.
#[derive(Clone)]
pub(super) struct Connections {
    state: Data<AppState>,
    certificate: Option<Arc<Certificate>>,
    seats: Seats,
    limits: Arc<ArcSwap<ConnectionLimits>>,
    metrics: Arc<Metrics>,
    traffic: Traffic,
    stopping: GracefulShutdownSignal,
}

impl Connections {
    pub(super) fn new(parts: &Parts, stopping: GracefulShutdownSignal) -> Self {
        let metrics = Arc::clone(&parts.outlets.metrics);
        Self {
            state: parts.state.clone(),
            certificate: parts.certificate.clone(),
            seats: Seats::new(metrics.connections().clone()),
            limits: Arc::clone(&parts.connections),
            traffic: Traffic::new(&metrics),
            metrics,
            stopping,
        }
    }

    /// What a listener makes of each connection: the whole way from the accepted socket to the routes.
    pub(super) fn factory<S: Socket>(&self) -> impl Fn() -> Pipeline<S> + Send + Clone + 'static {
        let connections = self.clone();
        move || connections.pipeline(map_config(http::app(connections.state.clone()), |()| AppConfig::default()))
    }

    /// The same for the listener of challenges, whose connections are plain; they take their seats among the others.
    pub(super) fn challenge_factory<S: Socket>(&self, challenges: Challenges) -> impl Fn() -> Pipeline<S> + Send + Clone + 'static {
        let connections = Self { certificate: None, ..self.clone() };
        move || {
            let challenges = challenges.clone();
            connections.pipeline(fn_service(move |request| {
                let answer = challenges.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            }))
        }
    }

    fn pipeline<S, A, B>(&self, app: A) -> Pipeline<S>
    where
        S: Socket,
        A: ServiceFactory<Request, Config = ()> + 'static,
        A::Error: Into<Response<BoxBody>>,
        A::InitError: Debug,
        A::Response: Into<Response<B>>,
        B: MessageBody + 'static,
    {
        let entrance = self.clone();
        let stopping = self.stopping.clone();
        let timeouts = self.limits.load().timeouts;
        let protocol = HttpService::build()
            // A connection that waits for its next request then ends, rather than holding up the drain.
            .graceful_shutdown_signal(move || {
                let signal = stopping.clone();
                async move { signal.notified().await }
            })
            .keep_alive(timeouts.idle)
            .client_request_timeout(timeouts.header)
            .h1_write_buffer_size(WRITE_BUFFER)
            .on_connect_ext(|io: &Connection<S>, data| {
                data.insert(io.info());
            })
            .h1(app);
        let entrance = fn_service(move |socket: S| {
            let connections = entrance.clone();
            async move { connections.enter(socket).await }
        });
        let whole = entrance.and_then(protocol.map_err(|error| debug!(%error, "a connection ended in an error")));
        actix_service::boxed::factory(whole)
    }

    async fn enter<S: Socket>(&self, socket: S) -> Result<(Connection<S>, Option<SocketAddr>), ()> {
        let peer = socket.peer();
        let limits = self.limits.load_full();
        let Some(seat) = self.seats.take(&limits, peer.map(|peer| peer.ip())) else {
            debug!(client.address = ?peer, "a connection finds no seat and is closed");
            self.metrics.limited(Limit::Connections);
            return Err(());
        };
        socket.prepare();
        let stream = Clocked::new(socket, limits.timeouts.stall, self.traffic.clone(), seat);
        let connection = match &self.certificate {
            Some(certificate) => {
                let made = shake_hands(certificate, stream, peer, limits.timeouts.handshake).await;
                made.map_err(|failure| {
                    if let HandshakeFailure::TimedOut = failure {
                        self.metrics.limited(Limit::Handshake);
                    }
                })?
            }
            None => Connection::Plain(stream, ConnectionInfo { peer, scheme: Scheme::Http, certificate_user: None }),
        };
        Ok((connection, peer))
    }
}

/// What the debug listener makes of each connection.
pub(super) fn debug_factory(
    state: &Data<AppState>,
    options: &DebugListener,
    timeouts: Timeouts,
) -> impl Fn() -> Pipeline<TcpStream> + Send + Clone + 'static {
    let (state, metrics_path) = (state.clone(), options.metrics_path.clone());
    move || {
        let app = http::debug_app(state.clone(), metrics_path.as_deref());
        let protocol = HttpService::build().keep_alive(timeouts.idle).client_request_timeout(timeouts.header);
        let whole = protocol.h1(map_config(app, |()| AppConfig::default())).tcp();
        actix_service::boxed::factory(whole.map_err(|error| debug!(%error, "a connection to the debug listener ended in an error")))
    }
}

/// The handshake, in the time there is for it.
async fn shake_hands<S: Socket>(
    certificate: &Certificate,
    stream: Clocked<S>,
    peer: Option<SocketAddr>,
    patience: Duration,
) -> Result<Connection<S>, HandshakeFailure> {
    match tokio::time::timeout(patience, greet(certificate, stream, peer)).await {
        Ok(Ok(Some(connection))) => Ok(connection),
        Ok(Ok(None)) => {
            debug!(client.address = ?peer, "a challenge of ACME was looked at");
            Err(HandshakeFailure::Refused)
        }
        Ok(Err(error)) => {
            debug!(client.address = ?peer, %error, "a TLS handshake failed");
            Err(HandshakeFailure::Refused)
        }
        Err(_) => {
            debug!(client.address = ?peer, "a TLS handshake took too long");
            Err(HandshakeFailure::TimedOut)
        }
    }
}

/// Why there is no connection.
enum HandshakeFailure {
    /// It was no good, or a challenge of ACME.
    Refused,
    TimedOut,
}

/// The handshake, and who the client's certificate is: worked out once, as neither version of TLS changes it later. `None`: it was
/// a challenge of ACME, which ends here; no request is read.
async fn greet<S: Socket>(certificate: &Certificate, stream: Clocked<S>, peer: Option<SocketAddr>) -> io::Result<Option<Connection<S>>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    if let Some(config) = certificate.challenge(&start.client_hello()) {
        start.into_stream(config).await?.shutdown().await?;
        return Ok(None);
    }
    let stream = start.into_stream(certificate.config()).await?;
    let certificate_user = certificate.client_user(stream.get_ref().1.peer_certificates());
    let info = ConnectionInfo { peer, scheme: Scheme::Https, certificate_user };
    Ok(Some(Connection::Tls(Box::new(stream), info)))
}

type Pipeline<S> = actix_service::boxed::BoxServiceFactory<(), S, (), (), ()>;

/// A socket as the listener gives it.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {
    /// The address of the other end, where it has one.
    fn peer(&self) -> Option<SocketAddr>;

    /// Sets what every connection has set.
    fn prepare(&self);
}

impl Socket for TcpStream {
    fn peer(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    fn prepare(&self) {
        // An answer's head and its last piece are written apart: without this the last one waits for an acknowledgement.
        if let Err(error) = self.set_nodelay(true) {
            debug!(%error, "a socket keeps its delay");
        }
        if let Err(error) = limit_unsent(self) {
            debug!(%error, "a socket takes as much as it likes");
        }
    }
}

/// Keeps the kernel from taking megabytes of an answer whose client reads nothing.
#[cfg(target_os = "linux")]
fn limit_unsent(socket: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT)
}

#[cfg(not(target_os = "linux"))]
fn limit_unsent(_: &TcpStream) -> io::Result<()> {
    Ok(())
}

impl Socket for UnixStream {
    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    fn prepare(&self) {}
}

/// A connection, plain or not.
pub(super) enum Connection<S> {
    Plain(Clocked<S>, ConnectionInfo),
    Tls(Box<TlsStream<Clocked<S>>>, ConnectionInfo),
}

impl<S> Connection<S> {
    fn info(&self) -> ConnectionInfo {
        let (Self::Plain(_, info) | Self::Tls(_, info)) = self;
        info.clone()
    }
}

impl<S: Socket> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl<S: Socket> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream, _) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::super::seats::tests::seat;
    use super::*;
    use crate::tls::{self, ClientAuth, ClientOptions, MinimumVersion, UserField};

    #[tokio::test]
    async fn a_connection_knows_whom_its_certificate_names() {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["build.example".to_owned()]).unwrap();
        let (path, key_path) = (directory.path().join("a.crt"), directory.path().join("a.key"));
        std::fs::write(&path, made.cert.pem()).unwrap();
        std::fs::write(&key_path, made.signing_key.serialize_pem()).unwrap();
        let client = ClientOptions { authorities: vec![path.clone()], level: ClientAuth::VerifyIfGiven, user: Some(UserField::Dns) };
        let options = tls::Options {
            certificate: path,
            key: key_path,
            minimum: MinimumVersion::Tls12,
            suites: None,
            client: Some(client),
            acme: None,
        };
        let certificate = Certificate::open(options).await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let known = builder.clone().with_client_auth_cert(vec![made.cert.der().clone()], key).unwrap();
        for (config, expected) in [(known, Some("build.example")), (builder.with_no_client_auth(), None)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, peer) = listener.accept().await.unwrap();
            let stream = Clocked::new(accepted, Duration::from_secs(30), Traffic::new(&Metrics::new("test")), seat());
            let connector = TlsConnector::from(Arc::new(config));
            let connecting = connector.connect(ServerName::try_from("build.example").unwrap(), socket);
            let (connection, connected) = tokio::join!(shake_hands(&certificate, stream, Some(peer), Duration::from_secs(30)), connecting);
            connected.unwrap();
            let info = connection.unwrap_or_else(|_| panic!("the handshake failed")).info();
            assert_eq!((info.peer, info.scheme, info.certificate_user.as_deref()), (Some(peer), Scheme::Https, expected));
        }
    }
}
