//! An event as it lies in a queue: one line, with a sum in front by which a half-written or broken one is told.

use sha2::{Digest as _, Sha256};

use super::Event;

/// How many letters of the sum stand in front of a line.
const SUM: usize = 8;

/// The line of an event, with its end.
pub(super) fn line(event: &Event) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(event).inspect_err(|error| tracing::error!(%error, "an event cannot be written down")).ok()?;
    let mut line = sum(&json);
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    Some(line)
}

/// The event of a line, given without its end; `None`: it is broken.
pub(super) fn event(line: &[u8]) -> Option<Event> {
    let (stated, rest) = line.split_at_checked(SUM)?;
    let json = rest.strip_prefix(b" ")?;
    (sum(json) == stated).then(|| serde_json::from_slice(json).ok()).flatten()
}

fn sum(json: &[u8]) -> Vec<u8> {
    Sha256::digest(json).iter().take(SUM / 2).flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}
