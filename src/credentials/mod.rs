//! Provider tokens, fetched in advance by a dedicated thread.
//!
//! The thread `credentials` knows when the token of each provider is due, starts a short-lived
//! thread to fetch it (one at a time per provider), and sends it to the shards. A token is renewed
//! before it expires; if that fails, the current one is used until it expires, and the thread
//! retries with increasing pauses. A request waits for a fetch only if it arrives before the first
//! token.
//!
//! Only this part calls token services. It blocks, and is never in the request pipeline.

mod network;
mod refresh_loop;
mod renewal;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use crate::base::BackgroundThread;
use crate::providers::Provider;
use crate::telemetry::MetricsRegistry;

use refresh_loop::{Job, RefreshLoop};

pub use refresh_loop::DeliverToken;

/// Capacity of the thread's queue.
const QUEUE_JOBS: usize = 64;

/// Time that the process waits for the thread when it ends.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// The thread that refreshes the tokens of all providers.
pub struct CredentialRefresher {
    jobs: SyncSender<Job>,
    thread: BackgroundThread,
}

impl CredentialRefresher {
    /// Starts the thread with these providers.
    ///
    /// # Errors
    /// If the system cannot create the thread.
    pub fn start(
        providers: &[Arc<Provider>],
        metrics: Arc<MetricsRegistry>,
        deliver: DeliverToken,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_JOBS);
        let mut refresh_loop = RefreshLoop::new(jobs.clone(), metrics, deliver);
        refresh_loop.replace_providers(providers);
        let thread =
            BackgroundThread::start("credentials".to_owned(), move || refresh_loop.run(&queue))?;
        Ok(Self { jobs, thread })
    }

    /// Replaces the providers after a reload, once the shards have the new settings. Tokens of
    /// unchanged providers are kept.
    pub fn publish(&self, providers: &[Arc<Provider>]) {
        // If the thread has ended, no token is renewed; its panic has been reported.
        let _ = self.jobs.send(Job::Publish(providers.to_vec()));
    }

    /// Stops the thread; false if it still runs after a second. Fetches in flight are abandoned.
    pub fn stop(self) -> bool {
        self.thread.stop_within(&self.jobs, Job::Stop, STOP_LIMIT)
    }
}
