//! What wrong passwords cost those who send them.
//!
//! Failures are counted per address, and per user and address, never per user alone: so nobody can lock a victim out. Each
//! failure of a pair delays its answer longer than the one before; when the failures of a pair or of an address use their allowance
//! up, their next passwords are not compared at all until some of it has come back. Whoever is remembered, or never wrong, pays nothing.
//!
//! Invariant: what is counted is bounded, and forgotten when it would be full again; beyond the bound the least used is forgotten
//! first, which lets an attacker with that many addresses go on (the hashes stay few at a time) and locks nobody out.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use ipnet::IpNet;

use super::identity::Source;

/// `limits.logins` and `limits.exempt`.
#[derive(Clone, Debug)]
pub struct LoginLimits {
    /// The time in which one wrong password is forgiven.
    pub period: Duration,
    /// How many may come at once.
    pub burst: NonZeroU32,
    /// Where passwords are not counted.
    pub exempt: Vec<IpNet>,
}

impl Default for LoginLimits {
    /// Ten a minute, twenty at once, and loopback is exempt.
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"].map(|text| text.parse().expect("the constants are networks"));
        Self { period: Duration::from_secs(6), burst: NonZeroU32::MIN.saturating_add(19), exempt: loopback.to_vec() }
    }
}

/// The counters.
pub(super) struct Defence<C: Clock = MonotonicClock> {
    limits: ArcSwap<LoginLimits>,
    clock: C,
    counters: moka::sync::Cache<Key, Arc<Counter<C>>>,
    /// How often passwords came from a network of late, whether or not there was time to compare them.
    tries: moka::sync::Cache<IpAddr, Arc<AtomicU32>>,
    /// Where a password was right within a day.
    familiar: moka::sync::Cache<IpAddr, ()>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Pair(IpAddr, [u8; 16]),
}

struct Counter<C: Clock> {
    limiter: Limiter<C>,
    closed_until: Mutex<Option<C::Instant>>,
}

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>;

impl Defence<MonotonicClock> {
    pub(super) fn new(limits: LoginLimits) -> Self {
        Self::with_clock(limits, MonotonicClock)
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> Defence<C>
where
    C::Instant: 'static,
{
    fn with_clock(limits: LoginLimits, clock: C) -> Self {
        // A counter that is left alone is full again long before, whatever the limits become meanwhile.
        let counters = moka::sync::Cache::builder().max_capacity(COUNTERS).time_to_idle(LONGEST_MEMORY).build();
        let tries = moka::sync::Cache::builder().max_capacity(COUNTERS).time_to_idle(RECENTLY).build();
        let familiar = moka::sync::Cache::builder().max_capacity(COUNTERS).time_to_live(LONGEST_MEMORY).build();
        Self { limits: ArcSwap::from_pointee(limits), clock, counters, tries, familiar }
    }

    /// How long passwords of this user from this address are not compared any more; `None`: they are.
    pub(super) fn closed_for(&self, source: Source, user: &str) -> Option<Duration> {
        if source.is_in(&self.limits.load().exempt) {
            return None;
        }
        let now = self.clock.now();
        let counters = keys(source, user).into_iter().filter_map(|key| self.counters.get(&key));
        counters.filter_map(|counter| counter.closed_for(now)).max()
    }

    /// Notes that a password from there is to be compared; its place in the queue. First those from where one was right before, then
    /// the others by how often they have tried of late.
    pub(super) fn enter(&self, source: Source) -> u32 {
        let network = source.network();
        if source.is_in(&self.limits.load().exempt) || self.familiar.contains_key(&network) {
            return 0;
        }
        1 + self.tries.get_with(network, Arc::default).fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that a password from there was right.
    pub(super) fn welcome(&self, source: Source) {
        let network = source.network();
        // Most often it is known, and looking costs less than writing.
        if !self.familiar.contains_key(&network) {
            self.familiar.insert(network, ());
        }
    }

    /// Counts a wrong password; how long its answer is to wait.
    pub(super) fn count(&self, source: Source, user: &str) -> Duration {
        if source.is_in(&self.limits.load().exempt) {
            return Duration::ZERO;
        }
        let limits = self.limits.load();
        let [address, pair] = keys(source, user).map(|key| self.counters.get_with(key, || Arc::new(self.counter(&limits))));
        address.count(&self.clock, limits.period);
        let left = pair.count(&self.clock, limits.period);
        delay_of(limits.burst.get() - left.min(limits.burst.get()))
    }

    /// Puts other limits in the place of the old ones. Who has been counted already is held to the old rate until it is forgotten.
    pub(super) fn set_limits(&self, limits: LoginLimits) {
        self.limits.store(Arc::new(limits));
    }

    fn counter(&self, limits: &LoginLimits) -> Counter<C> {
        // A period of no time at all is refused by the configuration; should it come, a burst is forgiven in an hour.
        let quota = Quota::with_period(limits.period).unwrap_or_else(|| Quota::per_hour(limits.burst));
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(limits.burst), self.clock.clone());
        Counter { limiter: limiter.with_middleware(), closed_until: Mutex::default() }
    }
}

impl<C: Clock> Counter<C> {
    fn closed_for(&self, now: C::Instant) -> Option<Duration> {
        use governor::clock::Reference as _;
        let until = (*self.closed_until.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(Duration::from(until.duration_since(now))).filter(|left| !left.is_zero())
    }

    /// Counts one failure; how many more are left. The last one closes until the next is forgiven.
    fn count(&self, clock: &C, period: Duration) -> u32 {
        let now = clock.now();
        let (left, wait) = match self.limiter.check() {
            Ok(state) => (state.remaining_burst_capacity(), period),
            Err(until) => (0, until.wait_time_from(now)),
        };
        if left == 0 {
            *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + wait.into());
        }
        left
    }
}

/// The counters of an attempt.
fn keys(source: Source, user: &str) -> [Key; 2] {
    let network = source.network();
    let mut name = [0; 16];
    name.copy_from_slice(&digest(&SHA256, user.as_bytes()).as_ref()[..16]);
    [Key::Address(network), Key::Pair(network, name)]
}

/// Nothing for the first failure, which is a slip; then doubling.
fn delay_of(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => FIRST_DELAY.saturating_mul(1 << (more - 2).min(16)).min(LONGEST_DELAY),
    }
}

/// How many addresses and pairs are counted: some 20 MiB if an attacker makes them all.
const COUNTERS: u64 = 100_000;
const RECENTLY: Duration = Duration::from_secs(60);
const LONGEST_MEMORY: Duration = Duration::from_secs(24 * 3600);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn defence() -> (Defence<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        clock.advance(Duration::from_secs(3600));
        (Defence::with_clock(LoginLimits::default(), clock.clone()), clock)
    }

    fn from(text: &str) -> Source {
        Source::direct(text.parse().unwrap())
    }

    #[test]
    fn an_address_that_fails_too_often_is_closed_and_opens_again() {
        let (defence, clock) = defence();
        for number in 0..20 {
            assert_eq!(defence.closed_for(from("192.0.2.1"), "a"), None, "{number}");
            defence.count(from("192.0.2.1"), &format!("user-{number}"));
        }
        assert_eq!(defence.closed_for(from("192.0.2.1"), "another"), Some(Duration::from_secs(6)));
        clock.advance(Duration::from_secs(6));
        assert_eq!(defence.closed_for(from("192.0.2.1"), "a"), None);
        defence.count(from("192.0.2.1"), "a");
        assert_eq!(defence.closed_for(from("192.0.2.1"), "a"), Some(Duration::from_secs(6)), "one try for each that is forgiven");
        clock.advance(Duration::from_secs(60));
        for _ in 0..10 {
            assert_eq!(defence.closed_for(from("192.0.2.1"), "a"), None);
            defence.count(from("192.0.2.1"), "a");
        }
        assert!(defence.closed_for(from("192.0.2.1"), "a").is_some());
    }

    #[test]
    fn who_was_right_before_goes_first_and_who_tries_often_last() {
        let (defence, _) = defence();
        let places = |text: &str| [(); 3].map(|()| defence.enter(from(text)));
        assert_eq!((places("192.0.2.1"), places("192.0.2.2"), places("127.0.0.1")), ([1, 2, 3], [1, 2, 3], [0, 0, 0]));
        defence.welcome(from("192.0.2.1"));
        assert_eq!((places("192.0.2.1"), places("192.0.2.2")), ([0, 0, 0], [4, 5, 6]));
    }

    #[test]
    fn nobody_locks_a_victim_out_from_elsewhere() {
        let (defence, _) = defence();
        for number in 0..1000 {
            defence.count(from(&format!("192.0.2.{}", number % 200)), "victim");
        }
        assert_eq!(defence.closed_for(from("198.51.100.1"), "victim"), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let (defence, _) = defence();
        for number in 0..20 {
            defence.count(from(&format!("2001:db8::{number:x}")), "a");
            defence.count(from("::ffff:192.0.2.1"), "a");
        }
        assert!(defence.closed_for(from("2001:db8::ffff:0:0:1"), "a").is_some());
        assert!(defence.closed_for(from("192.0.2.1"), "a").is_some());
        assert_eq!(defence.closed_for(from("2001:db8:0:1::1"), "a"), None);
    }

    #[test]
    fn delays_grow_with_the_failures_of_a_pair() {
        let (defence, clock) = defence();
        let delays: Vec<u128> = (0..8).map(|_| defence.count(from("192.0.2.1"), "a").as_millis()).collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(defence.count(from("192.0.2.1"), "b"), Duration::ZERO);
        clock.advance(Duration::from_secs(120));
        assert_eq!(defence.count(from("192.0.2.1"), "a"), Duration::ZERO);
    }

    #[test]
    fn loopback_is_exempt_unless_it_speaks_for_a_stranger() {
        let (defence, _) = defence();
        let stranger = Source { relay: super::super::identity::Relay::Unclear, ..from("127.0.0.1") };
        for _ in 0..30 {
            assert_eq!(defence.count(from("127.0.0.1"), "a"), Duration::ZERO);
            defence.count(stranger, "a");
        }
        assert_eq!(defence.closed_for(from("127.0.0.1"), "a"), None);
        assert!(defence.closed_for(stranger, "a").is_some());
    }
}
