//! Holding changes back for a command that collects garbage, over the control socket.
//!
//! The command sends `hold` with the device and the inode of the data root that it means. The server, if that is its own, waits for the
//! changes under way, lets no other begin, and answers a line `pushed: REPOSITORY DIGEST` for each thing that a push under way has
//! brought, then `ok`. When the command closes its side, or goes away, the server drops what it remembers of the store, takes changes
//! again, and says `ok` once more. `pushed` asks for the same lines and holds nothing.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::UnixStream;
use tracing::{info, warn};

use super::control::socket_of;
use crate::blocking;
use crate::registry::{Pushed, Registry};

/// What a command sends that wants changes held back.
pub(super) const WORD: &str = "hold";

/// What a command sends that only wants to know what pushes under way have brought.
pub(super) const PUSHED: &str = "pushed";

/// How long the changes under way have to end: each is a few files, once its bytes have come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Holds changes back until the other side is closed.
pub(super) async fn serve(mut stream: BufStream<UnixStream>, registry: &Arc<Registry>, wanted: &str, root: PathBuf) -> io::Result<()> {
    if blocking::run(move || identity(&root)).await? != wanted {
        stream.write_all(b"error: it serves other data\n").await?;
        return stream.flush().await;
    }
    let Some(hold) = registry.hold(PATIENCE).await else {
        warn!("changes could not be held back for a garbage collection: those under way did not end in time");
        stream.write_all(b"error: changes under way did not end in time\n").await?;
        return stream.flush().await;
    };
    let began = Instant::now();
    info!("pushes and deletes are held back while garbage is collected");
    // Whatever becomes of the other side, the hold ends with it.
    let told = tell_and_wait(&mut stream, registry).await;
    drop(hold);
    info!(duration_ms = began.elapsed().as_millis(), "pushes and deletes are taken again");
    told?;
    stream.write_all(b"ok\n").await?;
    stream.flush().await
}

/// Says what pushes under way have brought.
pub(super) async fn tell(stream: &mut BufStream<UnixStream>, registry: &Registry) -> io::Result<()> {
    let mut text: String = registry.pushed().iter().map(|pushed| format!("pushed: {pushed}\n")).collect();
    text.push_str("ok\n");
    tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await??;
    stream.flush().await
}

async fn tell_and_wait(stream: &mut BufStream<UnixStream>, registry: &Registry) -> io::Result<()> {
    tell(stream, registry).await?;
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

/// What tells one data root from another, whatever its path is called. Blocks.
pub(super) fn identity(root: &Path) -> io::Result<String> {
    let metadata = std::fs::metadata(root)?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// A server's promise to a command, kept until the connection ends.
pub(super) struct Promise {
    stream: BufStream<UnixStream>,
    /// What pushes under way have brought.
    pub(super) pushed: Vec<Pushed>,
}

impl Promise {
    /// Asks the server of a state directory to hold changes back, or (`word` being [`PUSHED`]) for what it knows only.
    pub(super) async fn ask(state: &Path, word: &str) -> io::Result<Self> {
        let mut stream = BufStream::new(UnixStream::connect(socket_of(state)).await?);
        stream.write_all(format!("{word}\n").as_bytes()).await?;
        stream.flush().await?;
        let mut pushed = Vec::new();
        loop {
            let mut line = String::new();
            tokio::time::timeout(2 * PATIENCE, stream.read_line(&mut line)).await??;
            match line.trim_end().split_once(": ") {
                Some(("pushed", what)) => pushed.extend(what.parse::<Pushed>()),
                Some(("error", why)) => return Err(io::Error::other(why.to_owned())),
                None if line == "ok\n" => return Ok(Self { stream, pushed }),
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Returns when the server no longer holds changes back, which it should not end by itself.
    pub(super) async fn broken(&mut self) {
        // Nothing is said while it holds: whatever comes, and the end, mean that something is wrong.
        let _ = self.stream.read(&mut [0; 64]).await;
    }

    /// Lets the server take changes again, and waits until it does.
    pub(super) async fn release(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await??;
        if line == "ok\n" { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
