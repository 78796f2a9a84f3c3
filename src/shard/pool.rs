//! Idle connections to one endpoint, kept by one shard: last in, first out.
//!
//! The newest connection is the likeliest to be alive and warm; the oldest age out. Each idle
//! connection keeps a read in flight, which is the next answer's read and meanwhile tells whether
//! the provider has closed or sent bytes nobody asked for: such a connection is never used again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::dial::{DialError, Dialer, Endpoint};
use super::stream::Connection;
use crate::base::Instant;

/// Bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle connections kept, at most.
    pub idle_max: usize,
    /// How long one may be idle.
    pub idle_timeout: Duration,
    /// How old one may become.
    pub age_max: Duration,
}

/// What a pool did, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolEvent {
    /// An idle connection was taken.
    Reused,
    /// An idle connection was thrown away: closed by the peer, surplus bytes, or too old.
    Discarded,
}

/// A connection and when it was made.
pub struct Pooled {
    /// The connection.
    pub connection: Connection,
    /// True if it has served a call before: only then may a failed call be repeated silently.
    pub reused: bool,
    made: Instant,
    open: Open,
}

/// Counts a connection as open for as long as it lives.
struct Open(Rc<Cell<i64>>);

impl Open {
    fn new(count: &Rc<Cell<i64>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

struct Idle {
    connection: Connection,
    made: Instant,
    since: Instant,
    open: Open,
}

/// The idle connections of one shard to one endpoint.
pub struct Pool {
    endpoint: Endpoint,
    limits: PoolLimits,
    idle: RefCell<Vec<Idle>>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(endpoint: Endpoint, limits: PoolLimits) -> Self {
        Self { endpoint, limits, idle: RefCell::new(Vec::new()) }
    }

    /// How many are idle.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle.borrow().len()
    }

    /// The newest usable idle connection.
    pub fn take(&self, mut on_event: impl FnMut(PoolEvent)) -> Option<Pooled> {
        let now = Instant::now();
        loop {
            let mut candidate = self.idle.borrow_mut().pop()?;
            if self.is_usable(&mut candidate, now) {
                on_event(PoolEvent::Reused);
                let Idle { connection, made, open, .. } = candidate;
                return Some(Pooled { connection, reused: true, made, open });
            }
            on_event(PoolEvent::Discarded);
        }
    }

    /// Makes a new connection.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn connect(&self, dialer: &Dialer) -> Result<Pooled, DialError> {
        let connection = dialer.connect(&self.endpoint).await?;
        let open = Open::new(dialer.open());
        Ok(Pooled { connection, reused: false, made: Instant::now(), open })
    }

    /// Takes in a connection that was made elsewhere: one in memory, for simulations.
    pub fn adopt(&self, connection: Connection, dialer: &Dialer) {
        let open = Open::new(dialer.open());
        self.put_back(Pooled { connection, reused: false, made: Instant::now(), open });
    }

    /// Keeps a connection whose last answer was read to its end, unless it is dirty, old, or one
    /// too many: then it is closed.
    pub fn put_back(&self, pooled: Pooled) {
        let now = Instant::now();
        let Pooled { mut connection, made, open, .. } = pooled;
        let surplus = !connection.reader.bytes().is_empty();
        let mut idle = self.idle.borrow_mut();
        if surplus || idle.len() >= self.limits.idle_max || now.since(made) >= self.limits.age_max {
            return;
        }
        connection.reader.shrink();
        connection.reader.watch();
        idle.push(Idle { connection, made, since: now, open });
    }

    /// Drops what has aged out or died; called about once a second.
    pub fn sweep(&self, mut on_event: impl FnMut(PoolEvent)) {
        let now = Instant::now();
        // Out of the cell while connections are dropped, since dropping runs foreign code.
        let all = std::mem::take(&mut *self.idle.borrow_mut());
        let kept = all
            .into_iter()
            .filter_map(|mut idle| {
                let usable = self.is_usable(&mut idle, now);
                if !usable {
                    on_event(PoolEvent::Discarded);
                }
                usable.then_some(idle)
            })
            .collect();
        *self.idle.borrow_mut() = kept;
    }

    fn is_usable(&self, idle: &mut Idle, now: Instant) -> bool {
        now.since(idle.since) < self.limits.idle_timeout
            && now.since(idle.made) < self.limits.age_max
            && idle.connection.reader.is_silent()
    }
}
