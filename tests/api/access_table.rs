//! Every route with no, wrong, too narrow and full credentials.

use crate::harness::{ALICE, Setup};
use crate::routes::{Names, Need, Route, routes};

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
    for Route { method, path, need, scope } in routes(&Names::of_nothing_in("team/app")) {
        nobody.request(method, &path).send().await.is(401);
        for client in &wrong {
            client.request(method, &path).send().await.is(401);
        }
        for (index, client) in narrow.iter().enumerate() {
            let status = client.request(method, &path).send().await.status;
            let suffices = need == Need::Credentials || (index == 0 && need == Need::Pull);
            assert_eq!(status != 401, suffices, "{method} {path} with the narrow token {index}: {status}");
        }
        let full = nobody.login(ALICE, &[scope.as_deref().unwrap_or_default()]).await;
        assert_ne!(full.request(method, &path).send().await.status, 401, "{method} {path}");
        assert_ne!(registry.alice().request(method, &path).send().await.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn routes_that_are_none_are_not_told_from_others_without_credentials() {
    let registry = Setup::basic().start().await;
    for path in ["/v2/x", "/v2/_other", "/v2/a/b/c", "/v2/A/manifests/1", "/v2/a/manifests/-", "/v2/a/blobs/x"] {
        registry.client().get(path).send().await.refuses(401, "UNAUTHORIZED");
    }
}
