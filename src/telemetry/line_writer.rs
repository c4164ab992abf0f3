//! Every log: finished lines on their way out.
//!
//! A thread of its own writes each, so that no request waits for a terminal or a pipe; lines that come faster than they can be
//! written are dropped and counted. Lines leave as they happen: the writer flushes whenever nothing more waits.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

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
        let (counter, unwritten) = (Arc::clone(&dropped), lost.clone());
        thread::Builder::new().name(name.to_owned()).spawn(move || drain(name, &waiting, (&counter, &unwritten), output))?;
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
        let mut message = Message::Mark { _waiting: mark };
        let until = Instant::now() + PATIENCE;
        // An output that nobody reads leaves no place for the mark either.
        while let Err(TrySendError::Full(refused)) = self.lines.try_send(message) {
            if Instant::now() >= until {
                return;
            }
            message = refused;
            thread::sleep(PATIENCE / 200);
        }
        // That the other end is dropped is the answer; nothing is ever sent.
        let _ = waiting.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// Of the application log, which hands over one whole line a write.
impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Self::write(self, String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn drain(name: &str, lines: &Receiver<Message>, (dropped, lost): (&AtomicU64, &IntCounter), output: impl Write) {
    let mut output = BufWriter::new(output);
    let mut is_failing = false;
    while let Ok(first) = lines.recv() {
        let mut marks = Vec::new();
        let written = std::iter::once(first).chain(lines.try_iter()).try_for_each(|message| match message {
            Message::Line(line) => output.write_all(line.as_bytes()).inspect_err(|_| lost.inc()),
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
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::warn!(lines.lost = missed, log.name = name, "a log could not keep up");
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

    /// As a pipe that nobody reads.
    struct Blocked(Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Until the test lets go.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_gives_an_output_up_that_nobody_reads() {
        let (let_go, blocked) = channel();
        let lost = counter();
        let log = LineWriter::start("test", Blocked(blocked), lost.clone()).unwrap();
        for _ in 0..3 * WAITING {
            log.write("line\n".to_owned());
        }
        assert!(lost.get() > 0);
        let began = Instant::now();
        log.flush();
        assert!(began.elapsed() < 5 * PATIENCE);
        drop(let_go);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lost = counter();
        let log = LineWriter::start("test", Full, lost.clone()).unwrap();
        for _ in 0..100 {
            log.write("x".repeat(1000) + "\n");
        }
        log.flush();
        assert!(lost.get() > 50, "{}", lost.get());
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
