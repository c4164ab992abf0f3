//! Room for uploads: how large a blob may be, and how much of the disk stays free.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Error, Registry};
use crate::storage::Space;

/// `limits.reserve`: below this much free space no upload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// A share of the disk, in hundredths, and at most 1 GiB.
    Percent(u8),
    /// So many bytes; 0: nothing is kept free.
    Bytes(u64),
}

/// What the last look at the disk found.
#[derive(Debug, Default)]
pub(super) struct LastLook(Mutex<Option<(Instant, Space)>>);

impl Reserve {
    fn of(self, space: Space) -> u64 {
        match self {
            Self::Percent(percent) => (space.total / 100 * u64::from(percent)).min(MOST),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Registry {
    /// Refuses where the disk is so full that no upload may begin. A store that has no end is never full.
    pub(super) async fn ensure_room(&self) -> Result<(), Error> {
        let reserve = self.options.load().reserve;
        if reserve == Reserve::Bytes(0) {
            return Ok(());
        }
        let Some(space) = self.space().await? else { return Ok(()) };
        let reserve = reserve.of(space);
        if space.free < reserve { Err(Error::DiskReserved { free: space.free, reserve }) } else { Ok(()) }
    }

    /// The space of the store, by a look that is a second old at most; `None` where it has no end.
    pub async fn space(&self) -> Result<Option<Space>, Error> {
        let lock = || self.last_look.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().filter(|(when, _)| when.elapsed() < FRESH);
        if let Some((_, space)) = known {
            return Ok(Some(space));
        }
        let found = self.storage.space().await?;
        *lock() = found.map(|space| (Instant::now(), space));
        Ok(found)
    }
}

const MOST: u64 = 1 << 30;
const FRESH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_large_disk_is_a_gibibyte_at_most() {
        let of = |total| Reserve::Percent(5).of(Space { total, free: 0 });
        assert_eq!((of(10 << 30), of(100 << 30)), ((10 << 30) / 100 * 5, 1 << 30));
        assert_eq!(Reserve::Bytes(7).of(Space { total: 1, free: 0 }), 7);
    }
}
