//! TLS with nothing above it, for what a handshake must show.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Identity, Running};

/// A client that trusts the authority of a registry, and shows a certificate if it has one.
pub(crate) fn tls_client(
    registry: &Running,
    versions: &[&'static SupportedProtocolVersion],
    identity: Option<&Identity>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let mut pem = registry.certificate.authority.as_bytes();
    roots.add(rustls_pemfile::certs(&mut pem).next().unwrap().unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match identity {
        Some(Identity { certificate, key }) => {
            let key = any_supported_type(&PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
            // Unlike `with_client_auth_cert` this does not look whether the two fit.
            let pair = CertifiedKey::new(vec![certificate.der().clone()], key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
        }
        None => builder.with_no_client_auth(),
    })
}

pub(crate) async fn tls_connect(registry: &Running, client: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::clone(client));
    let stream = TcpStream::connect(registry.address).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Whether an open connection answers. With TLS 1.3 only this shows that the server took the client's certificate.
pub(crate) async fn answers(stream: &mut TlsStream<TcpStream>) -> bool {
    if stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"{}") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
        }
    }
    answer.starts_with(b"HTTP/1.1 200 OK")
}
