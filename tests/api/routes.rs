//! Every route under `/v2/`, for tests that walk all of them: those of the API, and those that count what a request costs.

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Credentials, and no right.
    Credentials,
    /// The list of repositories.
    List,
    Pull,
    /// `create`, and to move a tag `push`.
    Write,
    Delete,
}

/// A request, and what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) need: Need,
    /// What a token must carry for it.
    pub(crate) scope: Option<String>,
}

/// What the paths name inside a repository.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) repository: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) digest: String,
    pub(crate) blob: String,
    pub(crate) upload: String,
    pub(crate) mount_from: &'static str,
}

impl Names {
    /// Names behind which nothing lies in a repository.
    pub(crate) fn of_nothing_in(repository: &'static str) -> Self {
        let (digest, upload) = (format!("sha256:{}", "0".repeat(64)), "00000000-0000-4000-8000-000000000000".to_owned());
        Self { repository, tag: "1", blob: digest.clone(), digest, upload, mount_from: "other" }
    }
}

/// All of them.
pub(crate) fn routes(names: &Names) -> Vec<Route> {
    let Names { repository, tag, digest, blob, upload, mount_from } = names;
    let route = |method, path: String, need| {
        let scope = match need {
            Need::Credentials => None,
            Need::List => Some("registry:catalog:*".to_owned()),
            Need::Pull => Some(format!("repository:{repository}:pull")),
            Need::Write => Some(format!("repository:{repository}:pull,push")),
            Need::Delete => Some(format!("repository:{repository}:delete")),
        };
        Route { method, path, need, scope }
    };
    let outside = |method, path: &str, need| route(method, path.to_owned(), need);
    let inside = |method, path: String, need| route(method, format!("/v2/{repository}/{path}"), need);
    vec![
        outside("GET", "/v2/", Need::Credentials),
        outside("HEAD", "/v2/", Need::Credentials),
        outside("GET", "/v2", Need::Credentials),
        outside("GET", "/v2/_catalog", Need::List),
        outside("HEAD", "/v2/_catalog", Need::List),
        inside("GET", "tags/list".into(), Need::Pull),
        inside("HEAD", "tags/list".into(), Need::Pull),
        inside("GET", format!("referrers/{digest}"), Need::Pull),
        inside("HEAD", format!("referrers/{digest}"), Need::Pull),
        inside("GET", format!("manifests/{tag}"), Need::Pull),
        inside("HEAD", format!("manifests/{tag}"), Need::Pull),
        inside("GET", format!("manifests/{digest}"), Need::Pull),
        inside("PUT", format!("manifests/{tag}"), Need::Write),
        inside("PUT", format!("manifests/{digest}?tag=x"), Need::Write),
        inside("DELETE", format!("manifests/{tag}"), Need::Delete),
        inside("DELETE", format!("manifests/{digest}"), Need::Delete),
        inside("GET", format!("blobs/{blob}"), Need::Pull),
        inside("HEAD", format!("blobs/{blob}"), Need::Pull),
        inside("DELETE", format!("blobs/{blob}"), Need::Delete),
        inside("POST", "blobs/uploads/".into(), Need::Write),
        inside("POST", "blobs/uploads".into(), Need::Write),
        inside("POST", format!("blobs/uploads/?mount={blob}&from={mount_from}"), Need::Write),
        inside("GET", format!("blobs/uploads/{upload}"), Need::Pull),
        inside("HEAD", format!("blobs/uploads/{upload}"), Need::Pull),
        inside("PATCH", format!("blobs/uploads/{upload}"), Need::Write),
        inside("PUT", format!("blobs/uploads/{upload}?digest={blob}"), Need::Write),
        inside("DELETE", format!("blobs/uploads/{upload}"), Need::Delete),
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
        let is_known = routes(&Names::of_nothing_in("a")).iter().any(|route| pieces.iter().all(|piece| route.path.contains(piece)));
        assert!(is_known, "{pattern}");
    }
}
