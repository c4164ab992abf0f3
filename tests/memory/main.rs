//! How much memory a large blob takes on its way through; a program of its own, so that nothing else counts.

#![expect(clippy::unwrap_used, reason = "a test may end in a panic")]

#[path = "../harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the API use the rest")]
mod harness;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use harness::{Setup, with};

const PIECE: usize = 256 * 1024;
const PIECES: usize = 256;
/// A quarter of the blob, in KiB.
const MOST_GROWTH: u64 = 16 * 1024;

/// The most memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_large_blob_is_held_neither_when_it_comes_nor_when_it_goes() {
    let registry = Setup::open().plain().start().await;
    let client = registry.client();
    client.push_image("a", "1", "one").await;
    let piece = Bytes::from(vec![7; PIECE]);
    let hasher = (0..PIECES).fold(Sha256::new(), |hasher, _| hasher.chain_update(&piece));
    let digest: String = hasher.finalize().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    let before = peak();

    let location = client.begin("a").await;
    let location = client.patch(&location).stream(vec![piece; PIECES]).send().await.is(202).location().to_owned();
    client.put(&with(&location, &format!("digest={digest}"))).send().await.is(201);
    let pushed = peak() - before;
    assert!(pushed < MOST_GROWTH, "{pushed} KiB for a push");

    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut received, mut buffer) = (0, vec![0; 64 * 1024]);
    while let count @ 1.. = stream.read(&mut buffer).await.unwrap() {
        received += count;
    }
    assert!(received > PIECE * PIECES);
    let pulled = peak() - before;
    assert!(pulled < MOST_GROWTH, "{pulled} KiB for a push and a pull");
}
