//! What was compared, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::exchange::Exchange;
use super::rows;
use crate::stock::Version;

/// How many examples of a difference are shown.
const SHOWN: usize = 40;

/// The sum of a replay.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) requests: usize,
    hit: BTreeMap<&'static str, usize>,
    /// What no row covers, or several do, with an example and how often.
    unmapped: BTreeMap<String, (usize, String)>,
}

impl Tally {
    pub(super) fn add(&mut self, exchange: Exchange) {
        self.requests += 1;
        for difference in exchange.differences() {
            let covering = rows::covering(&exchange, &difference);
            if let [id] = covering.as_slice() {
                *self.hit.entry(id).or_default() += 1;
                continue;
            }
            let kind = format!(
                "{:?} {:?}: {} | {} (rows {covering:?}) {}",
                exchange.route,
                difference.field,
                difference.theirs,
                difference.ours,
                if exchange.sent.method == "HEAD" { "HEAD" } else { "" }
            );
            let entry = self.unmapped.entry(kind).or_insert_with(|| (0, exchange.to_string()));
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

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests; rows hit: {:?}", self.requests, self.hit)
    }
}
