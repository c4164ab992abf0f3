//! What requests ask of the store: nothing that tells what is hidden from what is not there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::Data;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use tracing::Level;

use self::routes::{Names, Need, Route, routes};
use super::{AppState, Health, Options, Pace, RateLimit, RateLimits, app};
use crate::auth::{self, Authenticator, HtpasswdOptions, LoginLimits, Pattern, Rule, Rules, TokenRealm, TokenServiceOptions, Who};
use crate::oci::media_type::OCI_MANIFEST;
use crate::oci::{Algorithm, Digest};
use crate::registry::{self, Deletion, Mode, Registry, Reserve};
use crate::storage::Filesystem;
use crate::storage::faults::Faults;
use crate::telemetry::{self, AuditOutput, Formatter, Outlets, Traces};

const RATE: RateLimit = RateLimit { period: Duration::from_nanos(1), burst: std::num::NonZeroU32::MAX };

#[expect(dead_code, reason = "the tests of the API use the rest")]
#[path = "../../tests/api/routes.rs"]
mod routes;

const HIDDEN: &str = "team/secret";
/// What alice pushes there.
const BLOB: &[u8] = b"a blob";

/// The state of a registry where alice may do everything, and dave what he likes in repositories of his own.
struct Bench {
    store: Faults,
    state: Data<AppState>,
    _directory: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let line = |user: &str| format!("{user}:{}\n", bcrypt::hash(user, 4).unwrap());
        std::fs::write(at("htpasswd"), line("alice") + &line("dave")).unwrap();
        let rule = |who: &str, repositories: &str| {
            let rule = Rule::new(Who::User(who.into()), String::new());
            rule.allows(vec![Pattern::new(repositories)], ["*"]).unwrap()
        };
        let service = TokenServiceOptions {
            signing_key: at("token.pem"),
            certificate: None,
            realm: None,
            service: "us".into(),
            issuer: "us".into(),
            expiration: Duration::from_secs(300),
        };
        let options = auth::Options::Htpasswd(HtpasswdOptions {
            realm: "realm".into(),
            path: at("htpasswd"),
            token_service: Some(service),
            token_realm: TokenRealm::Open,
            rules: Rules::new(vec![rule("alice", "**"), rule("dave", "dave/**")]),
            state: at("state"),
            logins: LoginLimits::default(),
            oidc: Vec::new(),
        });
        let authenticator = Authenticator::open(&options, b"secret").await.unwrap();
        let store = Filesystem::open(&crate::storage::Options { root_directory: at("data") }).await.unwrap();
        let store = Faults::around(Arc::new(store));
        let rules = registry::Options {
            delete: Deletion::Enabled,
            mode: Mode::ReadWrite,
            upload_purging: None,
            largest_blob: None,
            reserve: Reserve::Bytes(0),
            validation: registry::Validation::default(),
        };
        let registry = Registry::new(Arc::new(store.clone()), rules);
        let options = Options {
            pace: Pace { stall: Duration::from_secs(30), min_rate: 0 },
            manifest_limit: 1 << 22,
            rates: RateLimits { reads: RATE, writes: RATE, exempt: Vec::new() },
            prefix: "/".into(),
            host: None,
            relative_urls: true,
            secret: None,
            headers: Vec::new(),
            trusted_proxies: None,
            accel_redirect: None,
            blob_redirect: None,
            catalog_max_entries: 1000,
            tags_max: 1000,
            metrics: None,
        };
        let audit = AuditOutput::File(at("audit.log"));
        let logs = telemetry::Options {
            level: Level::ERROR,
            formatter: Formatter::Text,
            fields: BTreeMap::new(),
            access_log: None,
            audit,
            traces: Traces::Off,
        };
        let outlets = Outlets::open(&logs, "test").unwrap();
        let health = Arc::new(Health::new(Arc::clone(&outlets.metrics)));
        let state = AppState::new(&options, registry, Arc::new(authenticator), health, outlets).unwrap();
        Self { store, state: Data::new(state), _directory: directory }
    }
}

/// A request; its `Authorization`, method, path, type and body.
async fn send<S>(app: &S, authorization: &str, (method, path): (&str, &str), (kind, body): (&str, Bytes)) -> ServiceResponse
where
    S: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let request = TestRequest::default().method(method.parse().unwrap()).uri(path).set_payload(body);
    let request = request.insert_header(("authorization", authorization)).insert_header(("content-type", kind));
    app.call(request.to_request()).await.unwrap()
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{user}")))
}

async fn bearer<S>(app: &S, user: &str, scopes: &str) -> String
where
    S: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let answer = send(app, &basic(user), ("GET", &format!("/auth/token?scope={scopes}")), ("", Bytes::new())).await;
    let body: serde_json::Value = actix_web::test::read_body_json(answer).await;
    format!("Bearer {}", body["token"].as_str().unwrap())
}

async fn push_blob<S>(app: &S, user: &str, repository: &str, bytes: &'static [u8]) -> Digest
where
    S: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    let answer = send(app, &basic(user), ("POST", &path), ("application/octet-stream", Bytes::from_static(bytes))).await;
    assert_eq!(answer.status(), 201);
    digest
}

/// The image that alice pushes.
fn manifest() -> Bytes {
    let blob = json!({"mediaType": "application/x", "digest": Digest::of(Algorithm::Sha256, BLOB), "size": BLOB.len()});
    Bytes::from(json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob, "layers": [blob]}).to_string())
}

async fn push_image<S>(app: &S, user: &str, repository: &str)
where
    S: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    push_blob(app, user, repository, BLOB).await;
    let path = format!("/v2/{repository}/manifests/1");
    assert_eq!(send(app, &basic(user), ("PUT", &path), (OCI_MANIFEST, manifest())).await.status(), 201);
}

/// What one request asks of the store, and its status.
async fn cost<S>(bench: &Bench, app: &S, authorization: &str, request: (&str, &str), body: (&str, Bytes)) -> (usize, u16)
where
    S: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let before = bench.store.calls();
    let status = send(app, authorization, request, body).await.status().as_u16();
    (bench.store.calls() - before, status)
}

#[actix_web::test]
async fn what_is_hidden_and_what_is_absent_asks_nothing_of_the_store() {
    let bench = Bench::new().await;
    let app = init_service(app(bench.state.clone())).await;
    let digest = Digest::of(Algorithm::Sha256, &manifest()).to_string();
    let blob = Digest::of(Algorithm::Sha256, BLOB).to_string();
    let names = Names { digest, blob, mount_from: "dave/app", ..Names::of_nothing_in(HIDDEN) };
    let token = bearer(&app, "dave", "repository:team/secret:pull,push,delete%20repository:dave/app:pull").await;
    for is_there in [false, true] {
        if is_there {
            push_image(&app, "alice", HIDDEN).await;
        }
        for Route { method, path, need, .. } in routes(&names) {
            for authorization in [&basic("dave"), &token, &basic("nobody")] {
                let (calls, status) = cost(&bench, &app, authorization, (method, &path), ("", manifest())).await;
                assert!(calls == 0 || need == Need::List, "{method} {path} asks {calls} times and is answered {status}");
            }
        }
    }
}

#[actix_web::test]
async fn what_lies_in_a_hidden_repository_costs_in_another_what_lies_nowhere_does() {
    let bench = Bench::new().await;
    let app = init_service(app(bench.state.clone())).await;
    let token = bearer(&app, "dave", "repository:dave/app:pull,push%20repository:team/secret:pull").await;
    // Something that lies where dave looks, and a hidden repository that holds other things.
    push_blob(&app, "dave", "dave/app", b"another").await;
    push_blob(&app, "alice", HIDDEN, b"another").await;
    let (blob, image) = (Digest::of(Algorithm::Sha256, BLOB), Digest::of(Algorithm::Sha256, &manifest()));
    let mut costs = [Vec::new(), Vec::new()];
    for (is_there, costs) in [false, true].into_iter().zip(&mut costs) {
        if is_there {
            push_image(&app, "alice", HIDDEN).await;
        }
        for authorization in [&basic("dave"), &token] {
            for (method, path, kind, body) in [
                ("POST", format!("uploads/?mount={blob}&from=team/secret"), "", Bytes::new()),
                ("POST", format!("uploads/?mount={blob}&from=team/absent"), "", Bytes::new()),
                ("POST", format!("uploads/?mount={blob}"), "", Bytes::new()),
                ("HEAD", blob.to_string(), "", Bytes::new()),
                ("PUT", "../manifests/1".into(), OCI_MANIFEST, manifest()),
                ("GET", format!("../manifests/{image}"), "", Bytes::new()),
                ("GET", format!("../referrers/{image}"), "", Bytes::new()),
            ] {
                let path = format!("/v2/dave/app/blobs/{path}").replace("blobs/../", "");
                let cost = cost(&bench, &app, authorization, (method, &path), (kind, body)).await;
                costs.push((method, path, cost));
            }
        }
    }
    assert_eq!(costs[0], costs[1]);
}

#[actix_web::test]
async fn bytes_that_lie_in_a_hidden_repository_are_taken_in_like_new_ones() {
    let bench = Bench::new().await;
    let app = init_service(app(bench.state.clone())).await;
    let mut costs = Vec::new();
    for is_there in [false, true] {
        let name = if is_there { "dave/two" } else { "dave/one" };
        let before = bench.store.calls();
        push_image(&app, "dave", name).await;
        costs.push(bench.store.calls() - before);
        push_image(&app, "alice", HIDDEN).await;
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0] > 0);
}

#[actix_web::test]
async fn how_much_is_hidden_costs_those_who_list_nothing() {
    let bench = Bench::new().await;
    let app = init_service(app(bench.state.clone())).await;
    push_image(&app, "dave", "dave/app").await;
    push_image(&app, "alice", HIDDEN).await;
    let nowhere = Digest::of(Algorithm::Sha256, b"nowhere");
    let mount = format!("/v2/dave/app/blobs/uploads/?mount={nowhere}");
    let mut costs = [Vec::new(), Vec::new()];
    for (more, costs) in [false, true].into_iter().zip(&mut costs) {
        for number in (0..20).filter(|_| more) {
            push_image(&app, "alice", &format!("team/secret/{number}/deep")).await;
        }
        for request in [("GET", "/v2/_catalog"), ("GET", "/v2/_catalog?n=1"), ("POST", &mount)] {
            costs.push(cost(&bench, &app, &basic("dave"), request, ("", Bytes::new())).await);
        }
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0][0].1, 200);
}
