//! Whether the caller may: the only way from a request to data.
//!
//! The registry sits in a [`Gate`] whose fields are private to this file. A handler gets at it through an extractor that has
//! asked the policy; one that forgets reaches nothing. The extractors are synchronous: who asks was found out by the
//! middleware before any of them runs.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::extract::Query;
use super::{AppState, Error, audit};
use crate::auth::policy::{self, Pullable};
use crate::auth::{self, Action, Authenticator, Caller, Decision, Identity, Problem, Resource, Visit};
use crate::oci::Name;
use crate::registry::{self, Registry, Repository, TagMode};
use crate::telemetry::Metrics;

/// How long a scrape waits for the store.
const SAMPLED_WITHIN: Duration = Duration::from_secs(2);

/// The data, and who guards it.
pub(super) struct Gate {
    registry: Arc<Registry>,
    authenticator: Arc<Authenticator>,
}

impl Gate {
    pub(super) fn new(registry: Arc<Registry>, authenticator: Arc<Authenticator>) -> Self {
        Self { registry, authenticator }
    }

    /// Finds out who sends this `Authorization`.
    pub(super) async fn authenticate(&self, authorization: Option<&str>, visit: &Visit) -> Result<Caller, auth::Error> {
        self.authenticator.authenticate(authorization, visit).await
    }

    /// Whether the store can be read.
    pub(super) async fn ready(&self) -> Result<(), registry::Error> {
        self.registry.check_store().await
    }

    /// Looks up what is measured rather than counted.
    pub(super) async fn sample(&self, metrics: &Metrics) {
        metrics.set_uploads_open(self.registry.uploads_open());
        let cache = self.registry.cache_use();
        metrics.set_cache_use(cache.requests, cache.hits);
        // A store that hangs is told of by other series, which must not hang with it.
        match tokio::time::timeout(SAMPLED_WITHIN, self.registry.space()).await {
            Ok(Ok(Some(space))) => metrics.set_space(space.total, space.free),
            Ok(Ok(None)) => metrics.set_space(0, 0),
            Ok(Err(error)) => tracing::warn!(%error, "the free space of the store cannot be told"),
            Err(_) => tracing::warn!("the free space of the store cannot be told in time"),
        }
    }

    /// The token realm, when it is in the box.
    pub(super) fn tokens(&self) -> Option<&auth::TokenService> {
        self.authenticator.tokens()
    }

    /// The `WWW-Authenticate` text for a request that needs these scopes.
    pub(super) fn challenge(&self, origin: &str, scopes: &[String], problem: Option<Problem>) -> Option<String> {
        self.authenticator.challenge(origin, scopes, problem)
    }
}

/// Who asks, or why that could not be found out. Put into the request by the middleware.
pub(super) struct Asker(pub(super) Result<Caller, auth::Error>);

/// What a handler needs in its repository; the marker in its signature.
pub(super) trait Permission {
    /// The action that the policy is asked for.
    const ACTION: Action;
}

/// Reading.
pub(super) struct Pull;
/// Writing; whether tags may be moved is asked beside it ([`Access::tag_mode`]).
pub(super) struct Push;
/// Removing.
pub(super) struct Delete;

impl Permission for Pull {
    const ACTION: Action = Action::Pull;
}

impl Permission for Push {
    const ACTION: Action = Action::Create;
}

impl Permission for Delete {
    const ACTION: Action = Action::Delete;
}

/// The right to do one kind of thing in one repository, and the repository.
pub(super) struct Access<P> {
    repository: Repository,
    caller: Caller,
    permission: PhantomData<P>,
}

impl<P> Access<P> {
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }
}

impl Access<Push> {
    /// What the caller may do to a tag that exists.
    pub(super) fn tag_mode(&self) -> TagMode {
        match policy::decide(&self.caller, &Resource::Repository(self.repository.name()), Action::Push) {
            Decision::Allowed => TagMode::Move,
            Decision::Unauthenticated | Decision::InsufficientScope | Decision::Hidden | Decision::Denied => TagMode::Create,
        }
    }

    /// Writes down that a tag was not moved.
    pub(super) fn deny_move(&self, state: &AppState, request: &HttpRequest) {
        let wanted = self.repository.name().as_str();
        audit::denial(state, request, self.caller.identity(), Decision::Denied, wanted);
    }

    /// Another repository, when the caller may pull from it; when not, that is written down.
    pub(super) fn source(&self, state: &AppState, request: &HttpRequest, name: Name) -> Option<Repository> {
        if self.may_pull(&name) {
            return Some(state.gate.registry.repository(name));
        }
        audit::denial(state, request, self.caller.identity(), Decision::Hidden, name.as_str());
        None
    }

    /// Where the caller may pull from, as far as that is known without asking for each repository.
    pub(super) fn pullable(&self) -> Pullable {
        policy::pullable(&self.caller)
    }

    /// Whether the caller may pull from any repository at or below a path; in doubt it may.
    pub(super) fn may_pull_below(&self, path: &str) -> bool {
        policy::lists_below(&self.caller, path)
    }

    /// Whether the caller may pull from a repository.
    pub(super) fn may_pull(&self, name: &Name) -> bool {
        policy::decide(&self.caller, &Resource::Repository(name), Action::Pull) == Decision::Allowed
    }
}

impl<P: Permission> FromRequest for Access<P> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(repository_access(request))
    }
}

fn repository_access<P: Permission>(request: &HttpRequest) -> Result<Access<P>, Error> {
    let state = state(request)?;
    // The name is looked at after the credentials: without them nobody learns what a good name is.
    let name = request.match_info().get("name").unwrap_or_default().parse::<Name>();
    let Ok(name) = name else {
        let caller = caller(request, state, &[])?;
        permit(request, state, &caller, policy::decide_base(&caller), &[])?;
        return Err(Error::NameInvalid);
    };
    let resource = Resource::Repository(&name);
    let source = mount_source(request);
    let wanted: Vec<_> =
        [(resource, P::ACTION)].into_iter().chain(source.iter().map(|name| (Resource::Repository(name), Action::Pull))).collect();
    let caller = caller(request, state, &wanted)?;
    permit(request, state, &caller, policy::decide(&caller, &resource, P::ACTION), &wanted)?;
    Ok(Access { repository: state.gate.registry.repository(name), caller, permission: PhantomData })
}

/// The repository that a blob is to be mounted from. A challenge names it too, so that the token will do for it; as registry:2 has it,
/// whether a blob is named or not.
fn mount_source(request: &HttpRequest) -> Option<Name> {
    let query = (request.method() == Method::POST).then(|| Query::of(request))?;
    query.get("from")?.parse().ok()
}

/// The right to list the repositories.
pub(super) struct CatalogAccess {
    registry: Arc<Registry>,
    caller: Caller,
}

impl CatalogAccess {
    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whether any repository at or below a path may be shown to the caller.
    pub(super) fn shows_below(&self, path: &str) -> bool {
        policy::lists_below(&self.caller, path)
    }

    /// Whether a repository may be shown to the caller.
    pub(super) fn shows(&self, name: &Name) -> bool {
        policy::lists(&self.caller, name)
    }
}

impl FromRequest for CatalogAccess {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let access = || {
            let state = state(request)?;
            let wanted = [(Resource::Catalog, Action::Pull)];
            let caller = caller(request, state, &wanted)?;
            permit(request, state, &caller, policy::decide(&caller, &Resource::Catalog, Action::Pull), &wanted)?;
            Ok(Self { registry: Arc::clone(&state.gate.registry), caller })
        };
        ready(access())
    }
}

/// Proof that the caller has shown credentials where they are needed at all; names no repository.
pub(super) struct BaseAccess;

impl FromRequest for BaseAccess {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let access = || {
            let state = state(request)?;
            let caller = caller(request, state, &[])?;
            permit(request, state, &caller, policy::decide_base(&caller), &[])?;
            Ok(Self)
        };
        ready(access())
    }
}

/// The right to read the metrics at the main listener. Where nobody was named, there are none.
pub(super) struct MetricsAccess;

impl FromRequest for MetricsAccess {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(metrics_access(request))
    }
}

fn metrics_access(request: &HttpRequest) -> Result<MetricsAccess, Error> {
    let state = state(request)?;
    let live = state.live();
    let options = live.metrics.as_ref().ok_or(Error::RouteUnknown)?;
    if live.proxies.client(request).source().is_in(&options.from) {
        return Ok(MetricsAccess);
    }
    if options.users.is_empty() {
        return Err(Error::RouteUnknown);
    }
    // A scraper shows a password, whatever clients of the API are asked for.
    let unauthorized = || Error::Unauthorized { challenge: Some("Basic realm=\"metrics\"".to_owned()), detail: serde_json::Value::Null };
    match caller(request, state, &[]) {
        Ok(caller) if caller.identity() == &Identity::Anonymous => Err(unauthorized()),
        Ok(caller) if options.users.contains(&caller.identity().to_string()) => Ok(MetricsAccess),
        Ok(_) => Err(Error::Denied),
        Err(Error::Unauthorized { .. }) => Err(unauthorized()),
        Err(error) => Err(error),
    }
}

/// What a challenge asks for: the action itself, and what else the request could do with.
type Wanted<'a> = &'a [(Resource<'a>, Action)];

fn state(request: &HttpRequest) -> Result<&AppState, Error> {
    request.app_data::<Data<AppState>>().map(|state| state.get_ref()).ok_or(Error::Unguarded)
}

fn caller(request: &HttpRequest, state: &AppState, wanted: Wanted<'_>) -> Result<Caller, Error> {
    let extensions = request.extensions();
    match &extensions.get::<Asker>().ok_or(Error::Unguarded)?.0 {
        Ok(caller) => Ok(caller.clone()),
        Err(auth::Error::Busy) => Err(Error::Busy),
        Err(auth::Error::Closed(wait)) => Err(Error::LoginsClosed(*wait)),
        Err(auth::Error::InvalidToken(_)) => Err(unauthorized(request, state, wanted, Some(Problem::InvalidToken))),
        Err(auth::Error::WrongCredentials | auth::Error::MalformedAuthorization | auth::Error::UnsupportedScheme) => {
            Err(unauthorized(request, state, wanted, None))
        }
        Err(_) => Err(Error::AuthenticationFailed),
    }
}

fn permit(request: &HttpRequest, state: &AppState, caller: &Caller, decision: Decision, wanted: Wanted<'_>) -> Result<(), Error> {
    let name = wanted.first().map_or("", |(resource, _)| name_of(resource));
    audit::denial(state, request, caller.identity(), decision, name);
    match decision {
        Decision::Allowed => Ok(()),
        Decision::Unauthenticated => Err(unauthorized(request, state, wanted, None)),
        Decision::InsufficientScope => Err(unauthorized(request, state, wanted, Some(Problem::InsufficientScope))),
        Decision::Hidden => Err(Error::Hidden(name.to_owned())),
        Decision::Denied => Err(Error::Denied),
    }
}

fn name_of<'a>(resource: &Resource<'a>) -> &'a str {
    match resource {
        Resource::Repository(name) => name.as_str(),
        Resource::Catalog => "_catalog",
    }
}

fn unauthorized(request: &HttpRequest, state: &AppState, wanted: Wanted<'_>, problem: Option<Problem>) -> Error {
    let origin = state.live().locations.origin(&state.live().proxies.client(request));
    let scopes: Vec<_> = wanted.iter().map(|(resource, action)| policy::scope_text(resource, *action)).collect();
    let detail: Vec<serde_json::Value> = scopes.iter().flat_map(|scope| detail_of(scope)).collect();
    Error::Unauthorized {
        challenge: state.gate.challenge(&origin, &scopes, problem),
        detail: if detail.is_empty() { serde_json::Value::Null } else { detail.into() },
    }
}

/// What the body of a 401 lists: one object for each action that was needed, in the shape of registry:2.
fn detail_of(scope: &str) -> Vec<serde_json::Value> {
    let (kind, rest) = scope.split_once(':').unwrap_or_default();
    let (name, actions) = rest.rsplit_once(':').unwrap_or_default();
    let object = |action| serde_json::json!({"Type": kind, "Class": "", "Name": name, "Action": action});
    actions.split(',').map(object).collect()
}
