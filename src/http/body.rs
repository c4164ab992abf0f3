//! The body of a request whose answer did not need it.
//!
//! A connection that is closed while the client still sends is reset, and the client may never see the answer. So what remains of
//! a body is received and dropped before a refusal is sent, as long as that costs little.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

/// How much is received of a body that nobody wants.
const MOST: usize = 16 * 1024 * 1024;

/// How long is waited for it.
const LONGEST: Duration = Duration::from_secs(5);

/// A body that its handler and [`Body::drain`] both can read; `None` once it has ended.
#[derive(Clone)]
pub(super) struct Body(Rc<RefCell<Option<Payload>>>);

impl Body {
    /// Puts itself in the place of a request's body; `None` where there is no body.
    pub(super) fn share(request: &mut ServiceRequest) -> Option<Self> {
        match request.take_payload() {
            Payload::None => None,
            payload => {
                let body = Self(Rc::new(RefCell::new(Some(payload))));
                request.set_payload(Payload::Stream { payload: Box::pin(body.clone()) });
                Some(body)
            }
        }
    }

    /// Receives and drops what remains, within limits.
    pub(super) async fn drain(mut self) {
        let mut left = MOST;
        let receive = async {
            while let Some(Ok(piece)) = self.next().await {
                match left.checked_sub(piece.len()) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        // Past the time it is as with too long a body: the answer goes out, and the connection ends.
        tokio::time::timeout(LONGEST, receive).await.ok();
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut payload = self.0.borrow_mut();
        let Some(open) = payload.as_mut() else { return Poll::Ready(None) };
        let next = ready!(Pin::new(open).poll_next(context));
        if !matches!(next, Some(Ok(_))) {
            *payload = None;
        }
        Poll::Ready(next)
    }
}
