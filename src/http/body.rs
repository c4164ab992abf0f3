//! The body of a request: how fast it must come, and what becomes of one that its answer did not need.
//!
//! A connection that is closed while the client still sends is reset, and the client may never see the answer. So what remains of
//! a body is received and dropped before a refusal is sent, as long as that costs little.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep};

/// How much is received of a body that nobody wants.
const MOST: usize = 16 * 1024 * 1024;

/// How long is waited for it.
const LONGEST: Duration = Duration::from_secs(5);

/// How fast a body must come. Only time in which we wait for the client counts: a large body may take as long as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long nothing may come.
    pub stall: Duration,
    /// How many bytes a second must come, taken over such a time.
    pub min_rate: u64,
}

/// A body that its handler and [`Body::drain`] both can read.
#[derive(Clone)]
pub(super) struct Body(Rc<RefCell<Paced>>);

/// A body with a clock on it; without one once it has ended.
struct Paced {
    payload: Option<Payload>,
    pace: Pace,
    alarm: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    /// Since the pace was last looked at.
    waited: Duration,
    since_looked: u64,
    /// Since it began.
    received: u64,
    is_given_up: bool,
}

impl Body {
    /// Puts itself in the place of a request's body; `None` where there is no body.
    pub(super) fn share(request: &mut ServiceRequest, pace: Pace) -> Option<Self> {
        match request.take_payload() {
            Payload::None => None,
            payload => {
                let body = Self(Rc::new(RefCell::new(Paced::new(payload, pace))));
                request.set_payload(Payload::Stream { payload: Box::pin(body.clone()) });
                Some(body)
            }
        }
    }

    /// How many bytes have come.
    pub(super) fn received(&self) -> u64 {
        self.0.borrow().received
    }

    /// Whether it came too slowly.
    pub(super) fn is_given_up(&self) -> bool {
        self.0.borrow().is_given_up
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
        self.0.borrow_mut().poll(context)
    }
}

impl Paced {
    fn new(payload: Payload, pace: Pace) -> Self {
        Self {
            payload: Some(payload),
            pace,
            alarm: None,
            waiting_since: None,
            waited: Duration::ZERO,
            since_looked: 0,
            received: 0,
            is_given_up: false,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let Some(open) = self.payload.as_mut() else { return Poll::Ready(None) };
        match Pin::new(open).poll_next(context) {
            Poll::Ready(Some(Ok(piece))) => {
                self.waited += self.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                self.since_looked += piece.len() as u64;
                self.received += piece.len() as u64;
                if self.is_too_slow() { self.give_up("too little comes") } else { Poll::Ready(Some(Ok(piece))) }
            }
            Poll::Ready(end) => {
                self.payload = None;
                Poll::Ready(end)
            }
            Poll::Pending => {
                let stall = self.pace.stall;
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
                if self.waiting_since.is_none() {
                    self.waiting_since = Some(Instant::now());
                    alarm.as_mut().reset(Instant::now() + stall);
                }
                match alarm.as_mut().poll(context) {
                    Poll::Ready(()) => self.give_up("nothing more comes"),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_too_slow(&mut self) -> bool {
        if self.waited < self.pace.stall {
            return false;
        }
        let wanted = self.pace.min_rate.saturating_mul(self.waited.as_secs());
        let (received, _) = (std::mem::take(&mut self.since_looked), std::mem::take(&mut self.waited));
        received < wanted
    }

    fn give_up(&mut self, why: &'static str) -> Poll<Option<Result<Bytes, PayloadError>>> {
        (self.payload, self.is_given_up) = (None, true);
        Poll::Ready(Some(Err(PayloadError::Incomplete(Some(io::Error::new(io::ErrorKind::TimedOut, why))))))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::*;

    const PACE: Pace = Pace { stall: Duration::from_secs(30), min_rate: 1024 };

    /// A body of pieces, each after some seconds; how many came, and whether it ended well.
    async fn receive(pieces: Vec<(u64, usize)>) -> (usize, bool) {
        let pieces = stream::unfold(pieces.into_iter(), |mut pieces| async move {
            let (seconds, length) = pieces.next()?;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, PayloadError>(Bytes::from(vec![0; length])), pieces))
        });
        let mut request = TestRequest::default().to_srv_request();
        request.set_payload(Payload::Stream { payload: Box::pin(pieces) });
        let mut body = Body::share(&mut request, PACE).unwrap();
        let mut count = 0;
        while let Some(piece) = body.next().await {
            match piece {
                Ok(_) => count += 1,
                Err(_) => return (count, false),
            }
        }
        (count, true)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_honest_body_may_take_as_long_as_it_likes() {
        assert_eq!(receive(vec![(29, 30 * 1024); 500]).await, (500, true));
        assert_eq!(receive(vec![(0, 1); 100]).await, (100, true), "a body that is there at once is not slow");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_or_drips_is_given_up() {
        assert_eq!(receive(vec![(1, 1 << 20), (31, 1 << 20)]).await, (1, false));
        let (count, ended) = receive(vec![(1, 100); 1000]).await;
        assert!(!ended && count < 60, "{count}");
    }
}
