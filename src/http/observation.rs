//! One request, from its head to the last byte of its answer: what is counted of it, and its line in the access log.
//!
//! Both are written when the answer's body has gone out, or its client has gone away: only then is known how much was sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::web::Data;
use bytes::Bytes;
use time::OffsetDateTime;

use super::AppState;
use super::access::Asker;
use super::access_line::{Facts, Line};
use super::body::Body;
use super::endpoint::{endpoint_of, method_of};
use crate::telemetry::{Answered, Endpoint, Limit};

/// The status that is counted where the client went away before it got one, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request under way. Dropping it ends it.
pub(super) struct Observation {
    state: Data<AppState>,
    began: Instant,
    answered: Answered,
    body: Option<Body>,
    line: Option<Line>,
}

impl Observation {
    pub(super) fn begin(state: &Data<AppState>, request: &ServiceRequest) -> Self {
        let endpoint = endpoint_of(request.match_info().as_str(), &state.prefix);
        let method = method_of(request.method());
        state.outlets.metrics.began(endpoint);
        let answered = Answered { endpoint, method, status: CLIENT_CLOSED_REQUEST, duration: Duration::ZERO, received: 0, sent: 0 };
        Self { state: state.clone(), began: Instant::now(), answered, body: None, line: None }
    }

    /// Whether it asks the registry for something, rather than how it is.
    pub(super) fn is_of_the_api(&self) -> bool {
        self.answered.endpoint != Endpoint::Other
    }

    /// The body of the request, of which it will be known how much came.
    pub(super) fn receives(&mut self, body: Option<Body>) {
        self.body = body;
    }

    /// Goes along with the answer to its end.
    pub(super) fn follow(mut self, response: ServiceResponse<BoxBody>, request_id: &str) -> ServiceResponse<BoxBody> {
        self.answered.status = response.status().as_u16();
        self.line = self.state.outlets.access.as_ref().map(|log| {
            let request = response.request();
            let extensions = request.extensions();
            let user = extensions.get::<Asker>().and_then(|asker| asker.0.as_ref().ok()).map(|caller| caller.identity().to_string());
            let facts = Facts {
                client: self.state.live().proxies.client(request).address,
                user: user.filter(|user| !user.is_empty()),
                status: self.answered.status,
                request_id,
                now: OffsetDateTime::now_utc(),
            };
            Line::new(log.form, request, facts)
        });
        let is_head = response.request().method() == Method::HEAD;
        response.map_body(|_, body| self.carry(body, is_head))
    }

    /// A body that lies ready is as good as sent; any other takes the observation along.
    fn carry(mut self, body: BoxBody, is_head: bool) -> BoxBody {
        if matches!(body.size(), BodySize::None) {
            return body;
        }
        match body.try_into_bytes() {
            Ok(bytes) => {
                self.answered.sent = if is_head { 0 } else { bytes.len() as u64 };
                BoxBody::new(bytes)
            }
            Err(body) => BoxBody::new(Observed { body, observation: self }),
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.answered.duration = self.began.elapsed();
        self.answered.received = self.body.as_ref().map_or(0, Body::received);
        let metrics = &self.state.outlets.metrics;
        metrics.ended(&self.answered);
        if self.body.as_ref().is_some_and(Body::is_given_up) {
            metrics.limited(Limit::SlowBody);
        }
        if let (Some(line), Some(log)) = (self.line.take(), &self.state.outlets.access) {
            log.lines.write(line.finish(self.answered.sent, self.answered.duration));
        }
    }
}

/// A body whose bytes are counted as they go.
struct Observed {
    body: BoxBody,
    observation: Observation,
}

impl MessageBody for Observed {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let piece = ready!(Pin::new(&mut this.body).poll_next(context));
        if let Some(Ok(piece)) = &piece {
            this.observation.answered.sent += piece.len() as u64;
        }
        Poll::Ready(piece)
    }
}
