//! A stream that watches its peer.
//!
//! Both clocks run only while an operation waits for the peer, and start anew with each byte that moves. They sit below TLS: above
//! it a stalled reader is not seen, since the TLS layer takes in what it cannot send. Vectored writes are passed on, or each TLS
//! record would be a system call of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::accept::Seat;

/// How long a peer may let us wait; `None`: for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clocks {
    pub(super) read: Option<Duration>,
    pub(super) write: Option<Duration>,
}

/// A stream with its clocks, and the seat that its connection takes.
#[derive(Debug)]
pub(super) struct Clocked<S> {
    stream: S,
    reading: Clock,
    writing: Clock,
    _seat: Seat,
}

impl<S> Clocked<S> {
    pub(super) fn new(stream: S, clocks: Clocks, seat: Seat) -> Self {
        Self { stream, reading: Clock::new(clocks.read), writing: Clock::new(clocks.write), _seat: seat }
    }
}

#[derive(Debug)]
struct Clock {
    limit: Option<Duration>,
    alarm: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl Clock {
    fn new(limit: Option<Duration>) -> Self {
        Self { limit, alarm: None, is_running: false }
    }

    /// Looks at what an operation came to: stops when it is done, runs on while it waits, and ends the wait when time is up.
    fn watch<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let Some(limit) = self.limit else { return outcome };
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
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.reading.watch(outcome, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Clocked<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.writing.watch(outcome, context)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
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

    use super::super::accept::Seats;
    use super::*;

    fn clocked<S>(stream: S, limit: Option<Duration>) -> Clocked<S> {
        let seat = Seats::unlimited().take(None).unwrap();
        Clocked::new(stream, Clocks { read: limit, write: limit }, seat)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_nothing_is_cut_off() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut stream = clocked(ours, Some(Duration::from_secs(30)));
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_off() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut stream = clocked(ours, Some(Duration::from_secs(30)));
        assert_eq!(stream.write_all(&[0; 100]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_goes_on_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let mut stream = clocked(ours, Some(Duration::from_secs(30)));
        let sender = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::advance(Duration::from_secs(20)).await;
                theirs.write_u8(1).await.unwrap();
            }
            theirs
        });
        let mut bytes = [0; 10];
        stream.read_exact(&mut bytes).await.unwrap();
        sender.await.unwrap();
    }

    #[tokio::test]
    async fn without_limits_nothing_is_armed() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut stream = clocked(ours, None);
        theirs.write_u8(7).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 7);
        assert!(stream.reading.alarm.is_none());
    }
}
