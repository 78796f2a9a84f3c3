//! One shard's thread: pinned, with its own io_uring (or epoll where the kernel refuses one).

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::time::Duration;

use monoio::blocking::DefaultThreadPool;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::busy_poll;
use crate::base::log_message;

/// Threads for blocking name lookups of one shard, at most.
const OFFLOAD_THREADS: usize = 2;

/// Submission queue entries of a ring; the runtime submits early when they are used up.
const RING_ENTRIES: u32 = 1024;

/// The I/O driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring.
    IoUring,
    /// epoll: the fallback, with 5 to 10 % more CPU.
    Epoll,
}

thread_local! {
    static DRIVER: Cell<Driver> = const { Cell::new(Driver::IoUring) };
}

/// The I/O driver of the calling shard.
pub(super) fn driver() -> Driver {
    DRIVER.get()
}

/// Settings of a shard's thread.
#[derive(Clone, Copy, Debug)]
pub struct ShardOptions {
    /// The core it is pinned to.
    pub core: Option<usize>,
    /// Its I/O driver.
    pub driver: Driver,
    /// How long it busy-polls before it sleeps; zero: never. Ignored with epoll, whose runtime
    /// would handle no timers meanwhile.
    pub busy_poll: Duration,
}

/// The shard could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The runtime could not be built.
    #[error("cannot set up the I/O runtime: {0}")]
    Runtime(#[source] io::Error),
}

/// Runs `main` on the calling thread as a shard, until it returns.
///
/// # Errors
/// [`ShardError::Runtime`] if the kernel refuses the ring or the poller.
pub fn run<F: Future + 'static>(
    options: ShardOptions,
    main: impl FnOnce() -> F,
) -> Result<F::Output, ShardError>
where
    F::Output: 'static,
{
    if let Some(core) = options.core {
        // A container may forbid pinning; the shard then runs on any core.
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
    }
    DRIVER.set(options.driver);
    let offload = Box::new(DefaultThreadPool::new(OFFLOAD_THREADS));
    let body = async move {
        if !options.busy_poll.is_zero() && options.driver == Driver::IoUring {
            match busy_poll::spin_tasks(options.busy_poll) {
                Ok((spin_tasks, yield_task)) => {
                    spin_tasks.into_iter().for_each(spawn);
                    spawn(yield_task);
                }
                Err(error) => {
                    log_message(format_args!("server.busy_poll_us has no effect: {error}"));
                }
            }
        }
        main().await
    };
    match options.driver {
        Driver::IoUring => RuntimeBuilder::<IoUringDriver>::new()
            .uring_builder(ring())
            .with_entries(RING_ENTRIES)
            .enable_timer()
            .attach_thread_pool(offload)
            .build()
            .map(|mut runtime| runtime.block_on(body)),
        Driver::Epoll => RuntimeBuilder::<LegacyDriver>::new()
            .enable_timer()
            .attach_thread_pool(offload)
            .build()
            .map(|mut runtime| runtime.block_on(body)),
    }
    .map_err(ShardError::Runtime)
}

/// Starts a task on the calling shard. It is dropped when the shard ends.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    // The handle only awaits the task; dropping it detaches the task.
    drop(monoio::spawn(task));
}

/// SINGLE_ISSUER and COOP_TASKRUN: 14.5 against 17.0 µs per forwarded request with the kernel's
/// defaults (2 cores, Zen 4, Linux 6.18). DEFER_TASKRUN measures the same, but reaps nothing while
/// the run queue is never empty, as during busy polling.
fn ring() -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun();
    builder
}

/// Tests a ring as the shards use it, with an operation that the kernel must submit and complete: a
/// seccomp profile may allow to set up a ring and refuse to enter it. Returns the reason if epoll
/// must be used.
#[must_use]
pub fn probe_driver() -> (Driver, Option<io::Error>) {
    match try_ring() {
        Ok(()) => (Driver::IoUring, None),
        Err(error) => (Driver::Epoll, Some(error)),
    }
}

fn try_ring() -> io::Result<()> {
    const MARK: u64 = 0x6e6f_7021;
    let mut ring = ring().build(RING_ENTRIES)?;
    push(&mut ring, &io_uring::opcode::Nop::new().build().user_data(MARK))?;
    ring.submit_and_wait(1)?;
    let completed = ring.completion().next();
    let completed = completed.ok_or_else(|| io::Error::other("an operation does not complete"))?;
    match completed.result() {
        0 if completed.user_data() == MARK => Ok(()),
        result if result < 0 => Err(io::Error::from_raw_os_error(result.saturating_neg())),
        _ => Err(io::Error::other("an operation completes as another")),
    }
}

#[expect(unsafe_code, reason = "the ring takes what the caller promises to keep alive")]
fn push(ring: &mut io_uring::IoUring, operation: &io_uring::squeue::Entry) -> io::Result<()> {
    // SAFETY: the one caller pushes an operation that refers to no memory and no descriptor.
    let pushed = unsafe { ring.submission().push(operation) };
    pushed.map_err(io::Error::other)
}

/// The cores available to this process, in order.
#[must_use]
pub fn available_cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}
