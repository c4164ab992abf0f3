//! The access log and the audit log: finished lines on their way out.
//!
//! A thread of its own writes each, so that no request waits for a terminal or a pipe; lines that come faster than they can be
//! written are dropped and counted. Lines leave as they happen: the writer flushes whenever nothing more waits.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

/// How many lines may wait.
const WAITING: usize = 8192;

/// How long a stop waits for an output that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where requests leave their lines.
#[derive(Clone, Debug)]
pub struct LineWriter {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// All that ever were.
    lost: IntCounter,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Everything before this is to be written; whoever waits for it is told by the drop.
    Mark {
        _waiting: std::sync::mpsc::Sender<()>,
    },
}

impl LineWriter {
    /// Starts the thread, named for what it writes, that writes to an output; lost lines are counted. It ends when the last writer is dropped, or nobody reads
    /// its output any more.
    pub fn start(name: &'static str, output: impl Write + Send + 'static, lost: IntCounter) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::Builder::new().name(name.to_owned()).spawn(move || drain(name, &waiting, &counter, output))?;
        Ok(Self { lines, dropped, lost })
    }

    /// Leaves one line, which ends in a newline.
    pub fn write(&self, line: String) {
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.lost.inc();
        }
    }

    /// Waits until what was left so far is written, but not for long. Blocks.
    pub fn flush(&self) {
        let (mark, waiting) = channel();
        if self.lines.send(Message::Mark { _waiting: mark }).is_ok() {
            // That the other end is dropped is the answer; nothing is ever sent.
            let _ = waiting.recv_timeout(PATIENCE);
        }
    }
}

fn drain(name: &str, lines: &Receiver<Message>, dropped: &AtomicU64, output: impl Write) {
    let mut output = BufWriter::new(output);
    let mut is_failing = false;
    while let Ok(first) = lines.recv() {
        let mut marks = Vec::new();
        let written = std::iter::once(first).chain(lines.try_iter()).try_for_each(|message| match message {
            Message::Line(line) => output.write_all(line.as_bytes()),
            mark @ Message::Mark { .. } => {
                marks.push(mark);
                Ok(())
            }
        });
        match written.and_then(|()| output.flush()) {
            Ok(()) => is_failing = false,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                tracing::error!(%error, log.name = name, "nobody reads a log any more, and it ends");
                return;
            }
            // A full disk gets room again. Told once, not with each line.
            Err(error) if !is_failing => {
                tracing::error!(%error, log.name = name, "a log cannot be written; it goes on when it can, without some of its lines");
                is_failing = true;
            }
            Err(_) => {}
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
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lost").unwrap()
    }

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
        let log = LineWriter::start("test", Output(Mutex::new(sender)), counter()).unwrap();
        log.write("one\n".to_owned());
        assert_eq!(receiver.recv().unwrap(), b"one\n");
        log.write("two\n".to_owned());
        assert_eq!(receiver.recv().unwrap(), b"two\n");
    }

    #[test]
    fn a_flush_waits_for_what_was_left_before() {
        let (sender, receiver) = channel();
        let log = LineWriter::start("test", Output(Mutex::new(sender)), counter()).unwrap();
        for number in 0..1000 {
            log.write(format!("{number}\n"));
        }
        log.flush();
        let written: usize = receiver.try_iter().map(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count()).sum();
        assert_eq!(written, 1000);
    }

    /// As a disk that is full until somebody makes room.
    struct Disk {
        is_full: Arc<AtomicBool>,
        refused: Sender<()>,
        output: Output,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_full.load(Ordering::SeqCst) {
                self.refused.send(()).ok();
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.output.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_ends_no_log() {
        let ((sender, receiver), (refused, refusals)) = (channel(), channel());
        let is_full = Arc::new(AtomicBool::new(true));
        let disk = Disk { is_full: Arc::clone(&is_full), refused, output: Output(Mutex::new(sender)) };
        let log = LineWriter::start("test", disk, counter()).unwrap();
        log.write("one\n".to_owned());
        refusals.recv().unwrap();
        log.write("two\n".to_owned());
        refusals.recv().unwrap();
        is_full.store(false, Ordering::SeqCst);
        log.write("three\n".to_owned());
        let mut written = Vec::new();
        while !written.ends_with(b"three\n") {
            written.extend(receiver.recv().expect("the log goes on"));
        }
        assert_eq!(written, b"one\ntwo\nthree\n");
    }
}
