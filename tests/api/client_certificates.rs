//! Client certificates: who gets in, at each level.

use rustls::{HandshakeKind, SupportedProtocolVersion, version};
use serde_json::json;

use crate::harness::{ALICE, Certificate, Identity, Running, Setup, answers, tls_client, tls_connect};

const REQUIRE_AND_VERIFY: &str = "require-and-verify-client-cert";

static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

async fn lets_in(registry: &Running, version: &'static SupportedProtocolVersion, identity: Option<&Identity>) -> bool {
    match tls_connect(registry, &tls_client(registry, &[version], identity)).await {
        Ok(mut stream) => answers(&mut stream).await,
        Err(_) => false,
    }
}

#[tokio::test]
async fn each_level_lets_in_whom_go_would_let_in() {
    let stranger = Certificate::authority();
    for (level, with_none, with_foreign_or_expired) in [
        ("request-client-cert", true, true),
        ("require-any-client-cert", false, true),
        ("verify-client-cert-if-given", true, false),
        (REQUIRE_AND_VERIFY, false, false),
    ] {
        let registry = Setup::open().client_auth(level).start().await;
        let ours = &registry.certificate;
        for version in VERSIONS {
            for (case, identity, expected) in [
                ("none", None, with_none),
                ("good", Some(ours.client("build")), true),
                ("foreign", Some(stranger.client("build")), with_foreign_or_expired),
                ("expired", Some(ours.expired_client("build")), with_foreign_or_expired),
            ] {
                let is_in = lets_in(&registry, version, identity.as_ref()).await;
                assert_eq!(is_in, expected, "{level}, {case}, {:?}", version.version);
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_not_let_in() {
    for level in ["request-client-cert", "require-any-client-cert", "verify-client-cert-if-given", REQUIRE_AND_VERIFY] {
        let registry = Setup::open().client_auth(level).start().await;
        let stolen = registry.certificate.client("build").without_its_key();
        for version in VERSIONS {
            assert!(!lets_in(&registry, version, Some(&stolen)).await, "{level}, {:?}", version.version);
        }
    }
}

#[tokio::test]
async fn the_certificate_of_a_server_is_none_for_a_client() {
    let registry = Setup::open().client_auth(REQUIRE_AND_VERIFY).start().await;
    assert!(!lets_in(&registry, &version::TLS13, Some(&registry.certificate.server("build"))).await);
}

#[tokio::test]
async fn with_authorities_and_no_level_a_certificate_is_required() {
    let registry = Setup::open().set("http.tls.clientcas", vec!["DIR/authority.crt"]).start().await;
    assert!(!lets_in(&registry, &version::TLS13, None).await);
    assert!(lets_in(&registry, &version::TLS13, Some(&registry.certificate.client("build"))).await);
}

#[tokio::test]
async fn a_client_that_is_let_in_pushes_and_pulls() {
    let registry = Setup::open().client_auth(REQUIRE_AND_VERIFY).set("certificates", serde_json::json!({"user": "cn"})).start().await;
    let client = registry.client_showing(&registry.certificate.client("build"));
    let image = client.push_image("a/b", "latest", "one").await;
    client.pull_image("a/b", "latest", &image).await;
}

#[tokio::test]
async fn a_new_authority_is_for_new_connections_and_an_unusable_one_is_refused() {
    let registry = Setup::open().client_auth(REQUIRE_AND_VERIFY).start().await;
    let path = registry.path().join("authority.crt");
    let next = Certificate::authority();
    let (of_now, of_next) = (registry.certificate.client("build"), next.client("build"));
    let mut open = tls_connect(&registry, &tls_client(&registry, &VERSIONS, Some(&of_now))).await.unwrap();
    assert!(answers(&mut open).await);
    assert!(!lets_in(&registry, &version::TLS13, Some(&of_next)).await);
    std::fs::write(&path, &next.authority).unwrap();
    registry.reload().await;
    std::fs::write(&path, "no certificate").unwrap();
    registry.reload().await;
    for version in VERSIONS {
        assert!(lets_in(&registry, version, Some(&of_next)).await);
        assert!(!lets_in(&registry, version, Some(&of_now)).await);
    }
    assert!(answers(&mut open).await);
}

#[tokio::test]
async fn sessions_are_resumed_only_when_nobody_is_asked_for_a_certificate() {
    let levels = ["request-client-cert", "require-any-client-cert", "verify-client-cert-if-given", REQUIRE_AND_VERIFY];
    let asked = levels.map(|level| (Setup::open().client_auth(level), HandshakeKind::Full));
    for (setup, expected) in asked.into_iter().chain([(Setup::open(), HandshakeKind::Resumed)]) {
        let registry = setup.start().await;
        let identity = registry.certificate.client("build");
        for version in VERSIONS {
            let client = tls_client(&registry, &[version], Some(&identity));
            for expected in [HandshakeKind::Full, expected] {
                let mut stream = tls_connect(&registry, &client).await.unwrap();
                assert!(answers(&mut stream).await);
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{}, {:?}", registry.setup.config, version.version);
            }
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_somebody_where_the_section_says_so() {
    let rules = json!({"rules": [{"who": "cert:builder", "repositories": "team/**", "actions": ["pull", "push"]}]});
    let with = Setup::tokens().client_auth("verify-client-cert-if-given").set("access", rules);
    let registry = with.clone().set("certificates", json!({"user": "cn"})).start().await;
    let builder = registry.client_showing(&registry.certificate.client("builder"));
    builder.get("/v2/").send().await.is(200);
    builder.push_image("team/app", "1", "one").await;
    builder.post("/v2/other/blobs/uploads/").send().await.refuses(404, "NAME_UNKNOWN");
    let token = builder.token(&["repository:team/app:pull,push,delete"]).await.is(200).json();
    let bearer = registry.client().bearer(token["token"].as_str().unwrap());
    bearer.push_image("team/app", "2", "two").await;
    let other = registry.client_showing(&registry.certificate.client("other"));
    other.get("/v2/team/app/tags/list").send().await.refuses(404, "NAME_UNKNOWN");
    registry.client().get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
    // Other credentials come first, and wrong ones are wrong.
    builder.basic(ALICE).get("/v2/team/app/tags/list").send().await.refuses(404, "NAME_UNKNOWN");
    builder.basic(("alice", "wrong")).get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
    let gate = with.start().await;
    let builder = gate.client_showing(&gate.certificate.client("builder"));
    builder.get("/v2/").send().await.refuses(401, "UNAUTHORIZED");
}
