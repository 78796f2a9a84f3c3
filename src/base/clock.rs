//! The clocks: monotonic for limits and timeouts, wall clock only for labels.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// Reads the monotonic clock (about 25 ns through the vDSO).
    #[must_use]
    pub fn now() -> Self {
        Self(std::time::Instant::now())
    }

    /// This point moved by `duration` into the future; saturates about a century ahead, so that a
    /// setting of any size is safe.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
        Self(self.0.checked_add(duration.min(FAR)).unwrap_or(self.0))
    }

    /// Time gone by since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// Time gone by since this point.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// The same point for the standard library and the timers of a shard.
    #[must_use]
    pub fn into_std(self) -> std::time::Instant {
        self.0
    }
}

/// Time since the Unix epoch by the wall clock; for labels and logs, never for limits.
#[must_use]
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
