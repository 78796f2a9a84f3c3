//! Signs of life of one shard, for the thread that would rather spin than sleep.
//!
//! Every finished read beats the pulse. [`spinners`] keep the run queue non-empty while the last
//! beat is younger than `busy_poll_us`, so that the runtime polls the ring instead of sleeping in
//! the kernel; after that it sleeps until the next beat.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::Instant;

thread_local! {
    static BEATS: Cell<u64> = const { Cell::new(0) };
    static SLEEPER: RefCell<Option<Waker>> = const { RefCell::new(None) };
    static SPINS: Cell<bool> = const { Cell::new(false) };
}

/// Tells the shard that something has happened. Costs a load and a branch where nobody spins.
pub(super) fn beat() {
    if !SPINS.get() {
        return;
    }
    BEATS.set(BEATS.get().wrapping_add(1));
    if let Some(waker) = SLEEPER.with_borrow_mut(Option::take) {
        waker.wake();
    }
}

/// Two tasks that keep each other awake for `window` after each beat, for as long as the shard.
///
/// Two, because the runtime puts a task that wakes itself at the front of its queue, before the
/// tasks whose I/O has just completed; one that is woken by another goes to the back.
pub(super) fn spinners(window: Duration) -> [impl Future<Output = ()>; 2] {
    SPINS.set(true);
    let turn = Rc::new(Turn {
        wakers: RefCell::default(),
        seen: Cell::new(BEATS.get()),
        last: Cell::new(Instant::now()),
        window,
    });
    [0, 1].map(|number| {
        let turn = Rc::clone(&turn);
        poll_fn(move |context| turn.poll(number, context))
    })
}

struct Turn {
    wakers: RefCell<[Option<Waker>; 2]>,
    seen: Cell<u64>,
    last: Cell<Instant>,
    window: Duration,
}

impl Turn {
    /// Never ready: hands the turn to the other task, or sleeps until the next beat.
    fn poll(&self, number: usize, context: &mut Context<'_>) -> Poll<()> {
        let beats = BEATS.get();
        if beats != self.seen.replace(beats) {
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
        // Back to the run queue by way of the other: the runtime submits and reaps once per round.
        if let Some(other) = wakers.get_mut(1 - number).and_then(Option::take) {
            other.wake();
        }
        Poll::Pending
    }
}
