//! Every route with no, wrong, too narrow and full credentials.

use crate::harness::{ALICE, Setup, sha256};

const NAME: &str = "team/app";

/// Method, path, and the scope that it takes; all routes under `/v2/` are here.
fn routes() -> Vec<(&'static str, String, Option<&'static str>)> {
    let digest = sha256(b"absent");
    let upload = "00000000-0000-4000-8000-000000000000";
    let in_repository = |path: &str| format!("/v2/{NAME}/{path}");
    let (pull, push, delete) =
        (Some("repository:team/app:pull"), Some("repository:team/app:pull,push"), Some("repository:team/app:delete"));
    vec![
        ("GET", "/v2/".into(), None),
        ("HEAD", "/v2/".into(), None),
        ("GET", "/v2".into(), None),
        ("GET", "/v2/_catalog".into(), Some("registry:catalog:*")),
        ("HEAD", "/v2/_catalog".into(), Some("registry:catalog:*")),
        ("GET", in_repository("tags/list"), pull),
        ("HEAD", in_repository("tags/list"), pull),
        ("GET", in_repository(&format!("referrers/{digest}")), pull),
        ("HEAD", in_repository(&format!("referrers/{digest}")), pull),
        ("GET", in_repository("manifests/1"), pull),
        ("HEAD", in_repository("manifests/1"), pull),
        ("GET", in_repository(&format!("manifests/{digest}")), pull),
        ("PUT", in_repository("manifests/1"), push),
        ("PUT", in_repository(&format!("manifests/{digest}?tag=x")), push),
        ("DELETE", in_repository("manifests/1"), delete),
        ("DELETE", in_repository(&format!("manifests/{digest}")), delete),
        ("GET", in_repository(&format!("blobs/{digest}")), pull),
        ("HEAD", in_repository(&format!("blobs/{digest}")), pull),
        ("DELETE", in_repository(&format!("blobs/{digest}")), delete),
        ("POST", in_repository("blobs/uploads/"), push),
        ("POST", in_repository("blobs/uploads"), push),
        ("POST", in_repository(&format!("blobs/uploads/?mount={digest}&from=other")), push),
        ("GET", in_repository(&format!("blobs/uploads/{upload}")), pull),
        ("HEAD", in_repository(&format!("blobs/uploads/{upload}")), pull),
        ("PATCH", in_repository(&format!("blobs/uploads/{upload}")), push),
        ("PUT", in_repository(&format!("blobs/uploads/{upload}?digest={digest}")), push),
        ("DELETE", in_repository(&format!("blobs/uploads/{upload}")), delete),
    ]
}

#[test]
fn every_route_of_the_source_is_in_the_table() {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/routes.rs")).unwrap();
    let patterns: Vec<_> = source.split('"').filter(|text| text.starts_with("/{name:.*}/") || *text == "/_catalog").collect();
    assert!(patterns.len() >= 7, "{patterns:?}");
    for pattern in patterns {
        // The fixed pieces between the braces.
        let pieces: Vec<_> = pattern.split('{').map(|piece| piece.rsplit('}').next().unwrap()).collect();
        let is_known = routes().iter().any(|(_, path, _)| pieces.iter().all(|piece| path.contains(piece)));
        assert!(is_known, "{pattern}");
    }
}

#[tokio::test]
async fn no_route_gives_anything_without_the_right_credentials() {
    let registry = Setup::tokens().start().await;
    let nobody = registry.client();
    let wrong = [nobody.basic(("alice", "wrong")), nobody.bearer("not.a.token")];
    let narrow = [
        nobody.login(ALICE, &["repository:team/app:pull"]).await,
        nobody.login(ALICE, &["repository:team:pull,push,delete", "repository:team/app/x:pull,push,delete"]).await,
        nobody.login(ALICE, &["repository:team/app:push"]).await,
        nobody.login(ALICE, &[]).await,
    ];
    for (method, path, scope) in routes() {
        nobody.request(method, &path).send().await.is(401);
        for client in &wrong {
            client.request(method, &path).send().await.is(401);
        }
        for (index, client) in narrow.iter().enumerate() {
            let status = client.request(method, &path).send().await.status;
            let suffices = scope.is_none() || (index == 0 && scope == Some("repository:team/app:pull"));
            assert_eq!(status != 401, suffices, "{method} {path} with the narrow token {index}: {status}");
        }
        let full = nobody.login(ALICE, &[scope.unwrap_or_default()]).await;
        assert_ne!(full.request(method, &path).send().await.status, 401, "{method} {path}");
        assert_ne!(registry.alice().request(method, &path).send().await.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn routes_that_are_none_are_not_told_from_others_without_credentials() {
    let registry = Setup::basic().start().await;
    for path in ["/v2/x", "/v2/_other", "/v2/a/b/c", "/v2/A/manifests/1", "/v2/a/manifests/-", "/v2/a/blobs/x", "/v2//"] {
        registry.client().get(path).send().await.refuses(401, "UNAUTHORIZED");
    }
}
