//! The clocks: monotonic for limits and timeouts, wall clock only for labels.
//!
//! A simulation may stop the monotonic clock of its thread and set it by hand.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

thread_local! {
    /// The stopped clock's time on this thread.
    static STOPPED_AT: Cell<Option<std::time::Instant>> = const { Cell::new(None) };
}

/// A point on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// Reads the monotonic clock (about 25 ns through the vDSO).
    #[must_use]
    pub fn now() -> Self {
        Self(STOPPED_AT.get().unwrap_or_else(std::time::Instant::now))
    }

    /// This instant moved into the future by `duration`; saturates about a century ahead, so a
    /// setting of any size is safe.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
        Self(self.0.checked_add(duration.min(FAR)).unwrap_or(self.0))
    }

    /// Time elapsed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// Time elapsed since this instant.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// This instant as the standard library and the shard's timers use it.
    #[must_use]
    pub fn into_std(self) -> std::time::Instant {
        self.0
    }
}

/// Stops the monotonic clock of this thread until dropped; the clock shows what it is set to.
#[derive(Debug)]
pub struct StoppedClock {
    /// Not `Send`: it belongs to its thread.
    _thread: PhantomData<*const ()>,
}

impl StoppedClock {
    /// Stops the clock now.
    #[must_use]
    pub fn stop() -> Self {
        STOPPED_AT.set(Some(std::time::Instant::now()));
        Self { _thread: PhantomData }
    }

    /// True if the clock of this thread is stopped.
    #[must_use]
    pub fn is_stopped() -> bool {
        STOPPED_AT.get().is_some()
    }

    /// Sets the clock; never backwards.
    pub fn set(&self, time: Instant) {
        STOPPED_AT.set(Some(time.max(Instant::now()).0));
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        STOPPED_AT.set(None);
    }
}

/// Time since the Unix epoch by the wall clock; for labels and logs, never for limits.
#[must_use]
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
