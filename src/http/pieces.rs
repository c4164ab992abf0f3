//! The body of a blob's answer, piece by piece.
//!
//! Pieces start small and grow while the client keeps up, so that one that reads slowly holds little memory, and one that reads fast
//! costs few calls. Invariant: content that turns out shorter than announced ends in an error, so that nobody takes it for whole.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::range::Part;
use crate::registry::{Content, StorageError};

/// The length of the first pieces, in bytes.
const SMALLEST: u64 = 16 * 1024;

/// The length of the largest, in bytes: so that the cost of a call vanishes beside it.
const LARGEST: u64 = 256 * 1024;

/// How many pieces in a row must be taken promptly before they grow: more than the kernel takes for a client that reads nothing.
const ROW: u32 = 12;

/// Within what time a piece is taken promptly.
const PROMPT: Duration = Duration::from_millis(50);

/// The content ended before it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Truncated {
    #[error("the content is shorter than announced")]
    Short,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A part of some content, piece by piece.
pub(super) fn pieces(content: Content, part: Part) -> impl Stream<Item = Result<Bytes, Truncated>> {
    stream::try_unfold((content, part, Stride::new()), |(content, left, mut stride)| async move {
        if left.length == 0 {
            return Ok(None);
        }
        let wanted = left.length.min(stride.next(Instant::now()));
        let piece = content.read_at(left.offset, wanted).await.inspect_err(|error| {
            tracing::error!(%error, "a blob cannot be read to its end");
        })?;
        let count = piece.len() as u64;
        if count == 0 {
            tracing::error!(blob.missing = left.length, "a blob is shorter than it was when it was opened");
            return Err(Truncated::Short);
        }
        stride.handed_over(Instant::now());
        Ok(Some((piece, (content, Part { offset: left.offset + count, length: left.length - count }, stride))))
    })
}

/// How long the next piece is.
struct Stride {
    length: u64,
    in_a_row: u32,
    handed_over: Option<Instant>,
}

impl Stride {
    fn new() -> Self {
        Self { length: SMALLEST, in_a_row: 0, handed_over: None }
    }

    /// The length of a piece that is asked for now, when the one before it has been taken.
    fn next(&mut self, now: Instant) -> u64 {
        let Some(handed_over) = self.handed_over else { return self.length };
        if now.duration_since(handed_over) > PROMPT {
            (self.length, self.in_a_row) = ((self.length / 2).max(SMALLEST), 0);
        } else if self.length < LARGEST {
            self.in_a_row += 1;
            if self.in_a_row == ROW {
                (self.length, self.in_a_row) = (self.length * 2, 0);
            }
        }
        self.length
    }

    fn handed_over(&mut self, now: Instant) {
        self.handed_over = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of pieces that are each asked for so long after the one before.
    fn lengths(stride: &mut Stride, after: Duration, count: u32) -> Vec<u64> {
        let mut now = stride.handed_over.unwrap_or_else(Instant::now);
        let mut next = || {
            now += after;
            let length = stride.next(now);
            stride.handed_over(now);
            length
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn pieces_grow_while_a_client_keeps_up_and_shrink_when_it_does_not() {
        let mut stride = Stride::new();
        let quick = lengths(&mut stride, Duration::from_micros(100), 6 * ROW);
        assert_eq!((quick[0], quick[ROW as usize - 1]), (SMALLEST, SMALLEST));
        assert!(quick.is_sorted() && quick.last() == Some(&LARGEST), "{quick:?}");
        let slow = lengths(&mut stride, Duration::from_millis(200), 6);
        assert_eq!((slow[0], slow[5]), (LARGEST / 2, SMALLEST));
    }

    #[test]
    fn what_the_kernel_takes_for_a_slow_client_does_not_make_pieces_grow() {
        let mut stride = Stride::new();
        for _ in 0..100 {
            let burst = lengths(&mut stride, Duration::ZERO, ROW - 1);
            assert!(burst.iter().all(|length| *length == SMALLEST), "{burst:?}");
            lengths(&mut stride, Duration::from_secs(5), 1);
        }
    }
}
