//! Counts of what the mock has received and answered.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the mock has seen since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Connections open now, the one that reads them included.
    pub connections_open: u64,
    /// Requests whose head arrived.
    pub requests_started: u64,
    /// Requests dealt with to the end, intended faults included.
    pub requests_finished: u64,
    /// Requests whose client left before the end of the answer.
    pub requests_aborted: u64,
    /// Bytes received, heads included; after decryption with TLS.
    pub bytes_in: u64,
}

/// Counters of all threads. Relaxed: they are statistics and order nothing.
#[derive(Default)]
pub struct Counters {
    pub connections_open: AtomicU64,
    pub requests_started: AtomicU64,
    pub requests_finished: AtomicU64,
    pub requests_aborted: AtomicU64,
    pub bytes_in: AtomicU64,
}

impl Counters {
    pub fn read(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections_open: get(&self.connections_open),
            requests_started: get(&self.requests_started),
            requests_finished: get(&self.requests_finished),
            requests_aborted: get(&self.requests_aborted),
            bytes_in: get(&self.bytes_in),
        }
    }
}
