//! Threads in the background, whose end is waited for with a limit.
//!
//! A thread may hang in a system call: a disk that does not answer, a pipe that nobody reads. The
//! process ends all the same.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, Thread, sleep};
use std::time::{Duration, Instant};

/// A full queue is tried again after this.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// A thread of its own.
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

/// Reports the end when the body returns or panics.
struct EndSignal(Arc<ThreadEnd>);

impl Drop for EndSignal {
    fn drop(&mut self) {
        *self.0.is_reached.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.reached.notify_all();
    }
}

impl BackgroundThread {
    /// Starts `body` on a thread of that name.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let end = Arc::<ThreadEnd>::default();
        let signal = EndSignal(Arc::clone(&end));
        let body = move || {
            let _signal = signal;
            body();
        };
        Ok(Self { handle: Builder::new().name(name).spawn(body)?, end })
    }

    /// The thread, for others that end its `park`.
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }

    /// Ends its `park`.
    pub fn unpark(&self) {
        self.thread().unpark();
    }

    /// Waits for its end, at most `limit`; false if it still runs.
    pub fn join_within(self, limit: Duration) -> bool {
        let is_reached = self.end.is_reached.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.end.reached.wait_timeout_while(is_reached, limit, |reached| !*reached);
        let has_ended = *waited.unwrap_or_else(PoisonError::into_inner).0;
        if has_ended {
            // It has nothing left to do. A panic is reported by the hook.
            let _ = self.handle.join();
        }
        has_ended
    }

    /// Sends the message that ends the thread and waits for its end, both within about `limit`; false
    /// if it still runs.
    pub fn stop_within<T>(self, jobs: &SyncSender<T>, stop: T, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut message = stop;
        // A thread that is gone takes no message, and has ended.
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

    /// Passed only by a thread that hangs.
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
        // The queue is full, and nobody takes from it.
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
