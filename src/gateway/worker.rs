//! One shard's life in the pipeline: it accepts, serves, takes new settings, drains.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::connection::{self, SharedDeadline};
use super::health_check;
use super::upstream::{PreparedSettings, Snapshot};
use crate::base::{IdSource, Instant, RequestId};
use crate::cache::{Cache, Flights, ResponseStore, Semantic};
use crate::llm::Scanner;
use crate::providers::TokenUpdate;
use crate::routing::TargetRegistry;
use crate::shard::{
    AcceptError, Dialer, Listener, Mailbox, PoolEvent, ShutdownHandle, sleep, spawn, within,
};
use crate::telemetry::{Counter, Gauge, Recorder};

/// Pools and waiting clients are looked through so often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// When draining, connections that the kernel has already queued are still served, for so long.
const ACCEPT_REST: Duration = Duration::from_millis(10);

/// Exchanges that were cut at the drain deadline have so long to be settled.
const CUT_REST: Duration = Duration::from_millis(100);

/// The settings that shards work by. Only the newest count: the control thread replaces what a shard has
/// not taken yet, and can never be refused.
pub type SettingsReceiver = watch::Receiver<Arc<PreparedSettings>>;

/// What the control thread tells a shard, besides its settings.
#[derive(Debug)]
pub enum ShardCommand {
    /// News of the token of the provider of that name.
    Token(String, TokenUpdate),
    /// Accept nothing more and end when all is answered, at the latest after this long.
    Drain(Duration),
}

/// What a shard begins with.
pub struct WorkerOptions {
    /// Its number.
    pub shard: u16,
    /// Where it listens; the port is not 0.
    pub listen: SocketAddr,
    /// The cache that all shards share.
    pub cache: Cache,
    /// Its semantic tier.
    pub semantic: Option<Semantic>,
    /// Identical requests in flight, of all shards.
    pub flights: Flights,
    /// Answers that clients refer to by id, of all shards.
    pub responses: ResponseStore,
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
    cache: Cache,
    semantic: Option<Semantic>,
    flights: Flights,
    responses: ResponseStore,
    targets: TargetRegistry,
    recorder: Recorder,
    scanner: RefCell<Scanner>,
    ids: RefCell<IdSource>,
    in_flight: Cell<usize>,
    /// Copies of requests under way.
    mirrors: Cell<usize>,
    /// Requests that wait for their images.
    fetches: Cell<u32>,
    buffered: Cell<usize>,
    /// What was last reported to the metrics of the pools and the dialer.
    reported_idle: Cell<i64>,
    reported_open: Cell<i64>,
    reported_lookups: Cell<u64>,
    reported_surplus: Cell<u64>,
    draining: Cell<bool>,
    /// Client connections, to be cut when their deadline or that of the drain has passed.
    clients: RefCell<HashMap<u64, (ShutdownHandle, SharedDeadline)>>,
    next_client: Cell<u64>,
    /// Woken when the last exchange ends.
    idle_waker: RefCell<Option<Waker>>,
}

impl Worker {
    /// Runs a shard until it has drained on command, or its mailbox is gone. `ready` is called with
    /// whether it listens.
    pub async fn run(
        options: WorkerOptions,
        mut mailbox: Mailbox<ShardCommand>,
        ready: impl FnOnce(io::Result<()>),
    ) {
        let mut settings = options.settings.clone();
        let prepared = Arc::clone(&settings.borrow_and_update());
        let snapshot = match Snapshot::build(&prepared, None) {
            Ok(snapshot) => snapshot,
            Err(error) => return ready(Err(io::Error::other(error))),
        };
        let listener = match Listener::bind(options.listen) {
            Ok(listener) => listener,
            Err(error) => return ready(Err(error)),
        };
        let dialer = Dialer::new(snapshot.settings.server.dns_ttl);
        let worker = Rc::new(Self::new(options, snapshot, dialer));
        ready(Ok(()));
        let (stop, stopped) = oneshot::channel();
        spawn(accept_loop(Rc::clone(&worker), listener, stopped));
        spawn(sweep_loop(Rc::clone(&worker)));
        if worker.shard == 0 {
            spawn(health_check::run(Rc::clone(&worker)));
        }
        while let Some(command) = worker.next_command(&mut mailbox, &mut settings).await {
            match command {
                ShardCommand::Token(provider, update) => worker.update_token(&provider, &update),
                ShardCommand::Drain(limit) => {
                    let deadline = Instant::now().after(limit);
                    worker.draining.set(true);
                    worker.recorder.add(Gauge::Draining, 1);
                    // A failed send means that accepting has ended by itself.
                    let _ = stop.send(());
                    worker.wait_until_idle(deadline).await;
                    return;
                }
            }
        }
    }

    pub(super) fn new(options: WorkerOptions, snapshot: Snapshot, dialer: Dialer) -> Self {
        let targets = options.settings.borrow().targets().clone();
        Self {
            shard: options.shard,
            snapshot: RefCell::new(Rc::new(snapshot)),
            dialer,
            cache: options.cache,
            semantic: options.semantic,
            flights: options.flights,
            responses: options.responses,
            targets,
            recorder: options.recorder,
            scanner: RefCell::default(),
            ids: RefCell::new(IdSource::from_system()),
            in_flight: Cell::new(0),
            mirrors: Cell::new(0),
            fetches: Cell::new(0),
            buffered: Cell::new(0),
            reported_idle: Cell::new(0),
            reported_open: Cell::new(0),
            reported_lookups: Cell::new(0),
            reported_surplus: Cell::new(0),
            draining: Cell::new(false),
            clients: RefCell::default(),
            next_client: Cell::new(0),
            idle_waker: RefCell::new(None),
        }
    }

    /// The next command; until then, and before it, settings that are newer than those in force.
    async fn next_command(
        &self,
        mailbox: &mut Mailbox<ShardCommand>,
        settings: &mut SettingsReceiver,
    ) -> Option<ShardCommand> {
        loop {
            let next = {
                let received = pin!(mailbox.receive());
                match select(received, pin!(settings.changed())).await {
                    Either::Left((command, _)) => Some(command),
                    Either::Right((Ok(()), _)) => None,
                    // The control thread is gone, and so is the sender of commands.
                    Either::Right((Err(_), received)) => return received.await,
                }
            };
            // Before the command: it may be about a provider that the newer settings name first.
            let newest = Arc::clone(&settings.borrow_and_update());
            self.apply(&newest);
            if let Some(command) = next {
                return command;
            }
        }
    }

    pub(super) fn apply(&self, prepared: &Arc<PreparedSettings>) {
        if self.snapshot.borrow().is_of(prepared) {
            return;
        }
        let built = Snapshot::build(prepared, Some(&self.snapshot()));
        // The control thread has built the same before it published; what fails here is the
        // system's doing (memory), and the settings in force stay in force.
        match built {
            Ok(snapshot) => *self.snapshot.borrow_mut() = Rc::new(snapshot),
            Err(_) => self.recorder.count(Counter::SettingsReloadErrors),
        }
    }

    fn update_token(&self, provider: &str, update: &TokenUpdate) {
        // One that a reload has removed has no use for it.
        if let Some(upstream) = self.snapshot().upstream(provider) {
            upstream.token.update(update);
        }
    }

    /// The settings in force.
    pub(super) fn snapshot(&self) -> Rc<Snapshot> {
        Rc::clone(&self.snapshot.borrow())
    }

    pub(super) fn shard(&self) -> u16 {
        self.shard
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The cache of all shards.
    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The cache's semantic tier; none where there are no threads for it.
    pub(super) fn semantic(&self) -> Option<&Semantic> {
        self.semantic.as_ref()
    }

    /// Identical requests of this shard that are under way.
    pub(super) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Answers that clients refer to by id.
    pub(super) fn responses(&self) -> &ResponseStore {
        &self.responses
    }

    /// What all shards know of the targets of routes.
    pub(super) fn targets(&self) -> &TargetRegistry {
        &self.targets
    }

    /// The shard's JSON scanner; not to be held across a wait.
    pub(super) fn scanner(&self) -> RefMut<'_, Scanner> {
        self.scanner.borrow_mut()
    }

    pub(super) fn next_id(&self) -> RequestId {
        self.ids.borrow_mut().next_id()
    }

    /// The shard's small randomness; not to be held across a wait.
    pub(super) fn rng(&self) -> RefMut<'_, IdSource> {
        self.ids.borrow_mut()
    }

    /// A copy of a request goes out; false if `most` are under way, or memory is short.
    pub(super) fn try_start_mirror(&self, bytes: usize, most: usize) -> bool {
        let limit = self.snapshot.borrow().settings.server.buffered_bytes_max;
        let fits = self.mirrors.get() < most && self.reserve_memory(bytes, limit);
        self.mirrors.set(self.mirrors.get() + usize::from(fits));
        fits
    }

    pub(super) fn end_mirror(&self, bytes: usize) {
        self.mirrors.set(self.mirrors.get().saturating_sub(1));
        self.release_memory(bytes);
    }

    /// A request fetches its images; false if `most` do.
    pub(super) fn try_start_fetch(&self, most: u32) -> bool {
        let fits = self.fetches.get() < most;
        self.fetches.set(self.fetches.get() + u32::from(fits));
        fits
    }

    pub(super) fn end_fetch(&self) {
        self.fetches.set(self.fetches.get().saturating_sub(1));
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// True if one more exchange would be over `server.in_flight_max`.
    pub(super) fn is_overloaded(&self) -> bool {
        self.in_flight.get() >= self.snapshot.borrow().settings.server.in_flight_max
    }

    pub(super) fn begin_exchange(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn end_exchange(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        if self.in_flight.get() == 0
            && let Some(waker) = self.idle_waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    fn connection_ends(&self, number: u64) {
        self.clients.borrow_mut().remove(&number);
        self.recorder.add(Gauge::OpenConnections, -1);
    }

    /// Counts bytes about to be kept; false if that would be over `limit`.
    pub(super) fn reserve_memory(&self, bytes: usize, limit: usize) -> bool {
        let total = self.buffered.get().saturating_add(bytes);
        let fits = total <= limit;
        if fits {
            self.buffered.set(total);
            self.recorder.add(Gauge::BufferedBytes, i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        fits
    }

    pub(super) fn release_memory(&self, bytes: usize) {
        if bytes > 0 {
            self.buffered.set(self.buffered.get().saturating_sub(bytes));
            self.recorder.add(Gauge::BufferedBytes, -i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Counts what a pool did.
    pub(super) fn count_pool_event(&self, event: PoolEvent) {
        match event {
            PoolEvent::Reused => self.recorder.count(Counter::UpstreamReused),
            PoolEvent::Discarded => self.recorder.count(Counter::UpstreamDiscarded),
        }
    }

    async fn wait_until_idle(&self, deadline: Instant) {
        let idle = poll_fn(|task| {
            if self.in_flight.get() == 0 {
                return Poll::Ready(());
            }
            *self.idle_waker.borrow_mut() = Some(task.waker().clone());
            Poll::Pending
        });
        // Time for connections that are queued or have a request on the wire already.
        sleep(ACCEPT_REST * 2).await;
        if within(deadline, idle).await.is_err() {
            // What is left is cut off; that is what the deadline is for. Each exchange then ends as
            // if its client had left, and is settled and reported.
            self.clients.borrow().values().for_each(|(handle, _)| handle.shutdown());
            sleep(CUT_REST).await;
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        for (handle, deadline) in self.clients.borrow().values() {
            if deadline.has_passed(now) {
                handle.shutdown();
            }
        }
        let mut idle = 0;
        self.snapshot().each_pool(|pool| {
            pool.sweep(|event| self.count_pool_event(event));
            idle += i64::try_from(pool.idle_count()).unwrap_or(i64::MAX);
        });
        self.recorder.add(Gauge::UpstreamConnectionsIdle, idle - self.reported_idle.replace(idle));
        let open = self.dialer.open_count();
        self.recorder.add(Gauge::UpstreamConnectionsOpen, open - self.reported_open.replace(open));
        let lookups = self.dialer.lookups();
        self.recorder
            .count_by(Counter::DnsLookups, lookups - self.reported_lookups.replace(lookups));
        let surplus = self.dialer.surplus_count();
        let new = surplus - self.reported_surplus.replace(surplus);
        self.recorder.count_by(Counter::UpstreamSurplus, new);
    }
}

async fn sweep_loop(worker: Rc<Worker>) {
    loop {
        sleep(SWEEP_EVERY).await;
        worker.sweep();
    }
}

/// Accepts until it is stopped, then takes what the kernel has queued and closes the socket.
async fn accept_loop(worker: Rc<Worker>, listener: Listener, mut stopped: oneshot::Receiver<()>) {
    loop {
        let accepted = {
            let accept = std::pin::pin!(listener.accept());
            match select(accept, &mut stopped).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => break,
            }
        };
        admit_connection(&worker, accepted);
    }
    // Closing the socket resets what is queued, so that is served first: but only what has been
    // queued by now, however many go on knocking.
    let closing = Instant::now().after(ACCEPT_REST);
    while let Ok(accepted) = within(closing, listener.accept()).await {
        admit_connection(&worker, accepted);
    }
}

fn admit_connection(
    worker: &Rc<Worker>,
    accepted: Result<(crate::shard::Connection, SocketAddr), AcceptError>,
) {
    match accepted {
        Ok((connection, _)) => {
            let limit = worker.snapshot.borrow().settings.server.connections_max;
            if worker.clients.borrow().len() >= limit {
                // Dropped unread: over the bound not even a response is affordable.
                worker.recorder.count(Counter::ConnectionsRefused);
                return;
            }
            worker.recorder.count(Counter::ConnectionsAccepted);
            worker.recorder.add(Gauge::OpenConnections, 1);
            let number = worker.next_client.replace(worker.next_client.get() + 1);
            let deadline = SharedDeadline::default();
            let client = (connection.handle(), deadline.clone());
            worker.clients.borrow_mut().insert(number, client);
            let serving = connection::serve(Rc::clone(worker), connection, deadline);
            let worker = Rc::clone(worker);
            // A combinator, since a block that awaits what it has captured holds it twice.
            spawn(AssertUnwindSafe(serving).catch_unwind().map(move |ended| {
                // A bug shall cost the one connection that met it, not the shard.
                if ended.is_err() {
                    worker.recorder.count(Counter::Panics);
                }
                worker.connection_ends(number);
            }));
        }
        Err(AcceptError::Exhausted(_) | AcceptError::Lost(_)) => {
            worker.recorder.count(Counter::AcceptErrors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::gateway::{Simulation, prepare_settings};
    use crate::shard::{mailbox, run_in_virtual_time};
    use crate::telemetry::MetricsRegistry;

    fn prepared(key: &str) -> Arc<PreparedSettings> {
        let name = format!("ringgate-worker-{}-{key}.toml", std::process::id());
        let file = std::env::temp_dir().join(name);
        let text =
            format!("[providers.p]\npreset = \"echo\"\n[keys.{key}]\nsecret = \"${{KEY}}\"\n");
        std::fs::write(&file, text).expect("a file");
        let environment = |_: &str| Some(format!("secret-of-{key}"));
        let settings = Settings::load(Some(&file), &environment).expect("legal settings");
        std::fs::remove_file(&file).expect("the file");
        let targets = TargetRegistry::new(Instant::now());
        Arc::new(prepare_settings(Arc::new(settings), &targets).expect("settings without TLS"))
    }

    #[test]
    fn newest_settings_are_taken_behind_a_full_mailbox() {
        let first = prepared("a");
        let simulation = Simulation::new(&first, &MetricsRegistry::new(1)).expect("a worker");
        let worker = simulation.worker();
        let (mut sender, mut commands) = mailbox(2);
        let update = || ShardCommand::Token("p".to_owned(), TokenUpdate::Failed);
        while sender.send(update()).is_ok() {}
        let (publisher, mut settings) = watch::channel(first);
        for key in ["b", "c", "d"] {
            publisher.send_replace(prepared(key));
        }
        let next = run_in_virtual_time(worker.next_command(&mut commands, &mut settings));
        assert!(matches!(next, Ok(Some(ShardCommand::Token(..)))), "{next:?}");
        let names: Vec<String> =
            worker.snapshot().settings.keys.iter().map(|key| key.name.to_string()).collect();
        assert_eq!(names, ["d"]);
    }
}
