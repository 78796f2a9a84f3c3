//! The threads of a run and the order in which their connections send.
//!
//! Open loop: request number `k` is due at `start + k / rate`, whoever sends it. A connection that is free takes the
//! next number and waits for its time; if all are busy the time has passed when one takes it, and the wait counts,
//! because latency starts when the request was due.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::ClientConnection;
use super::options::RequestKind;
use super::progress::Progress;
use super::tally::{Failure, Tally, record};
use super::target::Target;
use crate::timer::Timer;

/// Pause after a failed connect, so that a dead target is not called a million times.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// When requests are due and which of them count.
pub struct Schedule {
    start: Instant,
    window_start: Instant,
    /// No request is due from here on; `None` if only the budget ends the run.
    window_end: Option<Instant>,
    /// No request is sent from here on, even if it was due before.
    drain_end: Option<Instant>,
    /// Seconds between two requests of an open loop.
    interval: Option<f64>,
    next: AtomicU64,
    budget: AtomicU64,
}

/// One request to send.
struct Turn {
    due: Instant,
    counts: bool,
}

impl Schedule {
    pub fn new(
        start: Instant,
        warmup: Duration,
        window: Option<Duration>,
        timeout: Duration,
        rate: Option<f64>,
        requests: Option<u64>,
    ) -> Self {
        let window_start = start + warmup;
        let window_end = window.map(|window| window_start + window);
        Self {
            start,
            window_start,
            window_end,
            drain_end: window_end.map(|end| end + timeout),
            interval: rate.map(|rate| 1.0 / rate),
            next: AtomicU64::new(0),
            budget: AtomicU64::new(requests.unwrap_or(u64::MAX)),
        }
    }

    pub fn window_start(&self) -> Instant {
        self.window_start
    }

    pub fn window_end(&self) -> Option<Instant> {
        self.window_end
    }

    /// The next request; `None` when the run is over. Adds to `unsent` what came too late to be sent.
    fn turn(&self, unsent: &mut u64) -> Option<Turn> {
        loop {
            let now = Instant::now();
            let due = match self.interval {
                None => now,
                Some(interval) => {
                    let number = self.next.fetch_add(1, Ordering::Relaxed);
                    self.start + Duration::from_secs_f64(number as f64 * interval)
                }
            };
            if self.window_end.is_some_and(|end| due >= end) {
                return None;
            }
            let counts = due >= self.window_start;
            if counts && !self.take_from_budget() {
                return None;
            }
            if self.drain_end.is_none_or(|end| now < end) {
                return Some(Turn { due, counts });
            }
            *unsent += u64::from(counts);
        }
    }

    fn take_from_budget(&self) -> bool {
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }
}

/// What all threads of a run share.
pub struct Run {
    pub target: Arc<Target>,
    pub kind: RequestKind,
    pub timeout: Duration,
    pub requests: Vec<Box<[u8]>>,
    pub schedule: Schedule,
    pub progress: Progress,
    /// Counts requests sent, to take the prompts in turn.
    pub sent: AtomicU64,
}

/// Runs `connections` connections on the calling thread until the schedule ends.
pub fn run_thread(run: &Arc<Run>, connections: usize, core: Option<usize>) -> io::Result<Tally> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    crate::runtime::pinned(core)?.block_on(async {
        let timer = Timer::start()?;
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(drive(Arc::clone(run), Arc::clone(&timer), Arc::clone(&tally))))
            .collect();
        for task in tasks {
            task.await.map_err(io::Error::other)?;
        }
        Ok::<_, io::Error>(())
    })?;
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.clone())
}

/// Keeps one connection busy. The tally's lock is never contended: its thread is the only user.
async fn drive(run: Arc<Run>, timer: Arc<Timer>, tally: Arc<Mutex<Tally>>) {
    let mut connection = ClientConnection::new(Arc::clone(&run.target), run.kind, run.timeout);
    let mut unsent = 0;
    while let Some(turn) = run.schedule.turn(&mut unsent) {
        timer.sleep_until(turn.due).await;
        let number = run.sent.fetch_add(1, Ordering::Relaxed) as usize;
        let request = &run.requests[number % run.requests.len()];
        let outcome = connection.exchange(request, &run.progress).await;
        run.progress.add_outcome(outcome.is_ok());
        if turn.counts {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match &outcome {
                Ok(answer) => {
                    tally.succeeded += 1;
                    record(&mut tally.latency, answer.end - turn.due);
                    record(&mut tally.first_byte, answer.first_byte - turn.due);
                    if let Some(status) = answer.cache {
                        tally.record_cache(status, answer.end - turn.due);
                    }
                    for gap in connection.gaps() {
                        record(&mut tally.inter_event, *gap);
                    }
                }
                Err(failure) => tally.fail(*failure),
            }
        }
        if outcome.is_err_and(|failure| failure == Failure::Connect) {
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
    }
    tally.lock().unwrap_or_else(PoisonError::into_inner).unsent += unsent;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(schedule: &Schedule) -> (u64, u64, u64) {
        let (mut counted, mut warm, mut unsent) = (0, 0, 0);
        while let Some(turn) = schedule.turn(&mut unsent) {
            if turn.counts { counted += 1 } else { warm += 1 }
        }
        (counted, warm, unsent)
    }

    #[test]
    fn open_loop_follows_the_clock() {
        let second = Duration::from_secs(1);
        let make = |start, requests| {
            Schedule::new(start, second / 10, Some(second), second, Some(1000.0), requests)
        };
        assert_eq!(count(&make(Instant::now(), None)), (1000, 100, 0));
        assert_eq!(count(&make(Instant::now(), Some(30))), (30, 100, 0));
        // Started so long ago that nothing may be sent any more.
        let past = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        assert_eq!(count(&make(past, None)), (0, 0, 1000));
    }

    #[test]
    fn closed_loop_ends_by_budget_or_time() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        assert_eq!(
            count(&Schedule::new(now, Duration::ZERO, None, second, None, Some(7))),
            (7, 0, 0)
        );
        let past = now.checked_sub(3 * second).unwrap();
        assert_eq!(
            count(&Schedule::new(past, second, Some(second), second, None, None)),
            (0, 0, 0)
        );
    }
}
