//! What the configuration changes.

use crate::harness::{OCI_MANIFEST, Setup, image_of, sha256, with};

#[tokio::test]
async fn without_delete_nothing_is_deleted_but_uploads() {
    let registry = Setup::open().set("storage.delete.enabled", false).start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    for path in ["/v2/a/manifests/1", &format!("/v2/a/manifests/{}", image.digest), &format!("/v2/a/blobs/{}", sha256(&image.layer))] {
        let answer = client.delete(path).send().await.refuses(405, "UNSUPPORTED");
        assert!(answer.has("allow"));
    }
    client.pull_image("a", "1", &image).await;
    let location = client.begin("a").await;
    client.delete(&location).send().await.is(204);
}

#[tokio::test]
async fn a_read_only_registry_serves_and_takes_nothing() {
    let mut registry = Setup::open().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    let path = client.begin("a").await.replace(&client.base, "");
    registry.setup = registry.setup.clone().set("storage.maintenance", serde_json::json!({"readonly": {"enabled": true}}));
    registry.restart().await;
    let client = registry.client();
    client.pull_image("a", "1", &image).await;
    assert_eq!(client.catalog().await, ["a"]);
    let digest = sha256(&image.layer);
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/"),
        ("POST", &*format!("/v2/b/blobs/uploads/?mount={digest}&from=a")),
        ("PATCH", &path),
        ("PUT", &with(&path, &format!("digest={digest}"))),
        ("DELETE", &path),
        ("DELETE", "/v2/a/manifests/1"),
        ("DELETE", &format!("/v2/a/blobs/{digest}")),
    ] {
        client.request(method, path).send().await.refuses(405, "UNSUPPORTED");
    }
    client.push_manifest("a", "2", OCI_MANIFEST, image.manifest).await.refuses(405, "UNSUPPORTED");
    assert!(client.referrers("a", &image.digest).await.is_empty());
}

#[tokio::test]
async fn everything_hangs_under_the_prefix() {
    let registry = Setup::tokens().set("http.prefix", "/deep/down/").start().await;
    let client = registry.client();
    client.get("/v2/").send().await.is(404);
    let challenge = client.get("/deep/down/v2/").send().await.is(401).header("www-authenticate").to_owned();
    assert!(challenge.contains(&format!("realm=\"{}/deep/down/auth/token\"", client.base)), "{challenge}");
    let alice = registry.alice();
    alice.get("/deep/down/auth/token").send().await.is(200);
    let begun = alice.post("/deep/down/v2/a/blobs/uploads/").send().await.is(202);
    assert!(begun.location().starts_with(&format!("{}/deep/down/v2/a/blobs/uploads/", client.base)), "{begun:?}");
    let made = alice.put(&with(begun.location(), &format!("digest={}", sha256(b"x")))).body("x").send().await.is(201);
    alice.get(made.location()).send().await.is(200);
}

#[tokio::test]
async fn locations_begin_with_the_configured_host_or_with_none() {
    let registry = Setup::open().set("http.host", "https://registry.example:8443").start().await;
    let location = registry.client().begin("a").await;
    assert!(location.starts_with("https://registry.example:8443/v2/a/blobs/uploads/"), "{location}");

    // As registry:2 has it: the address is that of the registry as clients see it, its prefix included.
    let prefixed = Setup::open().set("http.prefix", "/deep/").set("http.host", "https://registry.example/deep/").start().await;
    let location = prefixed.client().post("/deep/v2/a/blobs/uploads/").send().await.is(202).location().to_owned();
    assert!(location.starts_with("https://registry.example/deep/v2/a/blobs/uploads/"), "{location}");

    let registry = Setup::open().set("http.relativeurls", true).start().await;
    let client = registry.client();
    let location = client.begin("a").await;
    assert!(location.starts_with("/v2/a/blobs/uploads/"), "{location}");
    let made = client.put(&with(&location, &format!("digest={}", sha256(b"x")))).body("x").send().await.is(201);
    assert!(made.location().starts_with("/v2/a/blobs/sha256:"));
    client.push_image("a", "1", "one").await;
    client.push_image("a", "2", "two").await;
    assert_eq!(client.get("/v2/a/tags/list?n=1").send().await.header("link"), "</v2/a/tags/list?last=1&n=1>; rel=\"next\"");
}

#[tokio::test]
async fn configured_headers_stand_on_every_routed_answer() {
    let headers = serde_json::json!({"X-One": ["a", "b"], "Strict-Transport-Security": ["max-age=1"]});
    let registry = Setup::open().set("http.headers", headers).start().await;
    let client = registry.client();
    for path in ["/v2/", "/v2/a/tags/list"] {
        let answer = client.get(path).send().await;
        assert_eq!(answer.headers.get_all("x-one").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(answer.header("strict-transport-security"), "max-age=1");
    }
}

#[tokio::test]
async fn configured_headers_stand_on_a_refusal_for_too_many_requests() {
    let limits = serde_json::json!({"exempt": [], "reads": {"rate": "1/h", "burst": 1}});
    let headers = serde_json::json!({"Strict-Transport-Security": ["max-age=1"]});
    let registry = Setup::open().set("http.headers", headers).set("limits", limits).start().await;
    registry.client().get("/v2/").send().await.is(200);
    let refused = registry.client().get("/v2/").send().await.refuses(429, "TOOMANYREQUESTS");
    assert_eq!(refused.header("strict-transport-security"), "max-age=1");
}

#[tokio::test]
async fn a_header_that_is_fixed_is_not_doubled_by_configuring_it() {
    let headers = serde_json::json!({"X-Content-Type-Options": ["nosniff"]});
    let registry = Setup::open().set("http.headers", headers).start().await;
    let answer = registry.client().get("/v2/").send().await;
    assert_eq!(answer.headers.get_all("x-content-type-options").iter().count(), 1);
}

#[tokio::test]
async fn a_trusted_proxy_says_what_locations_begin_with() {
    for (networks, is_believed) in [(None, true), (Some("127.0.0.0/8"), true), (Some("10.0.0.0/8"), false)] {
        let mut setup = Setup::tokens().plain();
        if let Some(networks) = networks {
            setup = setup.set("http.trustedproxies", serde_json::json!([networks]));
        }
        let registry = setup.start().await;
        let client = registry.alice();
        for headers in [
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "registry.example")][..],
            &[("forwarded", "for=1.2.3.4;proto=https;host=registry.example")],
        ] {
            let request = headers.iter().fold(client.post("/v2/a/blobs/uploads/"), |request, (name, value)| request.header(name, value));
            let expected = if is_believed { "https://registry.example/v2/a/" } else { &*format!("{}/v2/a/", client.base) };
            let answer = request.send().await.is(202);
            assert!(answer.location().starts_with(expected), "{networks:?}: {answer:?}");
            let request = headers.iter().fold(registry.client().get("/v2/"), |request, (name, value)| request.header(name, value));
            let realm = if is_believed { "realm=\"https://registry.example/auth/token\"" } else { "realm=\"http://localhost:" };
            let answer = request.send().await.is(401);
            assert!(answer.header("www-authenticate").contains(realm), "{networks:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn plain_http_works_behind_a_proxy() {
    let registry = Setup::open().plain().start().await;
    let client = registry.client();
    let image = client.push_image("a", "1", "one").await;
    client.pull_image("a", "1", &image).await;
    assert!(client.begin("a").await.starts_with("http://localhost:"));
    assert_eq!(image.digest, image_of("one").digest);
}

#[tokio::test]
async fn probes_tell_a_process_that_lives_from_one_that_can_serve() {
    let registry = Setup::tokens().start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(registry.client().get(path).send().await.is(200).header("cache-control"), "no-store", "{path}");
    }
    let gone = registry.path().join("gone");
    std::fs::rename(registry.root().join("repositories"), &gone).unwrap();
    registry.client().get("/healthz").send().await.is(200);
    registry.client().get("/readyz").send().await.refuses(503, "UNAVAILABLE");
    std::fs::rename(gone, registry.root().join("repositories")).unwrap();
    registry.client().get("/readyz").send().await.is(200);
}
