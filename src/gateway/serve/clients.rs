//! The client connections of a shard, so that they can be closed from outside their tasks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use crate::base::Instant;
use crate::gateway::context::SharedDeadline;
use crate::shard::{Connection, ShutdownHandle};

/// How often connections are looked through for deadlines that have passed.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The open connections by number.
#[derive(Default)]
pub(crate) struct Clients {
    open: RefCell<HashMap<u64, (ShutdownHandle, SharedDeadline)>>,
    next: Cell<u64>,
}

impl Clients {
    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.borrow().len()
    }

    /// Adds a connection; gives its number, and the deadline that its task sets.
    pub(crate) fn add(&self, connection: &Connection) -> (u64, SharedDeadline) {
        let number = self.next.replace(self.next.get() + 1);
        let deadline = SharedDeadline::default();
        self.open.borrow_mut().insert(number, (connection.handle(), deadline.clone()));
        (number, deadline)
    }

    /// The connection has ended.
    pub(crate) fn remove(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
    }

    /// Closes the connections whose deadline has passed.
    pub(crate) fn close_overdue(&self, now: Instant) {
        for (handle, deadline) in self.open.borrow().values() {
            if deadline.has_passed(now) {
                handle.shutdown();
            }
        }
    }

    /// Closes all of them.
    pub(crate) fn close_all(&self) {
        self.open.borrow().values().for_each(|(handle, _)| handle.shutdown());
    }
}
