//! Timers of a shard: deadlines around futures, with 1 ms resolution (the runtime's wheel).

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use monoio::time::Sleep;

use crate::base::Instant;

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
    monoio::time::timeout_at(deadline.into_std().into(), future).await.map_err(|_| TimedOut)
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
        let sleep = Box::pin(monoio::time::sleep_until(deadline.into_std().into()));
        Self { sleep, set_for: deadline }
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
        self.sleep.as_mut().reset(deadline.into_std().into());
    }
}

/// Sleeps for at least `duration`.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}
