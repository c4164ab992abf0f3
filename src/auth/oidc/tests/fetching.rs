//! What is refused of an issuer's answers.

use std::sync::Arc;

use reqwest::StatusCode;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::fetch::{self, FetchFault, LARGEST};
use super::server::{Answer, Server};
use super::*;
use crate::auth::error::KeyFault;

async fn server() -> Server {
    Server::start(set_of(&[&Signer::new("one")])).await
}

async fn fault(server: &Server) -> FetchFault {
    match fetch::keys(IssuerUrl::parse(&server.url).unwrap()).await {
        Ok(_) => panic!("accepted"),
        Err(fault) => fault,
    }
}

#[tokio::test]
async fn an_issuer_is_asked_for_its_metadata_then_for_its_keys() {
    let server = server().await;
    assert!(fetch::keys(IssuerUrl::parse(&server.url).unwrap()).await.is_ok());
    assert_eq!(server.asked(), ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn metadata_of_another_issuer_are_refused() {
    let server = server().await;
    for issuer in [format!("{}/", server.url), server.url.to_uppercase(), "https://elsewhere.example".into()] {
        server.answer_metadata(Answer::Json(json!({"issuer": issuer, "jwks_uri": format!("{}/keys", server.url)})));
        assert!(matches!(fault(&server).await, FetchFault::Issuer(found) if found == issuer));
    }
    assert!(!server.asked().contains(&"/keys".to_owned()));
}

#[tokio::test]
async fn keys_are_asked_for_by_tls_or_on_this_machine_alone() {
    let server = server().await;
    for address in ["http://keys.example/", "http://169.254.169.254/latest", "file:///etc/passwd", "/keys", "", "http://a:b@127.0.0.1/"] {
        server.answer_metadata(Answer::Json(json!({"issuer": server.url, "jwks_uri": address})));
        assert!(matches!(fault(&server).await, FetchFault::Address(found) if found == address), "{address}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = server().await;
    let to = |path: &str| format!("HTTP/1.1 302 Found\r\nLocation: {}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", server.url);
    server.answer_keys(Answer::Raw(to("/other").into_bytes()));
    assert!(matches!(fault(&server).await, FetchFault::Status { status: StatusCode::FOUND, .. }));
    server.answer_metadata(Answer::Raw(to("/keys").into_bytes()));
    assert!(matches!(fault(&server).await, FetchFault::Status { status: StatusCode::FOUND, .. }));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_cut_off() {
    let server = server().await;
    server.answer_keys(Answer::Endless(b"{\"keys\": [   "));
    assert!(matches!(fault(&server).await, FetchFault::TooLarge(_)));
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", LARGEST + 1, " ".repeat(LARGEST + 1));
    server.answer_metadata(Answer::Raw(large.into_bytes()));
    assert!(matches!(fault(&server).await, FetchFault::TooLarge(_)));
}

#[tokio::test]
async fn an_issuer_whose_certificate_nobody_vouches_for_is_refused() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = IssuerUrl::parse(&format!("https://localhost:{}", listener.local_addr().unwrap().port())).unwrap();
    let accepted = async { TlsAcceptor::from(Arc::new(config)).accept(listener.accept().await.unwrap().0).await.is_ok() };
    let (fetched, accepted) = tokio::join!(fetch::keys(issuer), accepted);
    assert!(matches!(fetched, Err(FetchFault::Transport { .. })) && !accepted);
}

#[tokio::test(start_paused = true)]
async fn a_silent_issuer_is_not_waited_for() {
    let server = server().await;
    server.answer_keys(Answer::Silence);
    let begun = tokio::time::Instant::now();
    // The client has the same patience with one answer as we have with all.
    assert!(matches!(fault(&server).await, FetchFault::Slow | FetchFault::Transport { .. }));
    assert!(begun.elapsed().as_secs() <= 5);
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_no_http_is_refused() {
    let server = server().await;
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", "hello\r\n\r\n"] {
        server.answer_keys(Answer::Raw(answer.into()));
        assert!(matches!(fault(&server).await, FetchFault::Transport { .. }), "{answer:?}");
    }
    for status in ["204 No Content", "404 Not Found", "500 Oh"] {
        server.answer_keys(Answer::Raw(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into()));
        assert!(matches!(fault(&server).await, FetchFault::Status { .. }), "{status}");
    }
}

#[tokio::test]
async fn what_is_no_metadata_or_no_key_set_is_refused() {
    let server = server().await;
    for (set, expected) in [
        (json!([]), KeyFault::KeySet),
        (json!({"keys": []}), KeyFault::Empty),
        (json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), KeyFault::Empty),
    ] {
        server.answer_keys(Answer::Json(set));
        assert!(matches!(fault(&server).await, FetchFault::Keys { fault, .. } if fault == expected));
    }
    for metadata in [json!({}), json!([]), json!({"issuer": server.url}), json!({"issuer": 7, "jwks_uri": "x"})] {
        server.answer_metadata(Answer::Json(metadata));
        assert!(matches!(fault(&server).await, FetchFault::Metadata(_)));
    }
}
