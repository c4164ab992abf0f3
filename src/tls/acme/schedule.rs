//! When a certificate is renewed, and when it is tried again after a failure. Knows no clock: every function takes `now`.
//!
//! `chance` is a number from 0 to 1, so that many registries that were started together do not ask together.

use std::time::{Duration, SystemTime};

use super::super::leaf::Leaf;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(60);
/// The longest wait while what is served is still good.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// The longest while it is not: an authority counts failures by the hour.
const LONGEST_WITHOUT: Duration = Duration::from_secs(3600);
/// How old a certificate must be before advice can end it.
const SHORTEST_LIFE: Duration = Duration::from_secs(6 * 3600);
/// The longest that a server can have us wait.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// When to renew: after two thirds of its life, or a little earlier.
pub(super) fn renewal(leaf: &Leaf, chance: f64) -> SystemTime {
    leaf.not_before + leaf.life() * 2 / 3 - leaf.life().mul_f64(chance / 20.0)
}

/// When to renew what the authority advises on (RFC 9773, section 4.2): somewhere in its window, but not so late that a failure
/// could not be made up for, and not so early that a server which always says `at once` is asked for one certificate after another.
pub(super) fn advised(leaf: &Leaf, start: SystemTime, end: SystemTime, chance: f64) -> SystemTime {
    let window = end.duration_since(start).unwrap_or_default();
    let earliest = leaf.not_before + SHORTEST_LIFE.min(leaf.life() / 10);
    (start + window.mul_f64(chance)).min(leaf.not_after - leaf.life() / 10).max(earliest)
}

/// How long to wait after so many failures in a row. What is still good shortens the wait as its end comes near; what the server
/// asks for lengthens it.
pub(super) fn retry(failures: u32, served: Option<&Leaf>, asked: Option<SystemTime>, chance: f64, now: SystemTime) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let room = served.and_then(|leaf| Some((leaf, leaf.not_after.duration_since(now).ok()?)));
    let longest = match room {
        Some((leaf, left)) => LONGEST.min(left / 4).max(FIRST.min(leaf.life() / 20)),
        None => LONGEST_WITHOUT,
    };
    let wait = doubled.min(longest).mul_f64(1.0 - chance / 4.0);
    let asked = asked.and_then(|until| until.duration_since(now).ok()).unwrap_or_default().min(LONGEST_ASKED);
    wait.max(asked)
}

/// Whether a failure is still nobody's business but ours: more than half of the time that was left for it is there.
pub(super) fn is_early(leaf: &Leaf, now: SystemTime) -> bool {
    leaf.not_after.duration_since(now).is_ok_and(|left| left > leaf.life() / 6)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn leaf(life: Duration) -> Leaf {
        let not_before = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        Leaf { not_before, not_after: not_before + life, names: BTreeSet::new(), identifier: None }
    }

    #[test]
    fn every_certificate_is_renewed_with_a_third_of_its_life_left() {
        for life in [90 * DAY, 6 * DAY, 30 * Duration::from_secs(1)] {
            let leaf = leaf(life);
            assert_eq!(renewal(&leaf, 0.0), leaf.not_before + life * 2 / 3);
            assert_eq!(renewal(&leaf, 1.0), leaf.not_before + life * 2 / 3 - life / 20);
        }
    }

    #[test]
    fn advice_is_taken_within_its_window_and_never_to_the_last_moment() {
        let leaf = leaf(90 * DAY);
        let day = |number: u32| leaf.not_before + number * DAY;
        assert_eq!(advised(&leaf, day(10), day(20), 0.0), day(10));
        assert_eq!(advised(&leaf, day(10), day(20), 0.5), day(15));
        assert_eq!(advised(&leaf, day(10), day(20), 1.0), day(20));
        assert_eq!(advised(&leaf, day(200), day(300), 0.5), day(81), "advice to let it run out");
        assert_eq!(advised(&leaf, SystemTime::UNIX_EPOCH, day(0), 0.5), day(0) + 6 * HOUR, "advice to end it at once");
        assert_eq!(advised(&leaf, day(20), day(10), 0.5), day(20), "a window that ends before it begins");
    }

    #[test]
    fn failures_in_a_row_wait_twice_as_long_each_and_hours_at_most() {
        let leaf = leaf(90 * DAY);
        let now = leaf.not_before + 60 * DAY;
        let minutes: Vec<u64> = (1..12).map(|failures| retry(failures, Some(&leaf), None, 0.0, now).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert_eq!(retry(u32::MAX, Some(&leaf), None, 0.0, now), LONGEST);
        assert_eq!(retry(3, Some(&leaf), None, 1.0, now), Duration::from_secs(180));
    }

    #[test]
    fn the_nearer_the_end_the_shorter_the_wait_but_no_server_is_hammered() {
        let leaf = leaf(90 * DAY);
        assert_eq!(retry(20, Some(&leaf), None, 0.0, leaf.not_after - 8 * HOUR), 2 * HOUR);
        assert_eq!(retry(20, Some(&leaf), None, 0.0, leaf.not_after - Duration::from_secs(40)), FIRST);
        assert_eq!(retry(20, Some(&leaf), None, 0.0, leaf.not_after + DAY), LONGEST_WITHOUT, "what has run out is as good as none");
        assert_eq!(retry(20, None, None, 0.0, leaf.not_after), LONGEST_WITHOUT);
    }

    #[test]
    fn a_very_short_life_leaves_room_for_several_attempts() {
        let leaf = leaf(Duration::from_secs(60));
        let waits: Vec<u64> = [40, 50, 58]
            .map(|age| leaf.not_before + Duration::from_secs(age))
            .into_iter()
            .map(|now| retry(1, Some(&leaf), None, 0.0, now).as_millis() as u64)
            .collect();
        assert_eq!(waits, [5000, 3000, 3000]);
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_it_within_reason() {
        let leaf = leaf(90 * DAY);
        let now = leaf.not_before + 60 * DAY;
        assert_eq!(retry(1, Some(&leaf), Some(now + 3 * HOUR), 0.0, now), 3 * HOUR);
        assert_eq!(retry(1, Some(&leaf), Some(now + 300 * DAY), 0.0, now), DAY);
        assert_eq!(retry(1, Some(&leaf), Some(now - HOUR), 0.0, now), FIRST);
    }

    #[test]
    fn a_failure_becomes_serious_when_half_of_the_room_is_gone() {
        let leaf = leaf(90 * DAY);
        assert!(is_early(&leaf, leaf.not_before + 61 * DAY));
        assert!(!is_early(&leaf, leaf.not_before + 76 * DAY));
        assert!(!is_early(&leaf, leaf.not_after + DAY));
    }
}
