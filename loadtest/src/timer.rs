//! Sleeps with the kernel timer's resolution, one timer file descriptor per runtime.
//!
//! Why not tokio's own timer: it rounds up to whole milliseconds, and an intended send time that slips by a
//! millisecond would show as latency of the target. Entries of dropped sleeps stay until they are due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Wakes tasks of one runtime at given instants.
pub struct Timer {
    descriptor: AsyncFd<OwnedFd>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    entries: BinaryHeap<Reverse<Entry>>,
    armed: Option<Instant>,
}

struct Entry {
    deadline: Instant,
    waker: Waker,
}

impl Timer {
    /// Opens the timer and spawns its driver on the current runtime.
    pub fn start() -> io::Result<Arc<Self>> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = watch(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        let timer = Arc::new(Self { descriptor, queue: Mutex::default() });
        let driven = Arc::clone(&timer);
        tokio::spawn(async move {
            if let Err(error) = driven.drive().await {
                eprintln!("loadtest: the timer failed: {error}");
            }
        });
        Ok(timer)
    }

    /// Returns at `deadline` or just after; must be polled by one task only.
    pub async fn sleep_until(&self, deadline: Instant) {
        let mut queued = false;
        poll_fn(|context| {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            if !queued {
                queued = true;
                self.queue(deadline, context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn queue(&self, deadline: Instant, waker: Waker) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.entries.push(Reverse(Entry { deadline, waker }));
        self.arm(&mut queue);
    }

    /// Sets the kernel's timer for the first entry, unless it already stands there.
    fn arm(&self, queue: &mut Queue) {
        let first = queue.entries.peek().map(|Reverse(entry)| entry.deadline);
        if first.is_none() || queue.armed.is_some_and(|armed| first >= Some(armed)) {
            return;
        }
        queue.armed = first;
        let wait =
            first.map_or(0, |at| at.saturating_duration_since(Instant::now()).as_nanos().max(1));
        // Zero would disarm the timer, hence the maximum above; i64 seconds hold any Instant difference.
        let value = Timespec {
            tv_sec: (wait / 1_000_000_000) as i64,
            tv_nsec: (wait % 1_000_000_000) as i64,
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)
            .expect("a valid timer and time");
    }

    async fn drive(&self) -> io::Result<()> {
        loop {
            let mut ready = self.descriptor.readable().await?;
            let mut expirations = [0; 8];
            // A read that would block clears the readiness; any other result only says that the timer fired.
            let _ = ready.try_io(|descriptor| Ok(rustix::io::read(descriptor, &mut expirations)?));
            ready.clear_ready();
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            queue.armed = None;
            while queue.entries.peek().is_some_and(|Reverse(entry)| entry.deadline <= now) {
                if let Some(Reverse(entry)) = queue.entries.pop() {
                    entry.waker.wake();
                }
            }
            self.arm(&mut queue);
        }
    }
}

#[expect(unsafe_code, reason = "tokio asks its caller to vouch for the descriptor")]
fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and always the same descriptor; the `AsyncFd` owns it and nothing here takes it
    // out or replaces it.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.deadline.cmp(&other.deadline)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.deadline == other.deadline
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sleeps_end_in_order_and_not_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let timer = Timer::start().unwrap();
            let start = Instant::now();
            let order = Arc::new(Mutex::new(Vec::new()));
            let tasks: Vec<_> = [3_000, 500, 1_700, 0]
                .into_iter()
                .map(|us| {
                    let (timer, order) = (Arc::clone(&timer), Arc::clone(&order));
                    tokio::spawn(async move {
                        let deadline = start + Duration::from_micros(us);
                        timer.sleep_until(deadline).await;
                        assert!(Instant::now() >= deadline);
                        order.lock().unwrap().push(us);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*order.lock().unwrap(), [0, 500, 1_700, 3_000]);
        });
    }
}
