//! A single-threaded runtime on a chosen core.

use std::io;

use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

/// Pins the calling thread to `core`, if one is named, and builds a runtime for it.
pub fn pinned(core: Option<usize>) -> io::Result<Runtime> {
    if let Some(core) = core {
        if core >= CpuSet::MAX_CPU {
            return Err(io::Error::other(format!("no such core: {core}")));
        }
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(None, &cores)
            .map_err(|error| io::Error::other(format!("cannot pin to core {core}: {error}")))?;
    }
    Builder::new_current_thread().enable_all().build()
}
