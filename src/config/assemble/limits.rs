//! The rules of `limits`.

use std::num::NonZeroU32;

use super::Rules;
use crate::auth::LoginLimits;
use crate::config::scalar;

impl Rules<'_> {
    pub(super) fn logins(&mut self) -> LoginLimits {
        let usual = LoginLimits::default();
        let period = match self.settings.text("limits.logins.rate").map(scalar::rate) {
            None => usual.period,
            Some(Some(period)) => period,
            Some(None) => {
                self.problem("limits.logins.rate", "is not a rate; write one such as 10/m (s, m and h are second, minute and hour)");
                usual.period
            }
        };
        let burst = match self.settings.integer("limits.logins.burst") {
            None => usual.burst,
            Some(number) => u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or_else(|| {
                self.problem("limits.logins.burst", "must be 1 or more");
                usual.burst
            }),
        };
        LoginLimits { period, burst, exempt: self.networks("limits.exempt").unwrap_or(usual.exempt) }
    }
}
