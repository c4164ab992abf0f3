//! What of a request is written to the audit log, and what of that is counted.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::{HttpMessage as _, HttpRequest};

use super::AppState;
use crate::auth::{self, Decision, Identity, IssuedToken, Proof};
use crate::telemetry::{Entry, Event, LoginOutcome, Verdict};

/// The name of a request in every log; put into it by `middleware::observe`.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

/// Who has logged in from where a short while ago: where a password goes with each request, not each is a login of its own.
pub(super) struct RecentLogins(moka::sync::Cache<(Identity, IpAddr), ()>);

impl RecentLogins {
    pub(super) fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(RECENT).time_to_live(RECENTLY).build())
    }

    fn are_without(&self, identity: &Identity, address: IpAddr) -> bool {
        self.0.entry((identity.clone(), address)).or_insert(()).is_fresh()
    }
}

const RECENT: u64 = 10_000;
const RECENTLY: Duration = Duration::from_secs(60);

/// Writes one decision down. `user` is the caller as logs name it, or as it named itself.
pub(super) fn record(
    state: &AppState,
    request: &HttpRequest,
    (event, verdict): (Event, Verdict),
    user: &str,
    repository: Option<&str>,
    reason: &str,
) {
    let extensions = request.extensions();
    let request_id = extensions.get::<RequestId>().map_or("", |id| &id.0);
    let address = state.live().proxies.client(request).address;
    state.outlets.audit.record(&Entry { event, user, address, repository, verdict, reason, request_id });
}

/// A login that went well, unless the same one from the same address has been written down within a minute.
pub(super) fn login(state: &AppState, request: &HttpRequest, identity: &Identity, proof: Proof) {
    if proof == Proof::Login {
        state.outlets.metrics.login(LoginOutcome::Allowed);
    }
    let is_login = matches!(proof, Proof::Login | Proof::Remembered | Proof::Certificate);
    if is_login && state.recent_logins.are_without(identity, state.live().proxies.client(request).address) {
        record(state, request, (Event::Login, Verdict::Allowed), &identity.to_string(), None, credentials_of(identity));
    }
}

/// A token, and what it was given for. One for nobody that opens nothing decides nothing.
pub(super) fn token(state: &AppState, request: &HttpRequest, issued: &IssuedToken) {
    if issued.identity != Identity::Anonymous || !issued.scope.is_empty() {
        let reason = if issued.proof == Proof::Token { "refresh token" } else { credentials_of(&issued.identity) };
        record(state, request, (Event::Token, Verdict::Allowed), &issued.identity.to_string(), Some(&issued.scope), reason);
    }
}

fn credentials_of(identity: &Identity) -> &'static str {
    match identity {
        Identity::Anonymous => "no credentials",
        Identity::User(_) => "password",
        Identity::Robot(_) => "machine token",
        Identity::Oidc { .. } => "oidc token",
        Identity::Certificate(_) => "client certificate",
    }
}

/// A login that went wrong, or a token that is no good.
pub(super) fn refusal(state: &AppState, request: &HttpRequest, claimed: &str, error: &auth::Error) {
    match error {
        auth::Error::Busy | auth::Error::Closed(_) => state.outlets.metrics.login(LoginOutcome::Limited),
        // A token that has run out is nobody's guess.
        auth::Error::InvalidToken(_) => {}
        _ => state.outlets.metrics.login(LoginOutcome::Refused),
    }
    record(state, request, (Event::Login, Verdict::Refused), claimed, None, &error.to_string());
}

/// A right that somebody does not have. That credentials are asked for is no such decision.
pub(super) fn denial(state: &AppState, request: &HttpRequest, identity: &Identity, decision: Decision, wanted: &str) {
    let reason = match decision {
        Decision::Allowed | Decision::Unauthenticated => return,
        Decision::InsufficientScope => "insufficient scope",
        Decision::Hidden => "no right to pull",
        Decision::Denied => "no right to do this",
    };
    record(state, request, (Event::Access, Verdict::Refused), &identity.to_string(), Some(wanted), reason);
}
