//! Shared by the pools of all shards: whether a provider has sent unsolicited bytes.
//!
//! A provider that has done so once may do so during a request, when such bytes cannot be
//! distinguished from the response. So for some time no connection to it is reused, on any shard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::Instant;

/// Duration of the first time.
const FIRST: Duration = Duration::from_secs(60);

/// Factor of each further time, up to [`LONGEST`].
const GROWTH: u32 = 10;
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Whether connections may be kept. Shards read it without a lock.
#[derive(Debug)]
pub struct Distrust {
    epoch: Instant,
    /// Milliseconds since the epoch; 0: never.
    until_ms: AtomicU64,
    /// Duration of the next time, in milliseconds.
    next_ms: AtomicU64,
}

impl Default for Distrust {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            until_ms: AtomicU64::new(0),
            next_ms: AtomicU64::new(milliseconds(FIRST)),
        }
    }
}

impl Distrust {
    /// True while no connection may be kept.
    #[must_use]
    pub fn is_on(&self, now: Instant) -> bool {
        let until = self.until_ms.load(Ordering::Relaxed);
        until > 0 && milliseconds(now.since(self.epoch)) < until
    }

    /// Records unsolicited bytes.
    pub fn begin(&self, now: Instant) {
        if self.is_on(now) {
            return;
        }
        let grow = |lasts: u64| Some((lasts * u64::from(GROWTH)).min(milliseconds(LONGEST)));
        let lasts = self.next_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        let until = milliseconds(now.since(self.epoch)) + lasts.unwrap_or_default();
        self.until_ms.fetch_max(until, Ordering::Relaxed);
    }
}

/// Two instants are at most a century apart.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distrust_grows_each_time() {
        let distrust = Distrust::default();
        let mut now = Instant::now();
        assert!(!distrust.is_on(now));
        for expected in [60, 600, 6_000, 60_000, 86_400, 86_400] {
            distrust.begin(now);
            distrust.begin(now.after(Duration::from_secs(1)));
            assert!(distrust.is_on(now.after(Duration::from_secs(expected - 1))));
            now = now.after(Duration::from_secs(expected + 1));
            assert!(!distrust.is_on(now));
        }
    }
}
