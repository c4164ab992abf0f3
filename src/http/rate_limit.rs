//! How many requests an identity may make: reads and writes apart, by identity first and by address for nobody.
//!
//! What an upload under way sends is not counted, so that none is ever cut; nor is a HEAD of a manifest, by which clients look
//! whether anything is new. Invariant: the buckets are bounded in number, and one that would be full again is forgotten.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use ipnet::IpNet;

use super::Error;
use crate::auth::{Caller, Identity, Source};
use crate::telemetry::{Endpoint, Limit};

/// `limits.reads` or `limits.writes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The time in which room for one more request comes back.
    pub period: Duration,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

/// `limits.reads`, `limits.writes` and `limits.exempt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Pulls and listings.
    pub reads: RateLimit,
    /// Uploads that begin, manifests, deletes.
    pub writes: RateLimit,
    /// Where nothing is counted.
    pub exempt: Vec<IpNet>,
}

/// The buckets of everybody.
pub(super) struct Limiter {
    reads: Buckets,
    writes: Buckets,
    exempt: Vec<IpNet>,
}

struct Buckets {
    limit: RateLimit,
    buckets: moka::sync::Cache<Key, Arc<Bucket>>,
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, StateInformationMiddleware>;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Identity(Identity),
    Address(IpAddr),
}

/// What is left to whom a request was counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) limit: RateLimit,
    pub(super) remaining: u32,
}

/// What a request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Free,
}

impl Limiter {
    pub(super) fn new(limits: &RateLimits) -> Self {
        Self { reads: Buckets::new(limits.reads), writes: Buckets::new(limits.writes), exempt: limits.exempt.clone() }
    }

    /// Whether it counts by these limits.
    pub(super) fn is_by(&self, limits: &RateLimits) -> bool {
        (self.reads.limit, self.writes.limit, &self.exempt) == (limits.reads, limits.writes, &limits.exempt)
    }

    /// Counts a request; what is left, or nothing where it was not counted.
    pub(super) fn admit(&self, caller: &Caller, source: Source, method: &Method, endpoint: Endpoint) -> Result<Option<Allowance>, Error> {
        let (buckets, of) = match Kind::of(method, endpoint) {
            Kind::Read => (&self.reads, Limit::Reads),
            Kind::Write => (&self.writes, Limit::Writes),
            Kind::Free => return Ok(None),
        };
        if source.is_in(&self.exempt) {
            return Ok(None);
        }
        let key = match caller.identity() {
            Identity::Anonymous => Key::Address(source.network()),
            identity => Key::Identity(identity.clone()),
        };
        buckets.take(key, of).map(Some)
    }
}

impl Buckets {
    fn new(limit: RateLimit) -> Self {
        let forgotten = limit.refill().clamp(SHORTEST_MEMORY, LONGEST_MEMORY);
        Self { limit, buckets: moka::sync::Cache::builder().max_capacity(BUCKETS).time_to_idle(forgotten).build() }
    }

    fn take(&self, key: Key, of: Limit) -> Result<Allowance, Error> {
        let limit = self.limit;
        let bucket = self.buckets.get_with(key, || {
            let quota = Quota::with_period(limit.period).unwrap_or_else(|| Quota::per_second(limit.burst));
            Arc::new(RateLimiter::direct_with_clock(quota.allow_burst(limit.burst), MonotonicClock).with_middleware())
        });
        match bucket.check() {
            Ok(state) => Ok(Allowance { limit, remaining: state.remaining_burst_capacity() }),
            Err(until) => Err(Error::RateLimited { wait: until.wait_time_from(MonotonicClock.now()), limit, of }),
        }
    }
}

impl RateLimit {
    /// How long an empty bucket takes to be full.
    pub(super) fn refill(self) -> Duration {
        self.period.saturating_mul(self.burst.get())
    }

    /// As Docker Hub writes it: how many, and in which time they come back.
    pub(super) fn text(self) -> String {
        format!("{};w={}", self.burst, self.refill().as_secs().max(1))
    }
}

impl Kind {
    fn of(method: &Method, endpoint: Endpoint) -> Self {
        match *method {
            Method::HEAD if endpoint == Endpoint::Manifest => Self::Free,
            _ if endpoint == Endpoint::BlobUploadChunk => Self::Free,
            Method::GET | Method::HEAD => Self::Read,
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => Self::Write,
            // Refused by every route.
            _ => Self::Free,
        }
    }
}

/// How many callers are told apart of each kind.
const BUCKETS: u64 = 100_000;
const SHORTEST_MEMORY: Duration = Duration::from_secs(1);
const LONGEST_MEMORY: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::endpoint::endpoint_of;

    #[test]
    fn an_upload_under_way_and_a_look_at_a_manifest_are_free() {
        let kind = |method: &str, path: &str| Kind::of(&method.parse().unwrap(), endpoint_of(path, "/"));
        for (method, path, expected) in [
            ("GET", "/v2/", Kind::Read),
            ("GET", "/v2/a/manifests/1", Kind::Read),
            ("HEAD", "/v2/a/manifests/1", Kind::Free),
            ("HEAD", "/v2/a/blobs/x", Kind::Read),
            ("POST", "/v2/a/blobs/uploads/", Kind::Write),
            ("POST", "/v2/a/blobs/uploads", Kind::Write),
            ("PATCH", "/v2/a/blobs/uploads/x", Kind::Free),
            ("PUT", "/v2/a/blobs/uploads/x", Kind::Free),
            ("GET", "/v2/a/blobs/uploads/x", Kind::Free),
            ("PUT", "/v2/a/manifests/1", Kind::Write),
            ("DELETE", "/v2/a/manifests/1", Kind::Write),
            ("OPTIONS", "/v2/", Kind::Free),
        ] {
            assert_eq!(kind(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_limit_reads_as_docker_hub_writes_it() {
        let limit = RateLimit { period: Duration::from_micros(500), burst: NonZeroU32::new(20_000).unwrap() };
        assert_eq!(limit.text(), "20000;w=10");
    }
}
