//! What the service manager is told: that the server is ready, reads its files again, stops, or still answers.
//!
//! systemd says by variables what it wants to hear; where they are not set nothing is sent.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use sd_notify::NotifyState;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, warn};

use crate::blocking;

/// A socket that the server listens on, as it is reached from this machine.
#[derive(Clone, Debug)]
pub(super) enum Door {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

/// It serves, for the first time or again.
pub(super) async fn ready() {
    tell(|| Ok(vec![NotifyState::Ready, NotifyState::Status("serving")])).await;
}

/// It reads its files again; [`ready`] ends it.
pub(super) async fn reloading() {
    tell(|| Ok(vec![NotifyState::Reloading, NotifyState::monotonic_usec_now()?, NotifyState::Status("reading its files again")])).await;
}

/// It stops.
pub(super) async fn stopping() {
    tell(|| Ok(vec![NotifyState::Stopping, NotifyState::Status("finishing what is in flight")])).await;
}

/// Tells the watchdog, if there is one, that the server answers: at half of its patience, and only when it does.
pub(super) async fn keep_alive(doors: Vec<Door>, workers: usize) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(patience / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if all_answer(&doors, workers, patience / 4).await {
            tell(|| Ok(vec![NotifyState::Watchdog])).await;
        } else {
            error!("the server does not answer itself: the watchdog is not told that it is alive");
        }
    }
}

/// Knocks at each door as often as there are workers: connections go to one after the other.
async fn all_answer(doors: &[Door], workers: usize, patience: Duration) -> bool {
    let knocks = doors.iter().flat_map(|door| std::iter::repeat_n(door, workers));
    let answers = join_all(knocks.map(|door| timeout(patience, knock(door)))).await;
    answers.into_iter().all(|answer| matches!(answer, Ok(Ok(()))))
}

async fn knock(door: &Door) -> io::Result<()> {
    match door {
        Door::Tcp(addresses) => answered(TcpStream::connect(addresses.as_slice()).await?).await,
        Door::Unix(path) => answered(UnixStream::connect(path).await?).await,
    }
}

/// Ends its own half of the connection and waits for the server to end the other, which it does for a client that asks for nothing,
/// and for one that finds no seat. The kernel takes connections for a server that hangs, but it does not end them.
async fn answered(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let ended = stream.shutdown().await;
    match ended.and(stream.read(&mut [0; 16]).await) {
        Err(error) if !CLOSED.contains(&error.kind()) => Err(error),
        _ => Ok(()),
    }
}

const CLOSED: [io::ErrorKind; 3] = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::NotConnected];

async fn tell(what: impl FnOnce() -> io::Result<Vec<NotifyState<'static>>> + Send + 'static) {
    if let Err(error) = blocking::run(move || sd_notify::notify(&what()?)).await {
        warn!(%error, "the service manager cannot be told how the server is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn listener() -> (tokio::net::TcpListener, Vec<Door>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let doors = vec![Door::Tcp(vec![listener.local_addr().unwrap()])];
        (listener, doors)
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_is_an_answer() {
        let (listener, doors) = listener().await;
        let closing = async {
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
        };
        let (alive, ()) = tokio::join!(all_answer(&doors, 2, PATIENCE), closing);
        assert!(alive);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_only_the_kernel_takes_is_none() {
        let (listener, doors) = listener().await;
        assert!(!all_answer(&doors, 1, PATIENCE).await);
        drop(listener);
        assert!(!all_answer(&doors, 1, PATIENCE).await, "nobody listens");
    }
}
