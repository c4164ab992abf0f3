//! TLS: versions, and certificates that change while the server runs.

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion, SupportedProtocolVersion, version};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::{Certificate, Running, Setup, answers, tls_client, tls_connect};

async fn connect(registry: &Running, versions: &[&'static SupportedProtocolVersion]) -> std::io::Result<TlsStream<TcpStream>> {
    tls_connect(registry, &tls_client(registry, versions, None)).await
}

/// The certificate that a new connection is shown.
async fn shown(registry: &Running) -> CertificateDer<'static> {
    let stream = connect(registry, rustls::ALL_VERSIONS).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn ping(stream: &mut TlsStream<TcpStream>) {
    assert!(answers(stream).await);
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let registry = Setup::open().start().await;
    for (offered, expected) in [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)] {
        let mut stream = connect(&registry, &[offered]).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        ping(&mut stream).await;
    }
}

#[tokio::test]
async fn with_a_higher_minimum_tls_1_2_is_refused() {
    let registry = Setup::open().set("http.tls.minimumtls", "tls1.3").start().await;
    assert!(connect(&registry, &[&version::TLS12]).await.is_err());
    ping(&mut connect(&registry, &[&version::TLS13]).await.unwrap()).await;
}

#[tokio::test]
async fn tls_1_2_uses_the_suites_that_are_chosen_and_tls_1_3_its_own() {
    let chosen = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    // The last two leave none that fits the key, or none at all.
    for (names, suite) in [
        (vec![chosen, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)),
        (vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], None),
        (vec!["TLS_AES_128_GCM_SHA256"], None),
    ] {
        let registry = Setup::open().set("http.tls.ciphersuites", names).start().await;
        let used = connect(&registry, &[&version::TLS12]).await.ok();
        let used = used.map(|stream| stream.get_ref().1.negotiated_cipher_suite().unwrap().suite());
        assert_eq!(used, suite);
        ping(&mut connect(&registry, &[&version::TLS13]).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_open_ones_go_on() {
    let registry = Setup::open().start().await;
    let mut open = connect(&registry, rustls::ALL_VERSIONS).await.unwrap();
    ping(&mut open).await;
    let before = shown(&registry).await;
    let issued = registry.certificate.issue(registry.path());
    registry.reload().await;
    let after = shown(&registry).await;
    assert_ne!(before, after);
    assert_eq!(after.as_ref(), issued);
    ping(&mut open).await;
}

#[tokio::test]
async fn a_pair_that_does_not_fit_is_refused_and_the_old_one_kept() {
    let registry = Setup::open().start().await;
    let before = shown(&registry).await;
    let elsewhere = tempfile::tempdir().unwrap();
    Certificate::authority().issue(elsewhere.path());
    std::fs::copy(elsewhere.path().join("tls.key"), registry.path().join("tls.key")).unwrap();
    registry.reload().await;
    assert_eq!(shown(&registry).await, before);
    std::fs::write(registry.path().join("tls.crt"), "no certificate").unwrap();
    registry.reload().await;
    assert_eq!(shown(&registry).await, before);
    registry.certificate.issue(registry.path());
    registry.reload().await;
    assert_ne!(shown(&registry).await, before);
}

#[tokio::test]
async fn plain_text_to_a_tls_port_harms_nobody() {
    let registry = Setup::open().start().await;
    crate::harness::raw(registry.address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    registry.client().get("/v2/").send().await.is(200);
}
