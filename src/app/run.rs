//! The life of the control thread between start and shutdown: it hears signals.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control::Process;

/// So often it is looked which settings no request goes by any more.
const RETIRED_TICK: Duration = Duration::from_secs(1);

/// The signals that the control thread acts on.
pub(super) struct Signals {
    terminate: Signal,
    /// A second one while the process drains ends it at once.
    pub(super) interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on the process does not end by these signals. Needs a runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Acts on signals until one of them ends the process.
pub(super) async fn run(process: &Process, signals: &mut Signals) {
    let mut tick = tokio::time::interval(RETIRED_TICK);
    loop {
        tokio::select! {
            _ = tick.tick(), if process.has_retired() => process.free_retired(),
            _ = signals.hang_up.recv() => {
                process.reopen_logs();
                // Counted, and written to standard error, where the operator looks for it.
                let _ = process.reload();
            }
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
        }
    }
}
