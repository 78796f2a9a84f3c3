//! One shard's life: it accepts, serves, takes new settings, drains.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::clients::{Clients, SWEEP_EVERY};
use super::connection;
use crate::base::Instant;
use crate::control::ShardCommand;
use crate::gateway::execute::health_check;
use crate::gateway::worker::{SettingsReceiver, Snapshot, Worker, WorkerOptions};
use crate::shard::{AcceptError, Dialer, Listener, Mailbox, sleep, spawn, within};
use crate::telemetry::{Counter, Gauge};

/// When draining, connections that the kernel has already queued are still served, for so long.
const ACCEPT_REST: Duration = Duration::from_millis(10);

/// Exchanges that were cut at the drain deadline have so long to be settled.
const CUT_REST: Duration = Duration::from_millis(100);

/// Runs a shard until it has drained on command, or its mailbox is gone. `ready` is called with
/// whether it listens.
pub async fn run_shard(
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
    let worker = Rc::new(Worker::new(options, snapshot, dialer));
    let clients = Rc::new(Clients::default());
    ready(Ok(()));
    let (stop, stopped) = oneshot::channel();
    spawn(accept_loop(Rc::clone(&worker), Rc::clone(&clients), listener, stopped));
    spawn(sweep_loop(Rc::clone(&worker), Rc::clone(&clients)));
    if worker.shard() == 0 {
        spawn(health_check::run(Rc::clone(&worker)));
    }
    while let Some(command) = next_command(&worker, &mut mailbox, &mut settings).await {
        match command {
            ShardCommand::Token(provider, update) => worker.update_token(&provider, &update),
            ShardCommand::Drain(limit) => {
                let deadline = Instant::now().after(limit);
                worker.begin_drain();
                // A failed send means that accepting has ended by itself.
                let _ = stop.send(());
                wait_until_idle(&worker, &clients, deadline).await;
                return;
            }
        }
    }
}

/// The next command; until then, and before it, settings that are newer than those in force.
async fn next_command(
    worker: &Worker,
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
        worker.apply(&newest);
        if let Some(command) = next {
            return command;
        }
    }
}

async fn wait_until_idle(worker: &Worker, clients: &Clients, deadline: Instant) {
    // Time for connections that are queued or have a request on the wire already.
    sleep(ACCEPT_REST * 2).await;
    if within(deadline, pin!(worker.idle())).await.is_err() {
        // What is left is cut off; that is what the deadline is for. Each exchange then ends as
        // if its client had left, and is settled and reported.
        clients.close_all();
        sleep(CUT_REST).await;
    }
}

async fn sweep_loop(worker: Rc<Worker>, clients: Rc<Clients>) {
    let mut reported = ReportedCounts::default();
    loop {
        sleep(SWEEP_EVERY).await;
        clients.close_overdue(Instant::now());
        reported.update(&worker);
    }
}

/// What was last reported to the metrics of the pools and the dialer.
#[derive(Default)]
struct ReportedCounts {
    idle: i64,
    open: i64,
    lookups: u64,
    surplus: u64,
}

impl ReportedCounts {
    /// Closes what has been idle for too long in the pools, and reports what has changed.
    fn update(&mut self, worker: &Worker) {
        let mut idle = 0;
        worker.snapshot().each_pool(|pool| {
            pool.sweep(|event| worker.count_pool_event(event));
            idle += i64::try_from(pool.idle_count()).unwrap_or(i64::MAX);
        });
        let (recorder, dialer) = (worker.recorder(), worker.dialer());
        let open = dialer.open_count();
        let (lookups, surplus) = (dialer.lookups(), dialer.surplus_count());
        recorder.add(Gauge::UpstreamConnectionsIdle, idle - self.idle);
        recorder.add(Gauge::UpstreamConnectionsOpen, open - self.open);
        recorder.count_by(Counter::DnsLookups, lookups - self.lookups);
        recorder.count_by(Counter::UpstreamSurplus, surplus - self.surplus);
        *self = Self { idle, open, lookups, surplus };
    }
}

/// Accepts until it is stopped, then takes what the kernel has queued and closes the socket.
async fn accept_loop(
    worker: Rc<Worker>,
    clients: Rc<Clients>,
    listener: Listener,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        let accepted = {
            let accept = pin!(listener.accept());
            match select(accept, &mut stopped).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => break,
            }
        };
        admit_connection(&worker, &clients, accepted);
    }
    // Closing the socket resets what is queued, so that is served first: but only what has been
    // queued by now, however many go on knocking.
    let closing = Instant::now().after(ACCEPT_REST);
    while let Ok(accepted) = within(closing, listener.accept()).await {
        admit_connection(&worker, &clients, accepted);
    }
}

fn admit_connection(
    worker: &Rc<Worker>,
    clients: &Rc<Clients>,
    accepted: Result<(crate::shard::Connection, SocketAddr), AcceptError>,
) {
    let (Ok((connection, _)), recorder) = (accepted, worker.recorder()) else {
        worker.recorder().count(Counter::AcceptErrors);
        return;
    };
    if clients.count() >= worker.snapshot().settings.server.connections_max {
        // Dropped unread: over the bound not even a response is affordable.
        recorder.count(Counter::ConnectionsRefused);
        return;
    }
    recorder.count(Counter::ConnectionsAccepted);
    recorder.add(Gauge::OpenConnections, 1);
    let (number, deadline) = clients.add(&connection);
    let serving = connection::serve(Rc::clone(worker), connection, deadline);
    let (worker, clients) = (Rc::clone(worker), Rc::clone(clients));
    // A combinator, since a block that awaits what it has captured holds it twice.
    spawn(AssertUnwindSafe(serving).catch_unwind().map(move |ended| {
        // A bug costs the one connection that met it, not the shard.
        if ended.is_err() {
            worker.recorder().count(Counter::Panics);
        }
        clients.remove(number);
        worker.recorder().add(Gauge::OpenConnections, -1);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::control::{PreparedSettings, prepare_settings};
    use crate::gateway::{ENDPOINT_NAMES, Simulation};
    use crate::providers::TokenUpdate;
    use tokio::sync::watch;

    use crate::routing::TargetRegistry;
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
        Arc::new(prepare_settings(settings, &targets).expect("settings without TLS"))
    }

    #[test]
    fn newest_settings_apply_with_a_full_mailbox() {
        let first = prepared("a");
        let simulation =
            Simulation::new(&first, &MetricsRegistry::new(1, ENDPOINT_NAMES)).expect("a worker");
        let worker = simulation.worker();
        let (mut sender, mut commands) = mailbox(2);
        let update = || ShardCommand::Token("p".to_owned(), TokenUpdate::Failed);
        while sender.send(update()).is_ok() {}
        let (publisher, mut settings) = watch::channel(first);
        for key in ["b", "c", "d"] {
            publisher.send_replace(prepared(key));
        }
        let next = run_in_virtual_time(next_command(worker, &mut commands, &mut settings));
        assert!(matches!(next, Ok(Some(ShardCommand::Token(..)))), "{next:?}");
        let names: Vec<String> =
            worker.snapshot().settings.keys.iter().map(|key| key.name.to_string()).collect();
        assert_eq!(names, ["d"]);
    }
}
