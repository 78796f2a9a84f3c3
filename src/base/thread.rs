//! Background threads that are joined with a timeout.
//!
//! A thread may hang in a system call, for example on an unresponsive disk or a pipe without a
//! reader. The process still ends.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, Thread, sleep};
use std::time::{Duration, Instant};

/// Interval between attempts to send to a full queue.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// A background thread.
#[derive(Debug)]
pub struct BackgroundThread {
    handle: JoinHandle<()>,
    end: Arc<ThreadEnd>,
}

#[derive(Debug, Default)]
struct ThreadEnd {
    is_reached: Mutex<bool>,
    reached: Condvar,
}

/// Signals the end when the body returns or panics.
struct EndSignal(Arc<ThreadEnd>);

impl Drop for EndSignal {
    fn drop(&mut self) {
        *self.0.is_reached.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.reached.notify_all();
    }
}

impl BackgroundThread {
    /// Starts `body` on a named thread.
    ///
    /// # Errors
    /// If the system cannot create the thread.
    pub fn start(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let end = Arc::<ThreadEnd>::default();
        let signal = EndSignal(Arc::clone(&end));
        let body = move || {
            let _signal = signal;
            body();
        };
        Ok(Self { handle: Builder::new().name(name).spawn(body)?, end })
    }

    /// Handle for other threads that unpark it.
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }

    /// Unparks it.
    pub fn unpark(&self) {
        self.thread().unpark();
    }

    /// Waits for its end, at most `limit`; false if it still runs.
    pub fn join_within(self, limit: Duration) -> bool {
        let is_reached = self.end.is_reached.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.end.reached.wait_timeout_while(is_reached, limit, |reached| !*reached);
        let has_ended = *waited.unwrap_or_else(PoisonError::into_inner).0;
        if has_ended {
            // The join returns at once. The panic hook has reported a panic.
            let _ = self.handle.join();
        }
        has_ended
    }

    /// Sends the message that stops the thread and waits for its end, both within about `limit`;
    /// false if it still runs.
    pub fn stop_within<T>(self, jobs: &SyncSender<T>, stop: T, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut message = stop;
        // The send fails if the thread has ended.
        while let Err(TrySendError::Full(unsent)) = jobs.try_send(message) {
            if Instant::now() >= end {
                return false;
            }
            message = unsent;
            sleep(FULL_PAUSE);
        }
        self.join_within(end.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    /// Reached only if the thread hangs.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn hanging_thread_is_abandoned() {
        let (jobs, queue) = sync_channel::<u8>(1);
        let (hold, held) = sync_channel::<()>(1);
        let thread = BackgroundThread::start("hangs".to_owned(), move || {
            let _ = held.recv();
            drop(queue);
        });
        let thread = thread.expect("a thread");
        assert!(jobs.try_send(0).is_ok());
        // The queue is full and has no consumer.
        assert!(!thread.stop_within(&jobs, 1, Duration::from_millis(20)));
        drop(hold);
    }

    #[test]
    fn ending_thread_is_joined() {
        for panics in [false, true] {
            let (jobs, queue) = sync_channel::<u8>(1);
            let body = move || {
                queue.recv().expect("a message");
                assert!(!panics, "as the test wants");
            };
            let thread = BackgroundThread::start("ends".to_owned(), body).expect("a thread");
            assert!(thread.stop_within(&jobs, 1, LONG));
        }
        let thread = BackgroundThread::start("ends".to_owned(), std::thread::park);
        let thread = thread.expect("a thread");
        thread.unpark();
        assert!(thread.join_within(LONG));
    }
}
