//! What of a request is written to the audit log.

use actix_web::{HttpMessage as _, HttpRequest};

use super::AppState;
use crate::auth::{self, Decision, Identity, Proof};
use crate::telemetry::{Entry, Event, Verdict};

/// The name of a request in every log; put into it by `middleware::observe`.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

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
    let address = state.proxies.client(request).address;
    state.audit.record(&Entry { event, user, address, repository, verdict, reason, request_id });
}

/// A login that went well, when one was made for this request: what is remembered was written down before.
pub(super) fn login(state: &AppState, request: &HttpRequest, identity: &Identity, proof: Proof) {
    if proof == Proof::Login {
        let reason = match identity {
            Identity::Robot(_) => "machine token",
            Identity::Oidc { .. } => "oidc token",
            Identity::Anonymous | Identity::User(_) | Identity::Certificate(_) => "password",
        };
        record(state, request, (Event::Login, Verdict::Allowed), &identity.to_string(), None, reason);
    }
}

/// A login that went wrong, or a token that is no good.
pub(super) fn refusal(state: &AppState, request: &HttpRequest, claimed: &str, error: &auth::Error) {
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
