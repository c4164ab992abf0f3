//! The way of events into the queue of one endpoint: what it does not want, what finds no place, and who writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::courier::Courier;
use super::error::Error;
use super::queue::{self, Position, Writer};
use super::{Action, EndpointOptions};
use crate::blocking;
use crate::telemetry::{Lost, Metrics, NotificationSeries};

/// How many bytes wait on disk before pulls are not taken any more, and before nothing is.
const BOUNDS: (u64, u64) = (32 << 20, 64 << 20);

/// How many events wait to be written, and how many of their bytes before pulls are not taken any more.
const WAITING: (usize, u64) = (1024, 4 << 20);

/// How many KiB of events that somebody waits for are in memory; who comes later waits for room.
const ROOM: u32 = 8 << 10;

/// How many of them are written at once.
const AT_ONCE: usize = 256;

/// Takes the events of one endpoint in.
#[derive(Debug)]
pub(super) struct Endpoint {
    ignored_media_types: Vec<String>,
    ignored_actions: Vec<String>,
    lines: mpsc::Sender<Line>,
    room: Arc<Semaphore>,
    fill: Arc<Fill>,
}

/// How much of the queue is in use.
#[derive(Debug)]
pub(super) struct Fill {
    /// Bytes that wait to be written.
    waiting: AtomicU64,
    /// Bytes on disk that wait to be delivered.
    queued: AtomicU64,
    pub(super) series: NotificationSeries,
}

/// A line on its way to the disk.
#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    /// Who waits until it is there; nobody for a pull.
    done: Option<oneshot::Sender<()>>,
    /// Its share of what may wait for the disk, given back when it is there.
    _room: Option<OwnedSemaphorePermit>,
}

/// Writes the lines of one endpoint down.
#[derive(Debug)]
pub(super) struct Scribe {
    name: String,
    lines: mpsc::Receiver<Line>,
    writer: Writer,
    end: watch::Sender<Position>,
    fill: Arc<Fill>,
    is_failing: bool,
}

/// Opens an endpoint and its queue.
pub(super) async fn open(options: EndpointOptions, directory: &Path, metrics: &Arc<Metrics>) -> Result<(Endpoint, Courier), Error> {
    let path = directory.join(queue::directory_name(&options.name));
    let opened = blocking::run({
        let path = path.clone();
        move || queue::open(&path)
    });
    let (writer, reader, found) = opened.await.map_err(|source| Error::Queue { path, source })?;
    if found.broken > 0 {
        warn!(endpoint.name = %options.name, events.broken = found.broken, "events in the queue are broken, and are stepped over");
    }
    if found.events > 0 {
        info!(endpoint.name = %options.name, events.pending = found.events, "events of before are in the queue");
    }
    let series = metrics.notifications(&options.name);
    series.pending(found.events.cast_signed());
    let fill = Arc::new(Fill { waiting: AtomicU64::new(0), queued: AtomicU64::new(found.bytes), series });
    let (sender, lines) = mpsc::channel(WAITING.0);
    let (end, written) = watch::channel(writer.end());
    let endpoint = Endpoint {
        ignored_media_types: options.ignored_media_types.clone(),
        ignored_actions: options.ignored_actions.clone(),
        lines: sender,
        room: Arc::new(Semaphore::new(ROOM as usize)),
        fill: Arc::clone(&fill),
    };
    let scribe = Scribe { name: options.name.clone(), lines, writer, end, fill: Arc::clone(&fill), is_failing: false };
    Ok((endpoint, Courier::new(options, scribe, reader, written, fill).await?))
}

impl Endpoint {
    pub(super) fn wants(&self, action: Action, media_type: &str) -> bool {
        !self.ignored_actions.iter().any(|ignored| ignored == action.as_str())
            && !self.ignored_media_types.iter().any(|ignored| ignored == media_type)
    }

    /// Queues a line if there is room for it right now.
    pub(super) fn offer(&self, line: &[u8]) {
        let (fill, length) = (&self.fill, line.len() as u64);
        let waiting = fill.waiting.fetch_add(length, Ordering::Relaxed);
        let has_room = waiting + length <= WAITING.1 && fill.queued.load(Ordering::Relaxed) + waiting + length <= BOUNDS.0;
        if !(has_room && self.lines.try_send(Line { bytes: line.to_vec(), done: None, _room: None }).is_ok()) {
            fill.waiting.fetch_sub(length, Ordering::Relaxed);
            fill.series.lost(Lost::Full, 1);
        }
    }

    /// Queues a line; what comes when it is on disk, or has found no place.
    pub(super) async fn put(&self, line: Vec<u8>) -> Option<oneshot::Receiver<()>> {
        let (done, written) = oneshot::channel();
        let share = u32::try_from(line.len() / 1024 + 1).unwrap_or(ROOM).min(ROOM);
        let room = Arc::clone(&self.room).acquire_many_owned(share).await.ok()?;
        self.fill.waiting.fetch_add(line.len() as u64, Ordering::Relaxed);
        self.lines.send(Line { bytes: line, done: Some(done), _room: Some(room) }).await.ok()?;
        Some(written)
    }
}

impl Fill {
    /// An event is no longer in the queue.
    pub(super) fn leave(&self, bytes: u64) {
        let less = |queued: u64| Some(queued.saturating_sub(bytes));
        let _ = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.series.pending(-1);
    }
}

impl Scribe {
    /// Writes what comes until everything stops, and then what has come.
    pub(super) async fn write(mut self, stop: CancellationToken) {
        let mut lines = Vec::new();
        loop {
            let count = tokio::select! {
                count = self.lines.recv_many(&mut lines, AT_ONCE) => count,
                () = stop.cancelled(), if !self.lines.is_closed() => {
                    self.lines.close();
                    continue;
                }
            };
            if count == 0 {
                return;
            }
            self = self.put_down(std::mem::take(&mut lines)).await;
        }
    }

    /// One write and, where anybody waits, one wait for the disk, whatever the number of lines.
    async fn put_down(mut self, lines: Vec<Line>) -> Self {
        let bytes: u64 = lines.iter().map(|line| line.bytes.len() as u64).sum();
        self.fill.waiting.fetch_sub(bytes, Ordering::Relaxed);
        let room = BOUNDS.1.saturating_sub(self.fill.queued.load(Ordering::Relaxed));
        let fits = fitting(&lines, room);
        let (this, outcome) = blocking::run(move || {
            let content = lines[..fits].iter().flat_map(|line| line.bytes.iter().copied()).collect::<Vec<_>>();
            let appended = if content.is_empty() { Ok(0) } else { self.writer.append(&content).map(|()| content.len() as u64) };
            let is_awaited = lines.iter().any(|line| line.done.is_some());
            let synced = if is_awaited && appended.is_ok() { self.writer.sync() } else { Ok(()) };
            (self, (lines, appended, synced))
        })
        .await;
        self = this;
        let (lines, appended, synced) = outcome;
        self.fill.series.lost(Lost::Full, (lines.len() - fits) as u64);
        match &appended {
            Ok(bytes) => {
                self.fill.queued.fetch_add(*bytes, Ordering::Relaxed);
                self.fill.series.queued(fits as u64);
                self.end.send_replace(self.writer.end());
            }
            Err(_) => self.fill.series.lost(Lost::Unwritable, fits as u64),
        }
        self.say(appended.and(synced), fits < lines.len());
        for done in lines.into_iter().filter_map(|line| line.done) {
            // Whoever waited may have gone away.
            let _ = done.send(());
        }
        self
    }

    /// Says once that events are lost, and once that they are not any more.
    fn say(&mut self, outcome: std::io::Result<()>, is_full: bool) {
        let was_failing = std::mem::replace(&mut self.is_failing, is_full || outcome.is_err());
        match outcome {
            Err(error) if !was_failing => {
                error!(endpoint.name = %self.name, %error, "events cannot be written down and may be lost; pushes go on");
            }
            Ok(()) if is_full && !was_failing => {
                error!(endpoint.name = %self.name, "the queue of events is full, and new ones are lost; pushes go on");
            }
            Ok(()) if was_failing && !is_full => info!(endpoint.name = %self.name, "events are queued again"),
            _ => {}
        }
    }
}

/// How many of the lines fit into so many bytes, from the first on.
fn fitting(lines: &[Line], mut room: u64) -> usize {
    let lengths = lines.iter().map(|line| line.bytes.len() as u64);
    lengths.take_while(|length| room.checked_sub(*length).map(|left| room = left).is_some()).count()
}
