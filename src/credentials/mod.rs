//! Tokens of providers, fetched ahead of need by a thread of their own.
//!
//! The thread `credentials` knows when the token of each provider is due, lets a short-lived thread
//! fetch it (one at a time for each provider), and hands it to the shards. A token is renewed before
//! it expires; where that fails the old one serves until it does, and the thread tries again after
//! a pause that grows. No request waits for a fetch but one that comes before the first token.
//!
//! Only this part calls the services that give tokens. It blocks, and is never on the request line.

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

/// Things the thread may have unread.
const QUEUE_JOBS: usize = 64;

/// The end of the process waits so long for the thread.
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
    /// When the system gives no thread.
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

    /// Takes over the providers of new settings, after the shards have been told of them. Tokens of
    /// providers that have not changed are kept.
    pub fn publish(&self, providers: &[Arc<Provider>]) {
        // A thread that is gone renews nothing any more, and has told so when it panicked.
        let _ = self.jobs.send(Job::Publish(providers.to_vec()));
    }

    /// Ends the thread; false if it still runs after a second. Fetches under way are left to themselves.
    pub fn stop(self) -> bool {
        self.thread.stop_within(&self.jobs, Job::Stop, STOP_LIMIT)
    }
}
