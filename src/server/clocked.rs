//! A stream that watches its peer, and counts.
//!
//! The clock runs only while a write waits for the peer, and starts anew with each byte that moves. It sits below TLS: above it a
//! stalled reader is not seen, since the TLS layer takes in what it cannot send. Vectored writes are passed on, or each TLS
//! record would be a system call of its own. Reads have no clock here, where nobody knows whether anything should come: the
//! head of a request, a body and the time between two requests are watched where they are read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::seats::Seat;
use crate::telemetry::{Direction, Metrics};

/// A stream with its clocks, and the seat that its connection takes.
#[derive(Debug)]
pub(super) struct Clocked<S> {
    stream: S,
    writing: Clock,
    traffic: Traffic,
    _seat: Seat,
}

/// The bytes of all connections.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    received: IntCounter,
    sent: IntCounter,
}

impl Traffic {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self { received: metrics.bytes(Direction::Received), sent: metrics.bytes(Direction::Sent) }
    }
}

impl<S> Clocked<S> {
    /// `stall` is how long the peer may take nothing.
    pub(super) fn new(stream: S, stall: Duration, traffic: Traffic, seat: Seat) -> Self {
        Self { stream, writing: Clock { limit: stall, alarm: None, is_running: false }, traffic, _seat: seat }
    }
}

impl<S> Clocked<S> {
    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.traffic.sent.inc_by(*count as u64);
        }
    }
}

#[derive(Debug)]
struct Clock {
    limit: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl Clock {
    /// Looks at what an operation came to: stops when it is done, runs on while it waits, and ends the wait when time is up.
    fn watch<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let limit = self.limit;
        if outcome.is_ready() {
            self.is_running = false;
            return outcome;
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.is_running {
            alarm.as_mut().reset(Instant::now() + limit);
            self.is_running = true;
        }
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Clocked<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.traffic.received.inc_by((buffer.filled().len() - before) as u64);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Clocked<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.count(&outcome);
        this.writing.watch(outcome, context)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.count(&outcome);
        this.writing.watch(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        this.writing.watch(outcome, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::seats::tests::seat;
    use super::*;

    fn clocked<S>(stream: S) -> Clocked<S> {
        Clocked::new(stream, Duration::from_secs(30), Traffic::new(&Metrics::new("test")), seat())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_off() {
        let (ours, _theirs) = tokio::io::duplex(8);
        assert_eq!(clocked(ours).write_all(&[0; 100]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_goes_on_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let mut stream = clocked(ours);
        let receiver = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::advance(Duration::from_secs(20)).await;
                theirs.read_u8().await.unwrap();
            }
            theirs
        });
        stream.write_all(&[1; 10]).await.unwrap();
        receiver.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_keeps_up_arms_nothing() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut stream = clocked(ours);
        stream.write_u8(7).await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), 7);
        assert!(stream.writing.alarm.is_none());
    }
}
