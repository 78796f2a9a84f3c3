//! Time for simulations: it stands still while a task can run, then jumps to the next timer.
//!
//! A future without sockets runs here without a runtime, and hours of waiting take no time. The
//! same future sees the same times in each run.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::base::{Instant, StoppedClock};

thread_local! {
    /// Wakers and their deadlines. A dropped sleep stays listed; time stops there once, without
    /// effect.
    static SLEEPERS: RefCell<Vec<(Instant, Waker)>> = const { RefCell::new(Vec::new()) };
}

/// The future waits for something that never happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is left to wait for")]
pub struct Deadlock;

/// A sleep in virtual time.
pub(super) struct VirtualSleep {
    deadline: Instant,
}

impl VirtualSleep {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline }
    }
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        SLEEPERS.with_borrow_mut(|waiting| waiting.push((self.deadline, context.waker().clone())));
        Poll::Pending
    }
}

/// Whether the future was woken since it was polled.
#[derive(Default)]
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `future` on the calling thread in virtual time.
///
/// # Errors
/// [`Deadlock`] if it is pending and no timer is set.
pub fn run_in_virtual_time<F: Future>(future: F) -> Result<F::Output, Deadlock> {
    let clock = StoppedClock::stop();
    SLEEPERS.with_borrow_mut(Vec::clear);
    let woken = Arc::new(WakeFlag::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(value);
        }
        while !woken.0.swap(false, Ordering::Relaxed) {
            advance(&clock)?;
        }
    }
}

/// Moves the clock to the earliest timer and wakes all that are due then.
fn advance(clock: &StoppedClock) -> Result<(), Deadlock> {
    let due: Vec<(Instant, Waker)> = SLEEPERS.with_borrow_mut(|waiting| {
        let Some(next) = waiting.iter().map(|(deadline, _)| *deadline).min() else {
            return Vec::new();
        };
        clock.set(next);
        waiting.extract_if(.., |(deadline, _)| *deadline <= next).collect()
    });
    if due.is_empty() {
        return Err(Deadlock);
    }
    due.into_iter().for_each(|(_, waker)| waker.wake());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::timer::{Watchdog, sleep, within};
    use super::*;

    #[test]
    fn virtual_hours_take_no_real_time() {
        let real = std::time::Instant::now();
        let slept = run_in_virtual_time(async {
            let begun = Instant::now();
            sleep(Duration::from_secs(3_600)).await;
            let long = within(Instant::now().after(Duration::from_secs(2)), sleep_long()).await;
            assert!(long.is_err());
            let mut watchdog = Watchdog::default();
            let soon = Instant::now().after(Duration::from_secs(1));
            assert!(watchdog.within(soon, std::future::ready(())).await.is_ok());
            let later = Instant::now().after(Duration::from_secs(5));
            assert!(watchdog.within(later, sleep_long()).await.is_err());
            begun.elapsed()
        });
        assert_eq!(slept, Ok(Duration::from_secs(3_607)));
        assert!(real.elapsed() < Duration::from_secs(60));
        assert!(!StoppedClock::is_stopped());
    }

    async fn sleep_long() {
        sleep(Duration::from_secs(1_000)).await;
    }

    #[test]
    fn waiting_without_timer_is_a_deadlock() {
        assert_eq!(run_in_virtual_time(std::future::pending::<()>()), Err(Deadlock));
    }
}
