//! Messages to the operator, written to standard error.
//!
//! Queuing a message never blocks. Standard error may be closed, full or a pipe without a reader;
//! only the writer thread in `telemetry/` waits for it. The queue is bounded. A message that does
//! not fit or cannot be written is dropped and counted.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of queued messages, at most. A long list of diagnostics in a settings file has about 10
/// KiB.
const QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Pause before a write is retried on a standard error that another process has set to
/// non-blocking, and number of retries.
const FULL_PAUSE: Duration = Duration::from_millis(10);
const FULL_TRIES: usize = 200;

static MESSAGES: MessageQueue = MessageQueue::new();

/// Queues `ringgate: TEXT` and a line feed for standard error. Never blocks and never fails.
pub fn log_message(text: impl Display) {
    MESSAGES.push(format!("ringgate: {text}\n"));
}

/// Number of messages that were dropped or could not be written.
#[must_use]
pub fn messages_dropped() -> u64 {
    MESSAGES.dropped.load(Ordering::Relaxed)
}

/// Writes queued messages to `output`, forever. For one thread of the process.
pub fn write_messages(mut output: impl Write) {
    loop {
        MESSAGES.write_next(&mut output);
    }
}

/// Waits until all queued messages are written, at most `limit`; false if some are not.
pub fn flush_messages(limit: Duration) -> bool {
    MESSAGES.wait_until_empty(limit)
}

struct MessageQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
    dropped: AtomicU64,
}

struct QueueState {
    messages: VecDeque<String>,
    bytes: usize,
    is_writing: bool,
}

impl MessageQueue {
    const fn new() -> Self {
        let state = QueueState { messages: VecDeque::new(), bytes: 0, is_writing: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), dropped: AtomicU64::new(0) }
    }

    fn push(&self, message: String) {
        let mut state = self.locked();
        if state.bytes.saturating_add(message.len()) > QUEUE_BYTES_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes += message.len();
        state.messages.push_back(message);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for a message and writes it. The lock is not held during the write.
    fn write_next(&self, output: &mut impl Write) {
        let state = self.locked();
        let waited = self.changed.wait_while(state, |state| state.messages.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(message) = state.messages.pop_front() else { return };
        state.bytes = state.bytes.saturating_sub(message.len());
        state.is_writing = true;
        drop(state);
        if write_whole(output, message.as_bytes()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.locked().is_writing = false;
        self.changed.notify_all();
    }

    fn wait_until_empty(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.locked();
        while state.is_writing || !state.messages.is_empty() {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn locked(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_whole(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    let mut tries = 0;
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < FULL_TRIES => {
                tries += 1;
                std::thread::sleep(FULL_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts some bytes at a time and fails once it is full.
    struct Output {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.room.min(bytes.len()).min(3);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_are_written_in_order_and_failures_are_counted() {
        let queue = MessageQueue::new();
        for message in ["one\n", "two\n", "three\n"] {
            queue.push(message.to_owned());
        }
        let mut output = Output { room: 8, bytes: Vec::new() };
        (0..3).for_each(|_| queue.write_next(&mut output));
        assert_eq!(output.bytes, b"one\ntwo\n");
        assert_eq!(queue.dropped.load(Ordering::Relaxed), 1);
        assert!(queue.wait_until_empty(Duration::ZERO));
    }

    #[test]
    fn queue_without_writer_is_bounded() {
        let queue = MessageQueue::new();
        let message = "x".repeat(QUEUE_BYTES_MAX / 4);
        (0..7).for_each(|_| queue.push(message.clone()));
        assert_eq!(queue.dropped.load(Ordering::Relaxed), 3);
        assert!(!queue.wait_until_empty(Duration::from_millis(1)));
        queue.write_next(&mut io::sink());
        queue.push(message);
        assert_eq!(queue.dropped.load(Ordering::Relaxed), 3);
    }
}
