//! Busy polling: the shard's thread spins for a while after each activity instead of sleeping.
//!
//! Every finished read counts as activity. [`spin_tasks`] keep the run queue non-empty while the last
//! activity is younger than `busy_poll_us`, so that the runtime polls the ring instead of sleeping in
//! the kernel; after that it sleeps until the next activity.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use monoio::fs::File;

use crate::base::{Instant, open_to_write};

thread_local! {
    static ACTIVITY: Cell<u64> = const { Cell::new(0) };
    static SLEEPER: RefCell<Option<Waker>> = const { RefCell::new(None) };
    static ENABLED: Cell<bool> = const { Cell::new(false) };
}

/// Records activity and wakes the spin tasks. Costs a load and a branch where busy polling is off.
pub(super) fn mark_activity() {
    if !ENABLED.get() {
        return;
    }
    ACTIVITY.set(ACTIVITY.get().wrapping_add(1));
    if let Some(waker) = SLEEPER.with_borrow_mut(Option::take) {
        waker.wake();
    }
}

/// While it spins, the runtime handles neither timers nor tasks woken by other threads. At this
/// interval it is made to handle them.
const YIELD_EVERY: Duration = Duration::from_micros(100);

/// Two tasks that keep each other awake for `window` after each activity, for the lifetime of the
/// shard, and a third that pauses them every [`YIELD_EVERY`].
///
/// Two, because the runtime puts a task that wakes itself at the front of its queue, before tasks
/// whose I/O has just completed; a task woken by another one goes to the back.
///
/// # Errors
/// If `/dev/null` cannot be opened.
pub(super) fn spin_tasks(
    window: Duration,
) -> io::Result<([impl Future<Output = ()>; 2], impl Future<Output = ()>)> {
    let null_device = File::from_std(open_to_write(Path::new("/dev/null"))?)?;
    ENABLED.set(true);
    let state = Rc::new(SpinState {
        wakers: RefCell::default(),
        yield_task: RefCell::default(),
        seen: Cell::new(ACTIVITY.get()),
        last: Cell::new(Instant::now()),
        last_yield: Cell::new(Instant::now()),
        window,
    });
    let spin_tasks = [0, 1].map(|number| {
        let state = Rc::clone(&state);
        poll_fn(move |context| state.poll(number, context))
    });
    Ok((spin_tasks, yield_to_driver(state, null_device)))
}

/// Waits until a yield is due. The only runnable work is then this task's own operation, which the
/// kernel completes at once, so the runtime runs all steps that precede a sleep, but does not
/// sleep.
async fn yield_to_driver(state: Rc<SpinState>, null_device: File) {
    let mut byte = vec![0];
    loop {
        poll_fn(|context| state.poll_yield(context)).await;
        // A failure has no remedy and no effect.
        (_, byte) = null_device.write_at(byte, 0).await;
        state.last_yield.set(Instant::now());
        let mut wakers = state.wakers.borrow_mut();
        if let Some(spin_task) = wakers.iter_mut().find_map(Option::take) {
            spin_task.wake();
        }
    }
}

struct SpinState {
    wakers: RefCell<[Option<Waker>; 2]>,
    yield_task: RefCell<Option<Waker>>,
    seen: Cell<u64>,
    last: Cell<Instant>,
    last_yield: Cell<Instant>,
    window: Duration,
}

impl SpinState {
    /// Never ready: wakes the other task, or sleeps until the next activity or yield.
    fn poll(&self, number: usize, context: &mut Context<'_>) -> Poll<()> {
        let activity = ACTIVITY.get();
        if activity != self.seen.replace(activity) {
            self.last.set(Instant::now());
        }
        let mine = Some(context.waker().clone());
        if self.last.get().elapsed() >= self.window {
            SLEEPER.with_borrow_mut(|slot| *slot = mine);
            return Poll::Pending;
        }
        let mut wakers = self.wakers.borrow_mut();
        if let Some(slot) = wakers.get_mut(number) {
            *slot = mine;
        }
        if self.last_yield.get().elapsed() >= YIELD_EVERY
            && let Some(yield_task) = self.yield_task.borrow_mut().take()
        {
            yield_task.wake();
            return Poll::Pending;
        }
        // Back to the run queue through the other task: the runtime submits and reaps once per
        // round.
        if let Some(other) = wakers.get_mut(1 - number).and_then(Option::take) {
            other.wake();
        }
        Poll::Pending
    }

    /// Ready when a yield is due.
    fn poll_yield(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.last_yield.get().elapsed() >= YIELD_EVERY && self.yield_task.borrow().is_none() {
            return Poll::Ready(());
        }
        *self.yield_task.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}
