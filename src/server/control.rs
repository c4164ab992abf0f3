//! The control socket: how a command asks a server that runs for something, on the same host.
//!
//! One line each way: a request, then `ok`, `ok: …` or `error: …`; a hold goes on as [`super::holding`] says. Whoever may open the socket, which lies in the state directory, is the
//! server's own user or root.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{UnixListener, UnixStream as Stream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::holding;
use super::reload::Reloader;
use crate::auth::Authenticator;
use crate::blocking;

/// What a server can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To read machine tokens and signing keys again, and to write down when tokens were last used.
    Tokens,
    /// To read the configuration and all files it names again.
    Reload,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done. What there is to say about it, if anything.
    Done(Option<String>),
    /// It could not be done; why.
    Failed(String),
    /// There is no server on this directory, or none that can be spoken to, which follows by itself.
    NotRunning,
}

impl Request {
    const ALL: [Self; 2] = [Self::Tokens, Self::Reload];

    fn word(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Reload => "reload",
        }
    }
}

/// Asks the server of a state directory, and waits for its answer. Blocks.
pub fn ask(state: &Path, request: Request) -> io::Result<Reply> {
    let mut stream = match UnixStream::connect(socket_of(state)) {
        Ok(stream) => stream,
        // An invalid path is one that is too long, where a server goes without a socket.
        Err(error) if NOBODY_THERE.contains(&error.kind()) => return Ok(Reply::NotRunning),
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{}", request.word())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    match line.trim_end() {
        "ok" => Ok(Reply::Done(None)),
        "" => Err(io::ErrorKind::UnexpectedEof.into()),
        line => match line.strip_prefix("ok: ") {
            Some(note) => Ok(Reply::Done(Some(note.to_owned()))),
            None => Ok(Reply::Failed(line.strip_prefix("error: ").unwrap_or(line).to_owned())),
        },
    }
}

/// Makes the socket. Where that cannot be done, because its path is too long, a server goes without.
pub(super) async fn open(state: &Path) -> Option<UnixListener> {
    let path = socket_of(state);
    let bound = bind(&path).await;
    bound
        .inspect_err(|error| {
            warn!(%error, file.path = %path.display(), "there is no control socket; commands take effect within a second or two");
        })
        .ok()
}

/// Answers requests until it is dropped.
pub(super) async fn serve(listener: UnixListener, reloader: Arc<Reloader>, root: PathBuf) {
    let mut answers = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if answers.len() < MOST_COMMANDS => accepted,
            Some(answered) = answers.join_next() => {
                if !matches!(answered, Ok(Ok(()))) {
                    debug!("a command went away from the control socket");
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                answers.spawn(converse(stream, Arc::clone(&reloader), root.clone()));
            }
            Err(error) => {
                // Most often there are too many open files, of which some will be closed.
                warn!(%error, "the control socket cannot take a command");
                tokio::time::sleep(RECOVERY).await;
            }
        }
    }
}

/// Answers one command.
async fn converse(stream: Stream, reloader: Arc<Reloader>, root: PathBuf) -> io::Result<()> {
    let mut stream = BufStream::new(stream);
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, (&mut stream).take(LONGEST_LINE).read_line(&mut line)).await??;
    let (word, rest) = line.trim_end().split_once(' ').unwrap_or_else(|| (line.trim_end(), ""));
    match word {
        holding::WORD => holding::serve(stream, &reloader.parts().registry, rest, root).await,
        holding::PUSHED => holding::tell(&mut stream, &reloader.parts().registry).await,
        word => tokio::time::timeout(PATIENCE, answer(stream, word, &reloader)).await?,
    }
}

async fn bind(path: &Path) -> io::Result<UnixListener> {
    let owned = path.to_owned();
    // The lock of the directory is ours, so what lies there was left behind.
    let cleared = blocking::run(move || match fs::remove_file(&owned) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    cleared.await?;
    let listener = UnixListener::bind(path)?;
    let owned = path.to_owned();
    blocking::run(move || fs::set_permissions(&owned, fs::Permissions::from_mode(0o600))).await?;
    Ok(listener)
}

async fn answer(mut stream: BufStream<Stream>, word: &str, reloader: &Reloader) -> io::Result<()> {
    let request = Request::ALL.into_iter().find(|request| request.word() == word);
    let outcome = match request {
        Some(Request::Tokens) => tokens(&reloader.parts().authenticator).await.map(|()| None),
        Some(Request::Reload) => reloader.reload().await.map(|keys| restart_note(&keys)),
        None => Err("unknown request".to_owned()),
    };
    let line = match outcome {
        Ok(None) => "ok".to_owned(),
        Ok(Some(note)) => format!("ok: {note}"),
        Err(error) => format!("error: {error}"),
    };
    let text = line.replace('\n', " ") + "\n";
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

fn restart_note(keys: &[String]) -> Option<String> {
    (!keys.is_empty()).then(|| format!("a restart is needed for {}", keys.join(", ")))
}

async fn tokens(authenticator: &Authenticator) -> Result<(), String> {
    let told = |error: crate::auth::Error| super::background::chain(&error);
    // What is revoked is so whatever comes of the rest.
    let reloaded = authenticator.reload_tokens(SystemTime::now()).await;
    reloaded.and(authenticator.save_uses().await).map_err(told)
}

/// Where the socket of a state directory lies.
pub(super) fn socket_of(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(30);
const NOBODY_THERE: [io::ErrorKind; 3] = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused, io::ErrorKind::InvalidInput];
const RECOVERY: Duration = Duration::from_secs(1);
const LONGEST_LINE: u64 = 1024;
const MOST_COMMANDS: usize = 16;
