//! Idle connections to one endpoint, kept by one shard: last in, first out.
//!
//! The newest connection is the likeliest to be alive and warm; the oldest ones expire. An idle
//! connection keeps a read in flight, which is the next response's first read. If it completes
//! earlier, the provider has closed the connection or sent unsolicited bytes: the connection is not
//! reused, and for unsolicited bytes the provider is distrusted (see `distrust.rs`).

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use super::connection_counts::OpenConnectionGuard;
use super::dial::{DialError, Dialer, Peer};
use super::distrust::Distrust;
use super::stream::{Connection, IdleState};
use super::timer::Watchdog;
use crate::base::Instant;

/// Limits of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle connections kept, at most.
    pub idle_max: usize,
    /// Idle timeout of a connection.
    pub idle_timeout: Duration,
    /// Maximum age of a connection.
    pub age_max: Duration,
}

/// An event of a pool, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolEvent {
    /// An idle connection was reused.
    Reused,
    /// An idle connection was closed: by the peer, for unsolicited bytes, or by age.
    Discarded,
}

/// A pooled connection with its age.
pub struct Pooled {
    /// The connection.
    pub connection: Connection,
    /// True if it has served a call before: only then may a failed call be retried silently.
    pub reused: bool,
    /// The provider has sent so many responses without surplus bytes that a response which arrives
    /// at once is accepted; true for most connections on a busy shard.
    pub is_proven: bool,
    /// Timer of the waits on it, reused from call to call.
    pub watchdog: Watchdog,
    made: Instant,
    open: OpenConnectionGuard,
}

impl Pooled {
    /// Unsolicited bytes came: the connection is closed and counted.
    pub fn discard_for_surplus(self, pool: &Pool) {
        self.open.count_surplus();
        pool.distrust();
    }
}

struct Idle {
    connection: Connection,
    watchdog: Watchdog,
    made: Instant,
    since: Instant,
    open: OpenConnectionGuard,
}

/// The idle connections of one shard to one endpoint.
pub struct Pool {
    endpoint: Peer,
    limits: PoolLimits,
    idle: RefCell<Vec<Idle>>,
    distrust: Arc<Distrust>,
    /// Further responses without surplus until the provider is trusted.
    probation: Cell<u32>,
}

/// Responses without surplus after which a provider is trusted.
const PROBATION: u32 = 1_000;

impl Pool {
    /// An empty pool; all pools of one provider share `distrust`.
    #[must_use]
    pub fn new(endpoint: Peer, limits: PoolLimits, distrust: Arc<Distrust>) -> Self {
        let idle = RefCell::new(Vec::new());
        Self { endpoint, limits, idle, distrust, probation: Cell::new(PROBATION) }
    }

    /// Number of idle connections.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle.borrow().len()
    }

    /// The newest usable idle connection.
    pub fn take(&self, mut on_event: impl FnMut(PoolEvent)) -> Option<Pooled> {
        let now = Instant::now();
        if self.distrust.is_on(now) {
            self.drop_idle();
            return None;
        }
        loop {
            let mut candidate = self.idle.borrow_mut().pop()?;
            if self.is_usable(&mut candidate, now) {
                on_event(PoolEvent::Reused);
                let Idle { connection, watchdog, made, open, .. } = candidate;
                let is_proven = self.probation.get() == 0;
                return Some(Pooled { connection, reused: true, is_proven, watchdog, made, open });
            }
            on_event(PoolEvent::Discarded);
        }
    }

    /// Opens a new connection. The oldest idle one makes room for it: calls whose body can be sent
    /// only once always open a connection, and would otherwise add one idle connection each.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn connect(&self, dialer: &Dialer) -> Result<Pooled, DialError> {
        drop(self.take_oldest());
        let connection = dialer.connect(&self.endpoint).await?;
        let open = OpenConnectionGuard::new(dialer.counts());
        let is_proven = self.probation.get() == 0;
        let (made, watchdog) = (Instant::now(), Watchdog::default());
        Ok(Pooled { connection, reused: false, is_proven, watchdog, made, open })
    }

    fn take_oldest(&self) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() { None } else { Some(idle.remove(0)) }
    }

    /// Adds a connection that was made elsewhere: one in memory, for simulations.
    pub fn adopt(&self, connection: Connection, dialer: &Dialer) {
        let open = OpenConnectionGuard::new(dialer.counts());
        let (made, watchdog) = (Instant::now(), Watchdog::default());
        self.put_back(Pooled { connection, reused: false, is_proven: false, watchdog, made, open });
    }

    /// Keeps a connection after a complete response, unless more bytes came, it is too old, the
    /// pool is full, or its provider is distrusted: then it is closed.
    pub fn put_back(&self, pooled: Pooled) {
        let now = Instant::now();
        let is_old = now.since(pooled.made) >= self.limits.age_max;
        if is_old || self.idle.borrow().len() >= self.limits.idle_max || self.distrust.is_on(now) {
            return;
        }
        let Pooled { mut connection, watchdog, made, open, .. } = pooled;
        self.probation.set(self.probation.get().saturating_sub(1));
        let seen = connection.arm();
        let idle = Idle { connection, watchdog, made, since: now, open };
        if self.is_silent(&idle, seen) {
            self.idle.borrow_mut().push(idle);
        }
    }

    /// Prevents the reuse of all connections that are idle now or later.
    fn distrust(&self) {
        self.distrust.begin(Instant::now());
        self.probation.set(PROBATION);
        self.drop_idle();
    }

    fn drop_idle(&self) {
        // Moved out of the cell first, since dropping connections runs foreign code.
        drop(std::mem::take(&mut *self.idle.borrow_mut()));
    }

    /// Closes expired and dead connections; called about once a second.
    pub fn sweep(&self, mut on_event: impl FnMut(PoolEvent)) {
        let now = Instant::now();
        // Moved out of the cell first, since dropping connections runs foreign code.
        let all = std::mem::take(&mut *self.idle.borrow_mut());
        let kept: Vec<Idle> = all
            .into_iter()
            .filter_map(|mut idle| {
                let usable = self.is_usable(&mut idle, now);
                if !usable {
                    on_event(PoolEvent::Discarded);
                }
                usable.then_some(idle)
            })
            .collect();
        if !self.distrust.is_on(now) {
            *self.idle.borrow_mut() = kept;
        }
    }

    fn is_usable(&self, idle: &mut Idle, now: Instant) -> bool {
        let is_young = now.since(idle.since) < self.limits.idle_timeout
            && now.since(idle.made) < self.limits.age_max;
        if !is_young {
            return false;
        }
        let seen = idle.connection.idleness();
        self.is_silent(idle, seen)
    }

    fn is_silent(&self, idle: &Idle, seen: IdleState) -> bool {
        if seen == IdleState::Surplus {
            idle.open.count_surplus();
            // A 408 that a load balancer sends before it closes an idle connection is no protocol
            // error.
            if !idle.connection.reader.bytes().starts_with(b"HTTP/1.1 408") {
                self.distrust();
            }
        }
        seen == IdleState::Silent
    }
}
