//! Times in pairs, and whether one side of them is longer.

use std::fmt;

/// Pairs of times, in microseconds.
#[derive(Default)]
pub(crate) struct Pairs(Vec<[f64; 2]>);

/// A z beyond this comes by chance once in a thousand times.
const BEYOND_CHANCE: f64 = 3.29;

impl Pairs {
    pub(crate) fn push(&mut self, times: [f64; 2]) {
        self.0.push(times);
    }

    fn median(&self, of: impl Fn(&[f64; 2]) -> f64) -> f64 {
        let mut sorted: Vec<f64> = self.0.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The sign test: the share of pairs whose first time is the longer one, and how far from a half it is, in standard deviations.
    fn signs(&self) -> (f64, f64) {
        let differing = self.0.iter().filter(|[first, second]| first != second).count() as f64;
        let longer = self.0.iter().filter(|[first, second]| first > second).count() as f64;
        (longer / differing, (2.0 * longer - differing) / differing.sqrt())
    }
}

/// The columns of a table.
impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (share, z) = self.signs();
        let verdict = if z.abs() < BEYOND_CHANCE { "no difference found" } else { "DIFFERENT" };
        let (first, second) = (self.median(|pair| pair[0]), self.median(|pair| pair[1]));
        let difference = self.median(|pair| pair[0] - pair[1]);
        write!(f, "{first:.1}, {second:.1} | {difference:+.2} | {:.1} % | {z:+.2} | {verdict}", share * 100.0)
    }
}
