//! An endpoint that events are sent to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::eventually;

/// Listens on loopback until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    _serving: AbortOnDropHandle<()>,
}

/// What comes, and what is answered: 200 where nothing else is said.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<u16>>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The values of a header, one behind the other.
    pub(crate) fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(",")
    }

    /// The one event in it.
    pub(crate) fn event(&self) -> Value {
        let mut envelope: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(envelope["events"].as_array().map(Vec::len), Some(1), "{envelope}");
        envelope["events"][0].take()
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    /// One that listens where another one did.
    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let serving = tokio::spawn(serve(listener, Arc::clone(&seen)));
        Self { address, seen, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events?from=registry", self.address)
    }

    /// Says what the next requests are answered; 0: nothing at all.
    pub(crate) fn answer(&self, statuses: &[u16]) {
        self.seen.answers.lock().unwrap().extend(statuses);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn requests(&self, count: usize) -> Vec<Received> {
        eventually(async || self.seen.requests.lock().unwrap().len() >= count).await;
        self.received()
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(BufReader::new(stream), Arc::clone(&seen)));
    }
}

/// Answers the requests of a connection until it ends.
async fn answer(mut stream: BufReader<TcpStream>, seen: Arc<Seen>) -> Option<()> {
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let target = lines.remove(0);
        let headers: Vec<_> =
            lines.iter().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, length)| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let status = seen.answers.lock().unwrap().pop_front().unwrap_or(200);
        seen.requests.lock().unwrap().push(Received { target, headers, body });
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let location = if (300..400).contains(&status) { "Location: /elsewhere\r\n" } else { "" };
        stream.write_all(format!("HTTP/1.1 {status} X\r\n{location}Content-Length: 0\r\n\r\n").as_bytes()).await.ok()?;
    }
}
