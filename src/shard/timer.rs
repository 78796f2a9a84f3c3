//! Timers of a shard: deadlines around futures, with 1 ms resolution (the runtime's wheel).
//!
//! On a thread with a stopped clock they are timers of a simulation, see `virtual_time`.

use std::borrow::BorrowMut;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;

use super::virtual_time::VirtualSleep;
use crate::base::{Instant, StoppedClock};

/// Ready at its deadline.
pub(super) type Sleep = Either<monoio::time::Sleep, VirtualSleep>;

/// Sleeps until `deadline`.
pub(super) fn sleep_until(deadline: Instant) -> Sleep {
    if StoppedClock::is_stopped() {
        Either::Right(VirtualSleep::until(deadline))
    } else {
        Either::Left(monoio::time::sleep_until(deadline.into_std().into()))
    }
}

/// The deadline passed before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline passed")]
pub struct TimedOut;

/// Runs `future` until `deadline`, then returns [`TimedOut`]. The future is dropped at the
/// deadline: only operations that keep their state elsewhere (such as [`super::Reader::fill`]) may
/// be called again.
///
/// The timer is created when `future` first has to wait.
pub fn within<F: Future>(deadline: Instant, future: F) -> Timeout<Watchdog, F> {
    Timeout { watchdog: Watchdog::default(), deadline, future }
}

pin_project_lite::pin_project! {
    /// See [`within`] and [`Watchdog::within`]. Not an `async fn`, whose future would hold its
    /// argument twice: as an argument, and pinned.
    pub struct Timeout<W, F> {
        watchdog: W,
        deadline: Instant,
        #[pin]
        future: F,
    }
}

impl<W: BorrowMut<Watchdog>, F: Future> Future for Timeout<W, F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(context) {
            return Poll::Ready(Ok(value));
        }
        let watchdog: &mut Watchdog = this.watchdog.borrow_mut();
        watchdog.poll(*this.deadline, context).map(|()| Err(TimedOut))
    }
}

/// A timer for consecutive waits, such as those of the calls on a connection. It is reset only when
/// it fires too early, not for each wait, so a wait costs no work on the timer wheel.
#[derive(Default)]
pub struct Watchdog {
    /// Created for the first wait, and on the heap: a timer of the runtime has 640 bytes.
    timer: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl Watchdog {
    /// As [`within`].
    pub fn within<F: Future>(&mut self, deadline: Instant, future: F) -> Timeout<&mut Self, F> {
        Timeout { watchdog: self, deadline, future }
    }

    fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let make = || (Box::pin(sleep_until(deadline)), deadline);
        let (sleep, set_for) = self.timer.get_or_insert_with(make);
        if deadline < *set_for {
            set(sleep.as_mut(), deadline);
            *set_for = deadline;
        }
        while sleep.as_mut().poll(context).is_ready() {
            if *set_for >= deadline {
                return Poll::Ready(());
            }
            set(sleep.as_mut(), deadline);
            *set_for = deadline;
        }
        Poll::Pending
    }
}

fn set(sleep: Pin<&mut Sleep>, deadline: Instant) {
    match sleep.as_pin_mut() {
        Either::Left(sleep) => sleep.reset(deadline.into_std().into()),
        Either::Right(mut sleep) => sleep.set(VirtualSleep::until(deadline)),
    }
}

/// Sleeps for at least `duration`.
pub async fn sleep(duration: Duration) {
    sleep_until(Instant::now().after(duration)).await;
}
