//! What outlives a server, and who may serve a directory.

use std::time::Instant;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::harness::{Setup, eventually, pipe};

#[tokio::test]
async fn everything_pushed_is_there_after_a_restart() {
    let mut registry = Setup::basic().start().await;
    let alice = registry.alice();
    let (one, two) = (alice.push_image("a", "1", "one").await, alice.push_image("b/c", "latest", "two").await);
    alice.delete("/v2/a/manifests/1").send().await.is(202);
    registry.restart().await;
    let alice = registry.alice();
    assert_eq!(alice.catalog().await, ["a", "b/c"]);
    assert!(alice.tags("a").await.is_empty());
    alice.pull_image("a", &one.digest, &one).await;
    alice.pull_image("b/c", "latest", &two).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let mut registry = Setup::open().start().await;
    let refusal = registry.refusal_of_a_second().await;
    assert!(refusal.contains("another breakwater works on this directory"), "{refusal}");
    registry.restart().await;
    registry.client().get("/v2/").send().await.is(200);
}

#[tokio::test]
async fn tokens_and_refresh_tokens_outlive_a_restart() {
    let mut registry = Setup::tokens().start().await;
    let answer = registry.alice().get("/auth/token?offline_token=true&scope=registry:catalog:*").send().await.is(200).json();
    registry.restart().await;
    registry.client().bearer(answer["token"].as_str().unwrap()).get("/v2/_catalog").send().await.is(200);
    let refresh = answer["refresh_token"].as_str().unwrap();
    registry.client().post_form(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await.is(200);
}

#[tokio::test]
async fn a_stopping_server_ends_what_is_in_flight_and_lets_idle_connections_go() {
    let mut registry = Setup::open().set("http.draintimeout", "60s").start().await;
    let (client, idle, address) = (registry.client(), registry.client(), registry.address);
    idle.get("/v2/").send().await.is(200);
    let location = client.begin("a").await;
    let bare = location.split_once('?').unwrap().0.to_owned();
    let (pieces, body) = pipe();
    let upload = tokio::spawn(client.patch(&bare).body(body).send());
    pieces.send(Bytes::from(vec![b'1'; 512 * 1024])).unwrap();
    eventually(async || idle.get(&bare).send().await.is(204).header("range") != "0-0").await;
    let began = Instant::now();
    let goes_on = async {
        eventually(async || TcpStream::connect(address).await.is_err()).await;
        pieces.send(Bytes::from_static(b"the rest")).unwrap();
        drop(pieces);
        upload.await.unwrap().is(202);
    };
    tokio::join!(registry.stop(), goes_on);
    assert!(began.elapsed().as_secs() < 30, "the drain waited for an idle connection");
}
