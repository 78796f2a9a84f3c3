//! The end of the process: requests end, then the threads behind the shards.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::bail;

use super::run::Signals;
use super::start::Gateway;
use crate::base::log_message;

/// After the drain deadline a shard has so long to end before the process ends without it.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

impl Gateway {
    /// Takes no new clients and ends when all requests have ended. SIGINT ends it at once.
    pub(super) async fn drain(self, signals: &mut Signals) -> anyhow::Result<()> {
        let limit = self.process.begin_drain();
        let shards = self.shards;
        let joined = tokio::task::spawn_blocking(move || {
            shards.into_iter().map(JoinHandle::join).all(|outcome| outcome.is_ok())
        });
        tokio::select! {
            all_well = joined => {
                if !all_well? {
                    bail!("a shard had ended before");
                }
            }
            () = tokio::time::sleep(limit + DRAIN_GRACE) => {
                log_message("a shard did not stop in time");
            }
            _ = signals.interrupt.recv() => log_message("interrupted again, exiting now"),
        }
        self.process.stop_background();
        log_message("stopped");
        Ok(())
    }
}
