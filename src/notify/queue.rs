//! The queue of one endpoint on disk: a directory of segments, each a file of lines ([`record`]), and how far they have
//! been delivered.
//!
//! Lines are only ever added at the end, by the [`Writer`]; the [`Reader`] goes after it and removes a segment that it is through
//! with. A start begins a new segment, so that nothing is written behind what a crash left half-written. How far events are
//! delivered is written down without waiting for the disk: after a loss of power some are delivered again. All of it blocks.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::{Event, record};

/// How long a segment gets before the next one is begun, in bytes.
const SEGMENT: u64 = 1024 * 1024;

/// The file that says how far events are delivered.
const CURSOR: &str = "delivered";

/// A place in the queue: a segment, and how many of its bytes lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    segment: u64,
    offset: u64,
}

/// What waits in a queue that has been opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// How many lines, broken ones included.
    pub(super) events: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// How many of the lines are broken.
    pub(super) broken: u64,
}

/// One line that has been read.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None`: the line is broken.
    pub(super) event: Option<Event>,
    /// Its length.
    pub(super) bytes: u64,
    after: Position,
}

/// Adds lines.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    file: Option<File>,
    /// Its name may be lost with the power still.
    is_new: bool,
    end: Position,
}

/// Reads lines, and remembers how far they are delivered.
#[derive(Debug)]
pub(super) struct Reader {
    directory: PathBuf,
    file: Option<File>,
    at: Position,
    cursor: File,
}

/// Opens the queue of an endpoint, making what is missing.
pub(super) fn open(directory: &Path) -> io::Result<(Writer, Reader, Found)> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let cursor = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(directory.join(CURSOR))?;
    let mut numbers = segments(directory)?;
    let at = delivered(&cursor)?.unwrap_or_default();
    for done in numbers.extract_if(.., |number| *number < at.segment) {
        fs::remove_file(path_of(directory, done))?;
    }
    let mut found = Found::default();
    for number in &numbers {
        let offset = if *number == at.segment { at.offset } else { 0 };
        found.add(File::open(path_of(directory, *number)).and_then(|file| rest(&file, offset, u64::MAX)));
    }
    let last = numbers.last().copied().unwrap_or_default().max(at.segment);
    let directory = directory.to_owned();
    let writer = Writer { directory: directory.clone(), file: None, is_new: false, end: Position { segment: last + 1, offset: 0 } };
    Ok((writer, Reader { directory, file: None, at, cursor }, found))
}

/// Removes the queues of all endpoints but these; the others that had undelivered events, each with their number.
pub(super) fn remove_others(directory: &Path, names: &[String]) -> Result<Vec<(String, u64)>, Error> {
    let failed = |source| Error::Queue { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?,
    };
    let kept: Vec<_> = names.iter().map(|name| directory_name(name)).collect();
    let mut removed = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_queue = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if kept.contains(&name) || !is_queue {
            continue;
        }
        let events = open(&entry.path()).map(|(_, _, found)| found.events).map_err(failed)?;
        fs::remove_dir_all(entry.path()).map_err(failed)?;
        removed.push((name, events));
    }
    Ok(removed)
}

/// The directory of an endpoint, which may have any name.
pub(super) fn directory_name(name: &str) -> String {
    let plain = |(at, byte): (usize, u8)| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0);
    let letter = |(at, byte)| if plain((at, byte)) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let text: String = name.bytes().enumerate().map(letter).collect();
    if text.is_empty() { "%".to_owned() } else { text }
}

impl Found {
    /// What cannot be read is as one broken line.
    fn add(&mut self, content: io::Result<Vec<u8>>) {
        let Ok(content) = content else {
            (self.events, self.broken) = (self.events + 1, self.broken + 1);
            return;
        };
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            self.events += 1;
            self.bytes += line.len() as u64;
            self.broken += u64::from(event_of(line).is_none());
        }
    }
}

impl Writer {
    /// Where the next line goes.
    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Adds lines, whole or not at all.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.end.offset >= SEGMENT {
            self.begin_segment();
        }
        let mut file: &File = match &self.file {
            Some(file) => file,
            None => {
                let path = path_of(&self.directory, self.end.segment);
                let made = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
                self.is_new = true;
                self.file.insert(made)
            }
        };
        if let Err(error) = file.write_all(lines) {
            // Where half of it stays, the reader steps over it, and nothing must follow in the same line.
            if file.set_len(self.end.offset).is_err() {
                self.begin_segment();
            }
            return Err(error);
        }
        self.end.offset += lines.len() as u64;
        Ok(())
    }

    /// Waits until everything that was added is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_data()?;
        if self.is_new {
            File::open(&self.directory)?.sync_all()?;
            self.is_new = false;
        }
        Ok(())
    }

    fn begin_segment(&mut self) {
        self.file = None;
        self.end = Position { segment: self.end.segment + 1, offset: 0 };
    }
}

impl Reader {
    /// The lines from where it stands, as many as one segment has; none when it stands at the end. To be called when the lines
    /// before have been delivered.
    pub(super) fn next(&mut self, end: Position) -> io::Result<Vec<Entry>> {
        while self.at < end {
            let limit = if self.at.segment == end.segment { end.offset } else { u64::MAX };
            let content = match self.content(limit) {
                Ok(content) => content,
                Err(error) => {
                    // It is not read again, since nothing tells when that would help.
                    self.step(end)?;
                    return Err(error);
                }
            };
            let entries = self.entries(&content);
            if !entries.is_empty() {
                return Ok(entries);
            }
            self.step(end)?;
        }
        Ok(Vec::new())
    }

    /// Writes down that a line, and all before it, are delivered.
    pub(super) fn delivered(&self, entry: &Entry) -> io::Result<()> {
        let Position { segment, offset } = entry.after;
        self.cursor.write_all_at(format!("{segment:020} {offset:020}\n").as_bytes(), 0)
    }

    fn entries(&mut self, content: &[u8]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let bytes = line.len() as u64;
            self.at.offset += bytes;
            entries.push(Entry { event: event_of(line), bytes, after: self.at });
        }
        entries
    }

    /// What the segment has from where it stands; nothing, where it is not there.
    fn content(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let from = self.at.offset;
        self.open_segment()?.map_or_else(|| Ok(Vec::new()), |file| rest(file, from, limit))
    }

    fn open_segment(&mut self) -> io::Result<Option<&File>> {
        if self.file.is_none() {
            self.file = match File::open(path_of(&self.directory, self.at.segment)) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                file => Some(file?),
            };
        }
        Ok(self.file.as_ref())
    }

    /// Goes to the next segment that is there, and removes the one that is done with.
    fn step(&mut self, end: Position) -> io::Result<()> {
        if self.at.segment == end.segment {
            self.at = end;
            return Ok(());
        }
        let later = segments(&self.directory)?.into_iter().find(|number| *number > self.at.segment);
        match fs::remove_file(path_of(&self.directory, self.at.segment)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = None;
        self.at = Position { segment: later.unwrap_or(end.segment).min(end.segment), offset: 0 };
        Ok(())
    }
}

/// The numbers of the segments that are there, sorted.
fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path_of(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{segment:020}.log"))
}

/// How far events are delivered; `None`: nothing is said, or what is said cannot be read.
fn delivered(cursor: &File) -> io::Result<Option<Position>> {
    let text = rest(cursor, 0, u64::MAX)?;
    let place = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n')?.split_once(' '));
    Ok(place.and_then(|(segment, offset)| Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })))
}

/// The bytes of a file from one place to another.
fn rest(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().min(to).saturating_sub(from);
    let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut content, from)?;
    Ok(content)
}

fn event_of(line: &[u8]) -> Option<Event> {
    record::event(line.strip_suffix(b"\n")?)
}
