//! The right to create, and to move nothing.

use super::{CAROL, bearer_of};
use crate::harness::{Client, Image, Running, Setup, image_of, sha512};

/// A registry where the blobs of two images lie in `team/app`, and carol by password and by token.
async fn ready() -> (Running, [Client; 2]) {
    let registry = Setup::tokens().ruled().peopled().await;
    let carol = registry.client().basic(CAROL);
    let token = bearer_of(&carol, &["repository:team/app:pull,push"]).await;
    for text in ["one", "two"] {
        let image = image_of(text);
        for blob in [image.config, image.layer] {
            carol.push_blob("team/app", blob).await;
        }
    }
    (registry, [carol, token])
}

async fn push(client: &Client, reference: &str, image: &Image) -> u16 {
    let answer = client.push_manifest("team/app", reference, image.media_type, image.manifest.clone()).await;
    if answer.status == 403 { answer.refuses(403, "DENIED").status } else { answer.status }
}

#[tokio::test]
async fn who_may_create_moves_no_tag() {
    let (registry, carols) = ready().await;
    let (one, two) = (image_of("one"), image_of("two"));
    for (carol, tag) in carols.iter().zip(["by-password", "by-token"]) {
        assert_eq!(push(carol, tag, &one).await, 201, "a new tag");
        assert_eq!(push(carol, tag, &one).await, 201, "the tag as it is");
        assert_eq!(push(carol, tag, &two).await, 403, "the tag moved");
        assert_eq!(push(carol, &two.digest, &two).await, 201, "by digest");
        assert_eq!(push(carol, &format!("{}?tag=new-{tag}", two.digest), &two).await, 201, "by digest with a new tag");
        assert_eq!(push(carol, &format!("{}?tag={tag}", two.digest), &two).await, 403, "by digest, moving the tag");
        let several = format!("{}?tag=other-{tag}&tag={tag}", two.digest);
        assert_eq!(push(carol, &several, &two).await, 403, "by digest, moving one tag of several");
        carol.pull_image("team/app", tag, &one).await;
        carol.head(&format!("/v2/team/app/manifests/other-{tag}")).send().await.is(404);
        carol.delete(&format!("/v2/team/app/manifests/{tag}")).send().await.is(if tag == "by-token" { 401 } else { 403 });
    }
    assert_eq!(push(&registry.alice(), "by-token", &two).await, 201, "who may push moves it");
}

#[tokio::test]
async fn who_may_create_changes_no_digest_that_a_tag_is_answered_with() {
    let (registry, [carol, _]) = ready().await;
    let one = image_of("one");
    assert_eq!(push(&registry.alice(), "1", &one).await, 201);
    let long = sha512(&one.manifest);
    let digest = async || carol.head("/v2/team/app/manifests/1").send().await.is(200).header("docker-content-digest").to_owned();
    assert_eq!(push(&carol, &format!("{long}?tag=1"), &one).await, 201, "the tag points there already");
    assert_eq!(digest().await, one.digest);
    assert_eq!(push(&registry.alice(), &format!("{long}?tag=1"), &one).await, 201);
    assert_eq!(digest().await, long, "who may push has it answered so");
}

#[tokio::test]
async fn a_token_for_push_says_that_it_is_for_create() {
    let (registry, _) = ready().await;
    let answer = registry.client().basic(CAROL).token(&["repository:team/app:pull,push,delete"]).await.is(200);
    assert_eq!(answer.json()["scope"], "repository:team/app:pull,create");
}

#[tokio::test]
async fn of_two_who_create_one_tag_one_wins() {
    let (registry, [carol, token]) = ready().await;
    let (one, two) = (image_of("one"), image_of("two"));
    for round in 0..20 {
        let tag = format!("race-{round}");
        let (first, second) = futures_util::join!(push(&carol, &tag, &one), push(&token, &tag, &two));
        assert_eq!([first.min(second), first.max(second)], [201, 403]);
        registry.alice().pull_image("team/app", &tag, if first == 201 { &one } else { &two }).await;
    }
}
