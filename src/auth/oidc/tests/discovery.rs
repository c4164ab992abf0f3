//! When keys are fetched, how long they are kept, and that no flood of tokens makes a flood of fetches.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use serde_json::json;

use super::super::issuers::Vouched;
use super::super::keyring::{FRESH, KEPT, PAUSE};
use super::super::{Issuers, Refusal};
use super::server::{Answer, Server};
use super::*;
use crate::auth::error::TokenFault;

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A token that is good at a time.
fn token(signer: &Signer, issuer: &str, seconds: u64) -> String {
    signer.sign(&claims(issuer, json!({"exp": NOW + seconds + 300})))
}

async fn verify(issuers: &Issuers, signer: &Signer, server: &Server, seconds: u64) -> Result<Vouched, Refusal> {
    issuers.verify(&token(signer, &server.url, seconds), at(seconds)).await
}

fn unavailable(server: &Server) -> Refusal {
    Refusal::KeysUnavailable(IssuerUrl::parse(&server.url).unwrap())
}

#[tokio::test]
async fn keys_are_fetched_at_first_use_and_again_after_an_hour() {
    let signer = Signer::rsa("one");
    let server = Server::start(set_of(&[&signer])).await;
    let issuers = discovering(&server.url).await;
    assert_eq!(server.fetches(), 0);
    for (seconds, fetches) in [(0, 1), (1, 1), (FRESH.as_secs() - 1, 1), (FRESH.as_secs(), 2), (FRESH.as_secs() + 1, 2)] {
        assert_eq!(verify(&issuers, &signer, &server, seconds).await.unwrap().user, "ci-acme");
        assert_eq!(server.fetches(), fetches, "{seconds}");
    }
}

#[tokio::test]
async fn a_new_key_is_found_by_asking_once_and_the_old_one_is_gone() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let server = Server::start(set_of(&[&old])).await;
    let issuers = discovering(&server.url).await;
    assert!(verify(&issuers, &old, &server, 0).await.is_ok());
    server.answer_keys(Answer::Json(set_of(&[&new])));
    assert_eq!(verify(&issuers, &new, &server, 1).await, Err(TokenFault::UnknownKey.into()), "asked a moment ago");
    assert!(verify(&issuers, &new, &server, PAUSE.as_secs()).await.is_ok());
    assert!(verify(&issuers, &new, &server, PAUSE.as_secs() + 1).await.is_ok());
    assert_eq!(server.fetches(), 2);
    assert_eq!(verify(&issuers, &old, &server, PAUSE.as_secs() + 1).await, Err(TokenFault::UnknownKey.into()));
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn a_flood_of_made_up_keys_makes_one_fetch() {
    let signer = Signer::new("one");
    let server = Server::start(set_of(&[&signer])).await;
    let issuers = discovering(&server.url).await;
    for (seconds, fetches) in [(0, 1), (PAUSE.as_secs() - 1, 1), (PAUSE.as_secs(), 2)] {
        let strangers: Vec<Signer> = (0..50).map(|number| Signer::new(&format!("made up {number}"))).collect();
        let outcomes = join_all(strangers.iter().map(|stranger| verify(&issuers, stranger, &server, seconds))).await;
        assert!(outcomes.into_iter().all(|outcome| outcome == Err(TokenFault::UnknownKey.into())));
        assert_eq!(server.fetches(), fetches, "{seconds}");
    }
    assert!(verify(&issuers, &signer, &server, PAUSE.as_secs()).await.is_ok());
}

#[tokio::test]
async fn a_clock_that_goes_back_makes_no_flood_and_no_eternal_keys() {
    let signer = Signer::new("one");
    let server = Server::start(set_of(&[&signer])).await;
    let issuers = discovering(&server.url).await;
    assert!(verify(&issuers, &signer, &server, 2 * FRESH.as_secs()).await.is_ok());
    assert!(verify(&issuers, &signer, &server, 2 * FRESH.as_secs() - 5).await.is_ok());
    assert_eq!(server.fetches(), 1);
    assert!(verify(&issuers, &signer, &server, 0).await.is_ok());
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn an_outage_keeps_old_keys_for_a_day() {
    let signer = Signer::new("one");
    let server = Server::start(set_of(&[&signer])).await;
    let issuers = discovering(&server.url).await;
    assert!(verify(&issuers, &signer, &server, 0).await.is_ok());
    server.answer_keys(Answer::Raw(UNAVAILABLE.to_vec()));
    let day = KEPT.as_secs();
    for (seconds, fetches) in [(FRESH.as_secs(), 2), (FRESH.as_secs() + 9, 2), (FRESH.as_secs() + 10, 3), (day - 1, 4)] {
        assert!(verify(&issuers, &signer, &server, seconds).await.is_ok(), "{seconds}");
        assert_eq!(server.fetches(), fetches, "{seconds}");
    }
    assert_eq!(verify(&issuers, &signer, &server, day + 20).await, Err(unavailable(&server)));
    server.answer_keys(Answer::Json(set_of(&[&signer])));
    assert!(verify(&issuers, &signer, &server, day + 30).await.is_ok());
}

#[tokio::test]
async fn an_outage_at_first_use_is_told_apart_from_a_bad_token() {
    let signer = Signer::new("one");
    let server = Server::start(set_of(&[&signer])).await;
    let issuers = discovering(&server.url).await;
    server.answer_metadata(Answer::Raw(UNAVAILABLE.to_vec()));
    let outcomes = join_all((0..20).map(|_| verify(&issuers, &signer, &server, 0))).await;
    assert!(outcomes.into_iter().all(|outcome| outcome == Err(unavailable(&server))));
    assert_eq!(server.fetches(), 1);
    let other = issuers.verify(&signer.sign(&claims("https://elsewhere.example", json!({}))), at(60)).await;
    assert_eq!(other, Err(TokenFault::Issuer.into()));
    assert_eq!(server.fetches(), 1, "a token of another issuer asks nobody");
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_one_who_began_it_goes_away() {
    let signer = Signer::new("one");
    let server = Server::start(set_of(&[&signer])).await;
    let issuers = discovering(&server.url).await;
    server.hold();
    tokio::select! {
        _ = verify(&issuers, &signer, &server, 0) => panic!("no answer was given"),
        () = async { while server.fetches() == 0 { tokio::task::yield_now().await } } => {}
    }
    server.let_go();
    assert!(verify(&issuers, &signer, &server, 1).await.is_ok());
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn while_one_caller_asks_for_new_keys_others_use_the_old() {
    let signer = Signer::new("one");
    let server = Server::start(set_of(&[&signer])).await;
    let issuers = discovering(&server.url).await;
    assert!(verify(&issuers, &signer, &server, 0).await.is_ok());
    server.hold();
    let mut first = pin!(verify(&issuers, &signer, &server, FRESH.as_secs()));
    assert!(matches!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    assert!(verify(&issuers, &signer, &server, FRESH.as_secs()).await.is_ok());
    server.let_go();
    assert!(first.await.is_ok());
    assert_eq!(server.fetches(), 2);
}
