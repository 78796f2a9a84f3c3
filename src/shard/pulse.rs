//! Signs of life of one shard, for the thread that would rather spin than sleep.
//!
//! Every finished read beats the pulse. [`spinners`] keep the run queue non-empty while the last
//! beat is younger than `busy_poll_us`, so that the runtime polls the ring instead of sleeping in
//! the kernel; after that it sleeps until the next beat.

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

/// While it spins, the runtime neither looks at its timers nor at what other threads have woken; so
/// often it is made to.
const BREATH_EVERY: Duration = Duration::from_micros(100);

/// Two tasks that keep each other awake for `window` after each beat, for as long as the shard, and a
/// third that stops them for a breath now and then.
///
/// Two, because the runtime puts a task that wakes itself at the front of its queue, before the
/// tasks whose I/O has just completed; one that is woken by another goes to the back.
///
/// # Errors
/// Where there is no `/dev/null`.
pub(super) fn spinners(
    window: Duration,
) -> io::Result<([impl Future<Output = ()>; 2], impl Future<Output = ()>)> {
    let nowhere = File::from_std(open_to_write(Path::new("/dev/null"))?)?;
    SPINS.set(true);
    let turn = Rc::new(Turn {
        wakers: RefCell::default(),
        breather: RefCell::default(),
        seen: Cell::new(BEATS.get()),
        last: Cell::new(Instant::now()),
        breath: Cell::new(Instant::now()),
        window,
    });
    let spinners = [0, 1].map(|number| {
        let turn = Rc::clone(&turn);
        poll_fn(move |context| turn.poll(number, context))
    });
    Ok((spinners, breathe(turn, nowhere)))
}

/// Waits until a breath is due. Then its own operation, which the kernel completes at once, is all
/// that the run queue waits for, so that the runtime goes through all that it does before it sleeps,
/// and does not sleep.
async fn breathe(turn: Rc<Turn>, nowhere: File) {
    let mut byte = vec![0];
    loop {
        poll_fn(|context| turn.poll_breath(context)).await;
        // There is nothing to be done about a failure.
        (_, byte) = nowhere.write_at(byte, 0).await;
        turn.breath.set(Instant::now());
        let mut wakers = turn.wakers.borrow_mut();
        if let Some(spinner) = wakers.iter_mut().find_map(Option::take) {
            spinner.wake();
        }
    }
}

struct Turn {
    wakers: RefCell<[Option<Waker>; 2]>,
    breather: RefCell<Option<Waker>>,
    seen: Cell<u64>,
    last: Cell<Instant>,
    breath: Cell<Instant>,
    window: Duration,
}

impl Turn {
    /// Never ready: hands the turn to the other task, or sleeps until the next beat or breath.
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
        if self.breath.get().elapsed() >= BREATH_EVERY
            && let Some(breather) = self.breather.borrow_mut().take()
        {
            breather.wake();
            return Poll::Pending;
        }
        // Back to the run queue by way of the other: the runtime submits and reaps once per round.
        if let Some(other) = wakers.get_mut(1 - number).and_then(Option::take) {
            other.wake();
        }
        Poll::Pending
    }

    /// Ready when a spinner asks for a breath.
    fn poll_breath(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.breath.get().elapsed() >= BREATH_EVERY && self.breather.borrow().is_none() {
            return Poll::Ready(());
        }
        *self.breather.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}
