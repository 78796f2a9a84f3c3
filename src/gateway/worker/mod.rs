//! What one shard owns: its settings with the pools of their providers, its counters, and its handles
//! on what all shards share.

mod model_info;
mod redactor;
mod snapshot;
mod token_slot;

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

pub(crate) use redactor::{Redactor, Scrutiny};
pub(crate) use snapshot::{Snapshot, Upstream};
use tokio::sync::watch;

use crate::base::{IdSource, RequestId};
use crate::cache::{Cache, Flights, ResponseStore, Semantic};
use crate::control::{PreparedSettings, Services};
use crate::llm::Scanner;
use crate::providers::TokenUpdate;
use crate::routing::TargetRegistry;
use crate::shard::{Dialer, PoolEvent};
use crate::telemetry::{Counter, Gauge, Recorder};

/// The settings that shards work by. Only the newest count: the control thread replaces what a shard has
/// not taken yet, and can never be refused.
pub type SettingsReceiver = watch::Receiver<Arc<PreparedSettings>>;

/// What a shard begins with.
pub struct WorkerOptions {
    /// Its number.
    pub shard: u16,
    /// Where it listens; the port is not 0.
    pub listen: SocketAddr,
    /// What all parts share.
    pub services: Services,
    /// Its settings, the first ones among them; requests under way keep theirs.
    pub settings: SettingsReceiver,
    /// Where its events go.
    pub recorder: Recorder,
}

/// Everything one shard owns.
pub struct Worker {
    shard: u16,
    snapshot: RefCell<Rc<Snapshot>>,
    dialer: Dialer,
    services: Services,
    recorder: Recorder,
    scanner: RefCell<Scanner>,
    ids: RefCell<IdSource>,
    in_flight: Cell<usize>,
    /// Copies of requests under way.
    mirrors: Cell<usize>,
    /// Requests that wait for their images.
    fetches: Cell<u32>,
    buffered: Cell<usize>,
    draining: Cell<bool>,
    /// Woken when the last exchange ends.
    idle_waker: RefCell<Option<Waker>>,
}

impl Worker {
    pub(crate) fn new(options: WorkerOptions, snapshot: Snapshot, dialer: Dialer) -> Self {
        Self {
            shard: options.shard,
            snapshot: RefCell::new(Rc::new(snapshot)),
            dialer,
            services: options.services,
            recorder: options.recorder,
            scanner: RefCell::default(),
            ids: RefCell::new(IdSource::from_system()),
            in_flight: Cell::new(0),
            mirrors: Cell::new(0),
            fetches: Cell::new(0),
            buffered: Cell::new(0),
            draining: Cell::new(false),
            idle_waker: RefCell::new(None),
        }
    }

    /// Takes newer settings over; requests under way keep theirs.
    pub(crate) fn apply(&self, prepared: &Arc<PreparedSettings>) {
        if self.snapshot.borrow().is_of(prepared) {
            return;
        }
        let built = Snapshot::build(prepared, Some(&self.snapshot()));
        // The control thread has built the same before it published; what fails here is the
        // system's doing (memory), and the settings in force stay in force.
        match built {
            Ok(snapshot) => {
                self.dialer.set_dns_ttl(snapshot.settings.server.dns_ttl);
                *self.snapshot.borrow_mut() = Rc::new(snapshot);
            }
            Err(_) => self.recorder.count(Counter::SettingsReloadErrors),
        }
    }

    /// Applies news of the token of `provider`.
    pub(crate) fn update_token(&self, provider: &str, update: &TokenUpdate) {
        // One that a reload has removed has no use for it.
        if let Some(upstream) = self.snapshot().upstream(provider) {
            upstream.token.update(update);
        }
    }

    /// The settings in force.
    pub(crate) fn snapshot(&self) -> Rc<Snapshot> {
        Rc::clone(&self.snapshot.borrow())
    }

    pub(crate) fn shard(&self) -> u16 {
        self.shard
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The cache of all shards.
    pub(crate) fn cache(&self) -> &Cache {
        &self.services.cache
    }

    /// The cache's semantic tier; none where there are no threads for it.
    pub(crate) fn semantic(&self) -> Option<&Semantic> {
        self.services.semantic.as_ref()
    }

    /// Identical requests of this shard that are under way.
    pub(crate) fn flights(&self) -> &Flights {
        &self.services.flights
    }

    /// Answers that clients refer to by id.
    pub(crate) fn responses(&self) -> &ResponseStore {
        &self.services.responses
    }

    /// What all shards know of the targets of routes.
    pub(crate) fn targets(&self) -> &TargetRegistry {
        &self.services.targets
    }

    /// The shard's JSON scanner; not to be held across a wait.
    pub(crate) fn scanner(&self) -> RefMut<'_, Scanner> {
        self.scanner.borrow_mut()
    }

    pub(crate) fn next_id(&self) -> RequestId {
        self.ids.borrow_mut().next_id()
    }

    /// The shard's small randomness; not to be held across a wait.
    pub(crate) fn rng(&self) -> RefMut<'_, IdSource> {
        self.ids.borrow_mut()
    }

    /// A copy of a request goes out; false if `most` are under way, or memory is short.
    pub(crate) fn try_start_mirror(&self, bytes: usize, most: usize) -> bool {
        let limit = self.snapshot.borrow().settings.server.buffered_bytes_max;
        let fits = self.mirrors.get() < most && self.reserve_memory(bytes, limit);
        self.mirrors.set(self.mirrors.get() + usize::from(fits));
        fits
    }

    pub(crate) fn end_mirror(&self, bytes: usize) {
        self.mirrors.set(self.mirrors.get().saturating_sub(1));
        self.release_memory(bytes);
    }

    /// A request fetches its images; false if `most` do.
    pub(crate) fn try_start_fetch(&self, most: u32) -> bool {
        let fits = self.fetches.get() < most;
        self.fetches.set(self.fetches.get() + u32::from(fits));
        fits
    }

    pub(crate) fn end_fetch(&self) {
        self.fetches.set(self.fetches.get().saturating_sub(1));
    }

    /// From now on no connection serves another request.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(true);
        self.recorder.add(Gauge::Draining, 1);
    }

    /// Waits until no exchange is under way.
    pub(crate) async fn idle(&self) {
        poll_fn(|task| {
            if self.in_flight.get() == 0 {
                return Poll::Ready(());
            }
            *self.idle_waker.borrow_mut() = Some(task.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// True if one more exchange would be over `server.in_flight_max`.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.in_flight.get() >= self.snapshot.borrow().settings.server.in_flight_max
    }

    pub(crate) fn begin_exchange(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(crate) fn end_exchange(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        if self.in_flight.get() == 0
            && let Some(waker) = self.idle_waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Counts bytes about to be kept; false if that would be over `limit`.
    pub(crate) fn reserve_memory(&self, bytes: usize, limit: usize) -> bool {
        let total = self.buffered.get().saturating_add(bytes);
        let fits = total <= limit;
        if fits {
            self.buffered.set(total);
            self.recorder.add(Gauge::BufferedBytes, i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        fits
    }

    pub(crate) fn release_memory(&self, bytes: usize) {
        if bytes > 0 {
            self.buffered.set(self.buffered.get().saturating_sub(bytes));
            self.recorder.add(Gauge::BufferedBytes, -i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Counts what a pool did.
    pub(crate) fn count_pool_event(&self, event: PoolEvent) {
        match event {
            PoolEvent::Reused => self.recorder.count(Counter::UpstreamReused),
            PoolEvent::Discarded => self.recorder.count(Counter::UpstreamDiscarded),
        }
    }
}
