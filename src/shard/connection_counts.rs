//! Counts of a shard's provider connections, for its metrics.

use std::cell::Cell;
use std::rc::Rc;

/// Counts the connections of one shard to providers.
#[derive(Default)]
pub(super) struct ConnectionCounts {
    open: Cell<i64>,
    surplus: Cell<u64>,
}

impl ConnectionCounts {
    /// Open connections.
    pub(super) fn open_count(&self) -> i64 {
        self.open.get()
    }

    /// Connections closed because of unsolicited bytes.
    pub(super) fn surplus_count(&self) -> u64 {
        self.surplus.get()
    }
}

/// Counts a connection as open until it is dropped.
pub(super) struct OpenConnectionGuard(Rc<ConnectionCounts>);

impl OpenConnectionGuard {
    pub(super) fn new(counts: &Rc<ConnectionCounts>) -> Self {
        counts.open.set(counts.open.get() + 1);
        Self(Rc::clone(counts))
    }

    pub(super) fn count_surplus(&self) {
        self.0.surplus.set(self.0.surplus.get() + 1);
    }
}

impl Drop for OpenConnectionGuard {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}
