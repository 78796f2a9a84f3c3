//! What a run has done so far, counted by all its threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts that can be read while the run goes on; warm-up included. Relaxed: they order nothing.
#[derive(Default)]
pub struct Progress {
    succeeded: AtomicU64,
    completed: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
}

/// A reading of [`Progress`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Good answers.
    pub succeeded: u64,
    /// Answers and failures.
    pub completed: u64,
    /// Events of streams.
    pub events: u64,
    /// Bytes received, heads included.
    pub bytes: u64,
}

impl Progress {
    pub fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn add_events(&self, events: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
    }

    pub fn add_outcome(&self, succeeded: bool) {
        self.succeeded.fetch_add(succeeded.into(), Ordering::Relaxed);
        self.completed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            succeeded: get(&self.succeeded),
            completed: get(&self.completed),
            events: get(&self.events),
            bytes: get(&self.bytes),
        }
    }
}
