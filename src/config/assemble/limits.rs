//! The rules of `limits`.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use super::Rules;
use crate::auth::LoginLimits;
use crate::config::{ConnectionLimits, Timeouts, scalar};
use crate::http::{Pace, RateLimit, RateLimits};
use crate::registry::Reserve;

/// The largest manifest that every registry takes (distribution specification, "Pushing Manifests").
const MANIFEST: u64 = 4 * 1024 * 1024;

const USUAL_RESERVE: Reserve = Reserve::Percent(5);

impl Rules<'_> {
    pub(super) fn logins(&mut self) -> LoginLimits {
        let usual = LoginLimits::default();
        let RateLimit { period, burst } = self.rate("logins", (usual.period, usual.burst.get()));
        LoginLimits { period, burst, exempt: self.exempt() }
    }

    pub(super) fn rates(&mut self) -> RateLimits {
        RateLimits {
            reads: self.rate("reads", (Duration::from_micros(500), 20_000)),
            writes: self.rate("writes", (Duration::from_millis(5), 2_000)),
            exempt: self.exempt(),
        }
    }

    fn exempt(&mut self) -> Vec<IpNet> {
        self.networks("limits.exempt").unwrap_or_else(|| LoginLimits::default().exempt)
    }

    fn rate(&mut self, name: &str, usual: (Duration, u32)) -> RateLimit {
        let (rate, burst) = (format!("limits.{name}.rate"), format!("limits.{name}.burst"));
        let period = match self.settings.text(&rate).map(scalar::rate) {
            None => usual.0,
            Some(Some(period)) => period,
            Some(None) => {
                self.problem(&rate, "is not a rate; write one such as 10/m (s, m and h are second, minute and hour)");
                usual.0
            }
        };
        let number = self.settings.integer(&burst).map_or(Some(usual.1), |number| u32::try_from(number).ok());
        let burst = number.and_then(NonZeroU32::new).unwrap_or_else(|| {
            self.problem(&burst, "must be 1 or more");
            NonZeroU32::MIN
        });
        RateLimit { period, burst }
    }

    pub(super) fn connections(&mut self) -> ConnectionLimits {
        ConnectionLimits {
            total: self.number("limits.connections.total", 10_000),
            per_address: self.number("limits.connections.peraddress", 500),
            exempt: self.exempt(),
            timeouts: Timeouts {
                handshake: self.timeout("handshake", 5),
                header: self.timeout("header", 10),
                idle: self.timeout("idle", 60),
                stall: self.timeout("stall", 30),
            },
        }
    }

    pub(super) fn pace(&mut self) -> Pace {
        let min_rate = match self.settings.text("limits.minrate").map(scalar::byte_rate) {
            None => 1024,
            Some(Some(rate)) => rate,
            Some(None) => {
                self.problem("limits.minrate", "is not a rate of bytes; write one such as 1KiB/s, or 0 for none");
                0
            }
        };
        Pace { stall: self.timeout("stall", 30), min_rate }
    }

    pub(super) fn manifest_limit(&mut self) -> usize {
        let size = match self.settings.text("limits.manifestsize").map(scalar::size) {
            None => MANIFEST,
            Some(Some(size)) if size > 0 => size,
            Some(_) => {
                self.problem("limits.manifestsize", "is not a size; write one such as 4MiB");
                MANIFEST
            }
        };
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    pub(super) fn largest_blob(&mut self) -> Option<u64> {
        let size = self.settings.text("limits.blobsize").map(scalar::size)?;
        if size.is_none() {
            self.problem("limits.blobsize", "is not a size; write one such as 10GiB, or 0 for no limit");
        }
        size.filter(|size| *size > 0)
    }

    pub(super) fn reserve(&mut self) -> Reserve {
        let Some(text) = self.settings.text("limits.reserve") else { return USUAL_RESERVE };
        let percent = text.strip_suffix('%').map(|number| number.trim().parse::<u8>().ok().filter(|number| *number < 100));
        let read = percent.map_or_else(|| scalar::size(text).map(Reserve::Bytes), |percent| percent.map(Reserve::Percent));
        read.unwrap_or_else(|| {
            self.problem("limits.reserve", "is neither a share of the disk nor a size; write one such as 5%, 20GiB or 0");
            USUAL_RESERVE
        })
    }

    fn number(&mut self, key: &str, usual: usize) -> usize {
        let Some(number) = self.settings.integer(key) else { return usual };
        usize::try_from(number).ok().filter(|number| *number > 0).unwrap_or_else(|| {
            self.problem(key, "must be 1 or more");
            usual
        })
    }

    fn timeout(&mut self, name: &str, seconds: u64) -> Duration {
        let key = format!("limits.timeouts.{name}");
        let usual = Duration::from_secs(seconds);
        match self.settings.duration(&key) {
            Some(time) if time < Duration::from_secs(1) => {
                self.problem(&key, "must be 1s or more, or honest clients are cut off");
                usual
            }
            other => other.unwrap_or(usual),
        }
    }
}
