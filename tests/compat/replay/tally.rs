//! What was compared, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::exchange::{Difference, Exchange};
use super::rows;
use crate::stock::Version;

/// How many examples of a difference are shown.
const SHOWN: usize = 40;

/// The sum of a replay.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) requests: usize,
    hit: BTreeMap<&'static str, usize>,
    /// What each row covered, and how often. `REPLAY_SHOW` prints it.
    covered: BTreeMap<String, usize>,
    /// The requests of the sequence so far, and the outcomes.
    sequence: Vec<String>,
    /// What no row covers, or several do, with an example and how often.
    unmapped: BTreeMap<String, (usize, String)>,
}

impl Tally {
    /// Forgets what was sent before.
    pub(super) fn begin_sequence(&mut self) {
        self.sequence.clear();
    }

    pub(super) fn add(&mut self, exchange: Exchange) {
        self.requests += 1;
        let (theirs, ours) = exchange.outcomes();
        self.sequence.push(format!("{} {}: {theirs} | {ours}", exchange.sent.method, exchange.sent.target));
        for difference in exchange.differences() {
            let covering = rows::covering(&exchange, &difference);
            let kind = kind(&exchange, &difference);
            if let [id] = covering.as_slice() {
                *self.hit.entry(id).or_default() += 1;
                *self.covered.entry(format!("{id}: {kind}")).or_default() += 1;
                continue;
            }
            let example = || (0, format!("{}\n  {exchange}", self.sequence.join("\n  ")));
            let entry = self.unmapped.entry(format!("{kind} (rows {covering:?})")).or_insert_with(example);
            entry.0 += 1;
        }
    }

    /// Fails on what no row covers, and on rows that nothing hit.
    pub(super) fn check(&self, version: Version) {
        let mut report = String::new();
        let mut unmapped: Vec<_> = self.unmapped.iter().collect();
        unmapped.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (kind, (count, example)) in unmapped.iter().take(SHOWN) {
            report.push_str(&format!("{count} x {kind}\n  {example}\n"));
        }
        assert!(unmapped.is_empty(), "{} differences stand in no row, or in several:\n{report}", unmapped.len());
        let hit: BTreeSet<_> = self.hit.keys().copied().collect();
        let idle: Vec<_> = rows::expected(version).filter(|id| !hit.contains(id)).collect();
        assert!(idle.is_empty(), "nothing differs any more where {idle:?} say so: {self}");
    }
}

/// What differs, without where.
fn kind(exchange: &Exchange, difference: &Difference) -> String {
    let Difference { field, theirs, ours } = difference;
    format!("{:?} {:?} {field:?}: {theirs} | {ours}", exchange.sent.method, exchange.route)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests; rows hit: {:?}", self.requests, self.hit)?;
        let covered = self.covered.iter().filter(|_| std::env::var_os("REPLAY_SHOW").is_some());
        covered.into_iter().try_for_each(|(kind, count)| write!(f, "\n{count} x {kind}"))
    }
}
