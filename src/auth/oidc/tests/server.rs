//! An issuer on this machine.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

const METADATA: &str = "/.well-known/openid-configuration";

/// What the server says.
#[derive(Clone)]
pub(super) enum Answer {
    Json(Value),
    /// These bytes, status line and all.
    Raw(Vec<u8>),
    /// The same bytes again and again.
    Endless(&'static [u8]),
    Silence,
}

/// The server, and what it was asked.
pub(super) struct Server {
    pub(super) url: String,
    script: Arc<Script>,
    _task: AbortOnDropHandle<()>,
}

struct Script {
    metadata: Mutex<Answer>,
    keys: Mutex<Answer>,
    asked: Mutex<Vec<String>>,
    /// An answer needs a permit, which it gives back.
    gate: Semaphore,
}

impl Server {
    pub(super) async fn start(keys: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let metadata = json!({"issuer": url, "jwks_uri": format!("{url}/keys"), "token_endpoint": "ignored"});
        let script = Arc::new(Script {
            metadata: Mutex::new(Answer::Json(metadata)),
            keys: Mutex::new(Answer::Json(keys)),
            asked: Mutex::default(),
            gate: Semaphore::new(1),
        });
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = Arc::clone(&shared);
                tokio::spawn(async move { script.serve(stream).await });
            }
        });
        Self { url, script, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn answer_metadata(&self, answer: Answer) {
        *self.script.metadata.lock().unwrap() = answer;
    }

    pub(super) fn answer_keys(&self, answer: Answer) {
        *self.script.keys.lock().unwrap() = answer;
    }

    /// Holds all answers back.
    pub(super) fn hold(&self) {
        self.script.gate.try_acquire().unwrap().forget();
    }

    pub(super) fn let_go(&self) {
        self.script.gate.add_permits(1);
    }

    /// How often the metadata were asked for: once in each fetch.
    pub(super) fn fetches(&self) -> usize {
        self.script.asked.lock().unwrap().iter().filter(|path| *path == METADATA).count()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.script.asked.lock().unwrap().clone()
    }
}

impl Script {
    async fn serve(&self, mut stream: TcpStream) {
        let Some(path) = path_of(&mut stream).await else { return };
        let answer = if path == METADATA { self.metadata.lock().unwrap().clone() } else { self.keys.lock().unwrap().clone() };
        self.asked.lock().unwrap().push(path);
        let _permit = self.gate.acquire().await.unwrap();
        // The client may have gone.
        let _ = match answer {
            Answer::Json(value) => {
                let body = value.to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await
            }
            Answer::Raw(bytes) => stream.write_all(&bytes).await,
            Answer::Endless(bytes) => endless(&mut stream, bytes).await,
            Answer::Silence => std::future::pending().await,
        };
    }
}

async fn endless(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
    loop {
        stream.write_all(bytes).await?;
    }
}

async fn path_of(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).ok()?.split(' ').nth(1)?.to_owned())
}
