//! Requests that no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(20);

/// Asks again and again until something holds.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONGEST, wait).await.unwrap_or_else(|_| panic!("what was waited for does not come"));
}

/// Sends bytes over plain TCP and ends its side; everything that comes back until the server ends too.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    exchange(address, bytes, true).await
}

/// Sends bytes; what comes back until the server closes. It may be told that nothing more comes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8], is_end: bool) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may refuse, and close, before it has read everything.
        let _ = stream.write_all(bytes).await;
        if is_end {
            let _ = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(LONGEST, talk).await.unwrap_or_else(|_| panic!("no end comes to {:?}", String::from_utf8_lossy(bytes)))
}
