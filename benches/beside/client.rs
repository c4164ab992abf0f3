//! A small HTTP/1.1 client over TLS that costs little itself.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a server answers, and how to speak to it.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    authorization: String,
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    /// Whose credentials it sends.
    pub(crate) target: Target,
    buffer: Vec<u8>,
}

/// The head of an answer; its body has been read and dropped.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The path of `Location`, if there was one.
    pub(crate) location: Option<String>,
    /// How long the body was.
    pub(crate) length: usize,
}

impl Target {
    /// On loopback, trusting one certificate.
    pub(crate) fn new(port: u16, certificate: CertificateDer<'static>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        // One suite, so that both servers pay for the same cipher: left to themselves one follows the client and the other does not.
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
        let tls = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13])?;
        let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
        Ok(Self { address: ([127, 0, 0, 1], port).into(), tls, authorization: String::new() })
    }

    /// The same, with a password in each request.
    pub(crate) fn basic(&self, (user, password): (&str, &str)) -> Self {
        let authorization = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")));
        Self { authorization, ..self.clone() }
    }

    /// The socket's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Connection { stream, target: self.clone(), buffer: vec![0; 256 * 1024] })
    }
}

impl Connection {
    /// Sends a request with a body held in memory, and reads the answer.
    pub(crate) async fn request(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
        let head = self.head(method, path, kind, body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        self.stream.flush().await?;
        self.answer(method == "HEAD").await
    }

    /// Sends a request whose body is one piece repeated, and reads the answer.
    pub(crate) async fn upload(&mut self, method: &str, path: &str, piece: &[u8], times: usize) -> Result<Answer> {
        let head = self.head(method, path, "application/octet-stream", piece.len() * times);
        self.stream.write_all(head.as_bytes()).await?;
        for _ in 0..times {
            self.stream.write_all(piece).await?;
        }
        self.stream.flush().await?;
        self.answer(false).await
    }

    fn head(&self, method: &str, path: &str, kind: &str, length: usize) -> String {
        let authorization = &self.target.authorization;
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json\r\n";
        let body =
            if length > 0 || method != "GET" { format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n") } else { String::new() };
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}{accept}{body}\r\n")
    }

    async fn answer(&mut self, is_head: bool) -> Result<Answer> {
        let mut filled = 0;
        let end = loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(count > 0, "the server closed the connection");
            filled += count;
            if let Some(at) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..end])?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let header = |name: &str| {
            head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
        };
        let length: usize = header("content-length").map_or(Ok(0), str::parse)?;
        let location = header("location").map(|url| url.find("/v2/").map_or(url, |at| &url[at..]).to_owned());
        let mut left = if is_head { 0 } else { length - (filled - end) };
        while left > 0 {
            let count = self.stream.read(&mut self.buffer).await?;
            ensure!(count > 0, "the server closed the connection in a body");
            left -= count;
        }
        Ok(Answer { status, location, length })
    }
}
