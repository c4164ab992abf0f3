//! What may not be pulled is, to the byte, what does not exist.

use super::{CAROL, DAVE, bearer_of};
use crate::harness::{ALICE, Answer, Client, Image, Running, Setup, image_of, index_of, sha256};
use crate::routes::{Names, Need, Route, routes};

const SECRET: &str = "team/secret";

/// The names of what an image in the hidden repository is made of.
fn names(image: &Image, upload: &str) -> Names {
    let (digest, blob) = (image.digest.clone(), sha256(&image.layer));
    Names { repository: SECRET, tag: "1", digest, blob, upload: upload.to_owned(), mount_from: "dave/app" }
}

/// Everything of an answer that a client can compare with that of another request.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let names = answer.headers.keys().filter(|name| !["date", "x-request-id"].contains(&name.as_str()));
    let mut headers: Vec<_> = names.map(|name| (name.to_string(), answer.header(name.as_str()).to_owned())).collect();
    headers.sort();
    (answer.status, headers, answer.body.to_vec())
}

async fn answers(client: &Client, names: &Names) -> Vec<(Route, Answer)> {
    let mut answers = Vec::new();
    for route in routes(names).into_iter().filter(|route| !matches!(route.need, Need::Credentials | Need::List)) {
        for body in ["", "{}"] {
            let request = client.request(route.method, &route.path);
            let request = if ["PUT", "PATCH", "POST"].contains(&route.method) { request.body(body) } else { request };
            answers.push((route.clone(), request.send().await));
        }
    }
    answers
}

/// What a stranger is told, by password and by token, and by a token that carries everything that was asked for.
async fn told(registry: &Running, names: &Names) -> Vec<Vec<(Route, Answer)>> {
    let password = registry.client().basic(DAVE);
    let scopes = ["repository:team/secret:pull,push,delete", "repository:dave/app:pull", "registry:catalog:*"];
    let token = bearer_of(&password, &scopes).await;
    vec![answers(&password, names).await, answers(&token, names).await, answers(&registry.client(), names).await]
}

#[tokio::test]
async fn a_hidden_repository_is_absent_to_the_byte_on_every_route() {
    let registry = Setup::tokens().ruled().peopled().await;
    let alice = registry.alice();
    let image = image_of("one");
    let upload = alice.begin("team/elsewhere").await;
    let upload = upload.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let absent = told(&registry, &names(&image, &upload)).await;
    let unknown = alice.get("/v2/team/secret/tags/list").send().await.refuses(404, "NAME_UNKNOWN");
    let unknown_head = alice.head("/v2/team/secret/tags/list").send().await.is(404);
    for (route, answer) in &absent[0] {
        let expected = if route.method == "HEAD" { &unknown_head } else { &unknown };
        assert_eq!(seen(answer), seen(expected), "{} {}", route.method, route.path);
    }
    alice.push_image(SECRET, "1", "one").await;
    let begun = alice.begin(SECRET).await;
    let begun = begun.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let there = told(&registry, &names(&image, &upload)).await;
    for ((route, absent), (_, there)) in absent.iter().flatten().zip(there.iter().flatten()) {
        assert_eq!(seen(there), seen(absent), "{} {}", route.method, route.path);
    }
    for (route, answer) in &told(&registry, &names(&image, &begun)).await[0] {
        let expected = if route.method == "HEAD" { &unknown_head } else { &unknown };
        assert_eq!(seen(answer), seen(expected), "{} {}", route.method, route.path);
    }
    alice.pull_image(SECRET, "1", &image).await;
    alice.get(&format!("/v2/team/secret/blobs/uploads/{begun}")).send().await.is(204);
}

#[tokio::test]
async fn an_upload_is_not_found_under_another_repository() {
    let registry = Setup::tokens().ruled().peopled().await;
    let location = registry.alice().begin("team/app").await;
    let dave = registry.client().basic(DAVE);
    for url in [location.replace("team/app", "dave/app"), location.replace("team/app", "dave/app").split('?').next().unwrap().to_owned()] {
        for method in ["GET", "PATCH", "DELETE"] {
            let code = if method == "PATCH" && url.contains('?') { "BLOB_UPLOAD_INVALID" } else { "BLOB_UPLOAD_UNKNOWN" };
            dave.request(method, &url).send().await.refuses(404, code);
        }
    }
    registry.alice().get(&location).send().await.is(204);
}

/// What an answer to a mount says, but for what is new in each upload.
fn mounted(answer: &Answer) -> (u16, Vec<String>, String) {
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (answer.status, names, answer.header("range").to_owned())
}

#[tokio::test]
async fn a_mount_from_a_hidden_repository_is_one_of_a_blob_that_is_nowhere() {
    let registry = Setup::tokens().ruled().peopled().await;
    let image = registry.alice().push_image(SECRET, "1", "one").await;
    let (hidden, nowhere) = (sha256(&image.layer), sha256(b"nowhere"));
    let password = registry.client().basic(DAVE);
    let scopes = ["repository:dave/app:pull,push", "repository:team/secret:pull"];
    for client in [password.clone(), bearer_of(&password, &scopes).await] {
        let begin = async |query: String| client.post(&format!("/v2/dave/app/blobs/uploads/?{query}")).send().await.is(202);
        let expected = mounted(&begin(format!("mount={nowhere}&from=team/absent")).await);
        for query in [
            format!("mount={hidden}&from=team/secret"),
            format!("mount={nowhere}&from=team/secret"),
            format!("mount={hidden}&from=team/absent"),
            format!("mount={hidden}"),
            format!("mount={nowhere}"),
        ] {
            assert_eq!(mounted(&begin(query.clone()).await), expected, "{query}");
        }
        client.get(&format!("/v2/dave/app/blobs/{hidden}")).send().await.refuses(404, "BLOB_UNKNOWN");
    }
    let carol = registry.client().basic(CAROL);
    for query in [format!("mount={hidden}&from=team/secret"), format!("mount={hidden}")] {
        carol.post(&format!("/v2/team/app/blobs/uploads/?{query}")).send().await.is(201);
    }
}

#[tokio::test]
async fn a_manifest_that_names_what_is_hidden_names_what_is_nowhere() {
    let registry = Setup::tokens().ruled().peopled().await;
    let dave = registry.client().basic(DAVE);
    dave.push_image("dave/app", "1", "own").await;
    let image = image_of("one");
    let index = index_of(crate::harness::OCI_INDEX, &[image.descriptor()]);
    let told = async || {
        let manifest = dave.push_manifest("dave/app", "2", image.media_type, image.manifest.clone()).await;
        let index = dave.push_manifest("dave/app", "3", crate::harness::OCI_INDEX, index.clone()).await;
        let mut told = vec![seen(&manifest), seen(&index)];
        for digest in [&image.digest, &sha256(&image.config), &sha256(&image.layer)] {
            for path in [format!("manifests/{digest}"), format!("blobs/{digest}"), format!("referrers/{digest}")] {
                told.push(seen(&dave.get(&format!("/v2/dave/app/{path}")).send().await));
            }
        }
        (manifest.refuses(400, "MANIFEST_BLOB_UNKNOWN"), index.refuses(400, "MANIFEST_BLOB_UNKNOWN"), told).2
    };
    let absent = told().await;
    let hidden = registry.alice().push_image(SECRET, "1", "one").await;
    let referrer = hidden.referrer("application/x");
    registry.alice().push_manifest(SECRET, &referrer.digest, referrer.media_type, referrer.manifest.clone()).await.is(201);
    assert_eq!(registry.client().basic(ALICE).referrers(SECRET, &hidden.digest).await, [referrer.digest]);
    assert_eq!(told().await, absent);
}
