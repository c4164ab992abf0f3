//! How many connections there may be.
//!
//! The limits come with each taking, so that a reload changes them for the connections to come.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;

use crate::config::ConnectionLimits;

/// The connections there are, in all and from one address.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    taken: Arc<Mutex<Taken>>,
    open: IntGauge,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    taken: Arc<Mutex<Taken>>,
    open: IntGauge,
    address: Option<IpAddr>,
}

impl Seats {
    /// All seats are free. The gauge follows.
    pub(super) fn new(open: IntGauge) -> Self {
        Self { taken: Arc::default(), open }
    }

    /// Takes a seat for a connection from an address, if one is free. A peer without an address counts in all only.
    pub(super) fn take(&self, limits: &ConnectionLimits, address: Option<IpAddr>) -> Option<Seat> {
        let address = address.map(|address| address.to_canonical());
        // Behind a proxy stands everybody.
        let address = address.filter(|address| !limits.exempt.iter().any(|network| network.contains(address))).map(network_of);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= limits.total {
            return None;
        }
        if let Some(address) = address {
            let count = taken.by_address.entry(address).or_default();
            if *count >= limits.per_address {
                return None;
            }
            *count += 1;
        }
        taken.total += 1;
        self.open.inc();
        Some(Seat { taken: Arc::clone(&self.taken), open: self.open.clone(), address })
    }
}

/// What counts as one: of IPv6 the 64 bits that a host gets for itself.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        self.open.dec();
        if let Some(address) = self.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Timeouts;
    use crate::telemetry::Metrics;

    /// A seat that nobody competes for.
    pub(in crate::server) fn seat() -> Seat {
        Seats::new(Metrics::new("test").connections().clone()).take(&limits(1, 1, &[]), None).unwrap()
    }

    fn limits(total: usize, per_address: usize, exempt: &[&str]) -> ConnectionLimits {
        let time = Duration::from_secs(30);
        let timeouts = Timeouts { handshake: time, header: time, idle: time, stall: time };
        ConnectionLimits { total, per_address, exempt: exempt.iter().map(|text| text.parse().unwrap()).collect(), timeouts }
    }

    #[test]
    fn seats_are_counted_in_all_and_per_address_and_given_back() {
        let seats = Seats::new(Metrics::new("test").connections().clone());
        let limits = limits(3, 2, &["192.0.2.8/30"]);
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = seats.take(&limits, Some(one)).unwrap();
        let second = seats.take(&limits, Some("::ffff:192.0.2.1".parse().unwrap())).unwrap();
        assert!(seats.take(&limits, Some(one)).is_none());
        let third = seats.take(&limits, Some(other)).unwrap();
        assert!(seats.take(&limits, None).is_none());
        drop(third);
        let exempt = ["192.0.2.8", "192.0.2.8", "192.0.2.8"].map(|text| seats.take(&limits, Some(text.parse().unwrap())));
        assert_eq!(exempt.map(|seat| seat.is_some()), [true, false, false], "who is exempt counts in all");
        drop((first, second));
        let of_one_host = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|text| seats.take(&limits, Some(text.parse().unwrap())));
        assert_eq!(of_one_host.each_ref().map(Option::is_some), [true, true, false], "the last 64 bits are a host's own");
        drop(of_one_host);
        assert_eq!(seats.taken.lock().unwrap().total, 0);
        assert!(seats.taken.lock().unwrap().by_address.is_empty());
        assert!(seats.take(&limits, Some(one)).is_some());
    }
}
