//! The access log and the audit log: finished lines on their way out.
//!
//! A thread of its own writes each, so that no request waits for a terminal or a pipe; lines that come faster than they can be
//! written are dropped and counted. Lines leave as they happen: the writer flushes whenever nothing more waits.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// How many lines may wait.
const WAITING: usize = 8192;

/// Where requests leave their lines.
#[derive(Clone, Debug)]
pub struct LineWriter {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
}

impl LineWriter {
    /// Starts the thread, named for what it writes, that writes to an output. It ends when the last writer is dropped, or its output
    /// is closed.
    pub fn start(name: &'static str, output: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::Builder::new().name(name.to_owned()).spawn(move || drain(name, &waiting, &counter, output))?;
        Ok(Self { lines, dropped })
    }

    /// Leaves one line, which ends in a newline.
    pub fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn drain(name: &str, lines: &Receiver<String>, dropped: &AtomicU64, output: impl Write) {
    let mut output = BufWriter::new(output);
    while let Ok(first) = lines.recv() {
        let written = std::iter::once(first).chain(lines.try_iter()).try_for_each(|line| output.write_all(line.as_bytes()));
        if let Err(error) = written.and_then(|()| output.flush()) {
            tracing::error!(%error, log.name = name, "a log cannot be written and ends");
            return;
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lines.lost = lost, log.name = name, "a log could not keep up");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    struct Output(Mutex<Sender<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_without_waiting_for_the_next() {
        let (sender, receiver) = channel();
        let log = LineWriter::start("test", Output(Mutex::new(sender))).unwrap();
        log.write("one\n".to_owned());
        assert_eq!(receiver.recv().unwrap(), b"one\n");
        log.write("two\n".to_owned());
        assert_eq!(receiver.recv().unwrap(), b"two\n");
    }
}
