//! One connection on which requests are written as they are, however odd.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(20);

/// Whose registry every request says it asks, so that both registries make the same URLs.
pub(super) const HOST: &str = "registry.test:5000";

/// What follows the headers of a request.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Nothing, and no length.
    Absent,
    /// Bytes, after their length.
    Sized(Bytes),
    /// Bytes in one chunk, without a length.
    Chunked(Bytes),
}

/// A request, as far as both registries get the same one.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case, sorted.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The values of a header, joined; empty when it is absent.
    pub(super) fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    }
}

/// A connection that is made again when the server has ended it.
pub(super) struct Wire {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Wire {
    pub(super) fn to(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    pub(super) async fn send(&mut self, sent: &Sent) -> Reply {
        if let Some(stream) = self.stream.take()
            && let Some(reply) = self.on(stream, sent).await
        {
            return reply;
        }
        // None yet, or the server ended it before this request came.
        let stream = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        self.on(stream, sent).await.unwrap_or_else(|| panic!("no answer to {sent:?}"))
    }

    async fn on(&mut self, mut stream: BufReader<TcpStream>, sent: &Sent) -> Option<Reply> {
        let bytes = written(sent);
        let talk = async {
            let (reading, mut writing) = stream.get_mut().split();
            let mut reading = BufReader::new(reading);
            // The server may answer before it has read everything, and then close.
            let write = async { writing.write_all(&bytes).await.ok() };
            let (reply, _) = futures_util::join!(read(&mut reading, sent.method == "HEAD"), write);
            reply.inspect(|_| assert!(reading.buffer().is_empty(), "more than an answer came to {sent:?}"))
        };
        let (reply, ends) = timeout(LONGEST, talk).await.unwrap_or_else(|_| panic!("no end comes to {sent:?}"))?;
        if !ends {
            self.stream = Some(stream);
        }
        Some(reply)
    }
}

fn written(sent: &Sent) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\nHost: {HOST}\r\n", sent.method, sent.target).into_bytes();
    for (name, value) in &sent.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    match &sent.body {
        Body::Absent => bytes.extend_from_slice(b"\r\n"),
        Body::Sized(body) => {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(body);
        }
        Body::Chunked(body) => {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            if !body.is_empty() {
                bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
    }
    bytes
}

/// An answer, and whether the connection ends with it; `None` when the connection had ended before.
async fn read(stream: &mut BufReader<impl AsyncRead + Unpin>, is_head: bool) -> Option<(Reply, bool)> {
    let first = line(stream).await?;
    let status: u16 = first.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{first:?}"));
    let mut headers = Vec::new();
    loop {
        let line = line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    headers.sort();
    let mut reply = Reply { status, headers, body: Vec::new() };
    let mut ends = reply.header("connection") == "close";
    if is_head || matches!(status, 204 | 304) {
    } else if reply.header("transfer-encoding") == "chunked" {
        reply.body = chunks(stream).await?;
    } else if let Ok(length) = reply.header("content-length").parse() {
        reply.body = vec![0; length];
        // A stock registry announces more than it sends in some answers, and closes.
        if stream.read_exact(&mut reply.body).await.is_err() {
            reply.body = Vec::new();
            ends = true;
        }
    } else {
        ends = true;
        let _ = stream.read_to_end(&mut reply.body).await;
    }
    Some((reply, ends))
}

async fn line(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut line = Vec::new();
    match stream.read_until(b'\n', &mut line).await {
        Ok(length) if length > 0 => Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}

async fn chunks(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let length = usize::from_str_radix(&line(stream).await?, 16).ok()?;
        let before = body.len();
        body.resize(before + length, 0);
        stream.read_exact(&mut body[before..]).await.ok()?;
        line(stream).await?;
        if length == 0 {
            return Some(body);
        }
    }
}
