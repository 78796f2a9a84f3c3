//! The whole pipeline without sockets: a worker whose clients and providers are scripts.
//!
//! It serves two ends: simulations with chosen byte splits and faults, and instruction counts that
//! no kernel disturbs. The stages, the codec and the pools are the real ones.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::connection;
use crate::base::Instant;
use crate::control::{PrepareError, PreparedSettings, Services};
use crate::gateway::context::SharedDeadline;
use crate::gateway::worker::{Snapshot, Worker, WorkerOptions};
use crate::routing::TargetRegistry;
use crate::shard::{Connection, Dialer, Script, Tape};
use crate::telemetry::{MetricsRegistry, Recorder};

/// A worker that accepts nothing by itself and reaches no provider by itself. It lives on a shard
/// or in virtual time.
pub struct Simulation {
    worker: Rc<Worker>,
}

impl Simulation {
    /// A worker with these settings.
    ///
    /// # Errors
    /// As when a shard starts.
    pub fn new(
        prepared: &PreparedSettings,
        metrics: &Arc<MetricsRegistry>,
    ) -> Result<Self, PrepareError> {
        // One simulation knows nothing of another.
        let prepared = Arc::new(prepared.with_targets(TargetRegistry::new(Instant::now())));
        let snapshot = Snapshot::build(&prepared, None)?;
        let listen = prepared.settings().server.listen;
        let recorder = Recorder::new(metrics, 0, None);
        let targets = prepared.targets().clone();
        let services = Services::in_memory(prepared.settings(), Arc::clone(metrics), targets);
        let (_, settings) = watch::channel(prepared);
        let options = WorkerOptions { shard: 0, listen, services, settings, recorder };
        Ok(Self { worker: Rc::new(Worker::new(options, snapshot, Dialer::unplugged())) })
    }

    /// Takes newer settings over, as a shard does between two requests.
    pub fn take_settings(&self, prepared: &Arc<PreparedSettings>) {
        self.worker.apply(prepared);
    }

    #[cfg(test)]
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Gives the provider `name` an idle connection that answers with `script`, which begins with
    /// `Step::Request`: it has to be silent before it is used. The tape gets what is sent to it.
    /// The newest is used first.
    pub fn provider(&self, name: &str, script: Script, tape: Tape) {
        let snapshot = self.worker.snapshot();
        if let Some(pool) = snapshot.upstream(name).and_then(|upstream| upstream.pool.as_ref()) {
            pool.adopt(Connection::in_memory(script, tape), self.worker.dialer());
        }
    }

    /// Where the next connection leads that is made to any provider, all given before having been
    /// used.
    pub fn connection(&self, script: Script, tape: Tape) {
        self.worker.dialer().script(Connection::in_memory(script, tape));
    }

    /// Serves a client that sends `script`, until its connection ends; the tape gets the responses.
    pub async fn client(&self, script: Script, tape: Tape) {
        let connection = Connection::in_memory(script, tape);
        connection::serve(Rc::clone(&self.worker), connection, SharedDeadline::default()).await;
    }

    /// Connections to providers that are open, in use or idle.
    #[must_use]
    pub fn upstream_connections(&self) -> i64 {
        self.worker.dialer().open_count()
    }
}
