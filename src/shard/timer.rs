//! Timers of a shard: deadlines around futures, with 1 ms resolution (the runtime's wheel).
//!
//! On a thread whose clock is stopped they are timers of a simulation instead, see `virtual_time`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::Either;

use super::virtual_time::VirtualSleep;
use crate::base::{Instant, StoppedClock};

/// Done at its deadline.
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

/// Runs `future` until `deadline`. The future is dropped at the deadline: only futures that keep
/// their state elsewhere (such as [`super::Reader::fill`]) may be asked again.
///
/// # Errors
/// [`TimedOut`] at the deadline.
pub async fn within<F: Future>(deadline: Instant, future: F) -> Result<F::Output, TimedOut> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep_until(deadline));
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        sleep.as_mut().poll(context).map(|()| Err(TimedOut))
    })
    .await
}

/// A timer for many waits in a row, such as those for the pieces of a stream. It is set again only
/// when it goes off too early, not for each wait: a wait costs no work on the timer wheel.
pub struct Watchdog {
    sleep: Pin<Box<Sleep>>,
    set_for: Instant,
}

impl Watchdog {
    /// A timer whose first deadline is about `deadline`.
    #[must_use]
    pub fn new(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), set_for: deadline }
    }

    /// As [`within`].
    ///
    /// # Errors
    /// [`TimedOut`] at the deadline.
    pub async fn within<F: Future>(
        &mut self,
        deadline: Instant,
        future: F,
    ) -> Result<F::Output, TimedOut> {
        let mut future = pin!(future);
        if deadline < self.set_for {
            self.set(deadline);
        }
        poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            while self.sleep.as_mut().poll(context).is_ready() {
                if self.set_for >= deadline {
                    return Poll::Ready(Err(TimedOut));
                }
                self.set(deadline);
            }
            Poll::Pending
        })
        .await
    }

    fn set(&mut self, deadline: Instant) {
        self.set_for = deadline;
        match self.sleep.as_mut().as_pin_mut() {
            Either::Left(sleep) => sleep.reset(deadline.into_std().into()),
            Either::Right(mut sleep) => sleep.set(VirtualSleep::until(deadline)),
        }
    }
}

/// Sleeps for at least `duration`.
pub async fn sleep(duration: Duration) {
    sleep_until(Instant::now().after(duration)).await;
}
