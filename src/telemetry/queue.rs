//! A queue of events between two threads, bounded by the memory of the queued events.
//!
//! Neither end blocks. Each writes a counter of its own and reads the other's, so counting bytes
//! takes no read-modify-write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::event::RequestEvent;

/// A batch ends with the event that reaches this size.
const BATCH_BYTES: usize = 256 * 1024;

/// The sending end.
pub struct EventSender {
    ring: Producer<Arc<RequestEvent>>,
    bytes_max: usize,
    /// Bytes of all events sent; wraps.
    sent: usize,
    /// Bytes of all events taken; wraps.
    taken: Arc<AtomicUsize>,
}

/// The receiving end.
pub(super) struct EventReceiver {
    ring: Consumer<Arc<RequestEvent>>,
    taken: Arc<AtomicUsize>,
}

/// A queue whose events hold at most `bytes_max` bytes.
pub(super) fn event_queue(bytes_max: usize) -> (EventSender, EventReceiver) {
    // An event is at least as large as its struct, so the byte limit is the effective one.
    let (producer, consumer) = RingBuffer::new(bytes_max / size_of::<RequestEvent>() + 1);
    let taken = Arc::<AtomicUsize>::default();
    let sender = EventSender { ring: producer, bytes_max, sent: 0, taken: Arc::clone(&taken) };
    (sender, EventReceiver { ring: consumer, taken })
}

impl EventSender {
    /// Sends an event; false if the queue is full and the event is lost.
    pub fn send(&mut self, event: Arc<RequestEvent>) -> bool {
        let bytes = event.size();
        // The ring orders the events; an older value of the counter is safe.
        let waiting = self.sent.wrapping_sub(self.taken.load(Ordering::Relaxed));
        if waiting.saturating_add(bytes) > self.bytes_max || self.ring.push(event).is_err() {
            return false;
        }
        self.sent = self.sent.wrapping_add(bytes);
        true
    }
}

impl EventReceiver {
    /// Moves queued events into `batch`, up to [`BATCH_BYTES`].
    pub(super) fn take(&mut self, batch: &mut Vec<Arc<RequestEvent>>) {
        let before = self.taken.load(Ordering::Relaxed);
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Ok(event) = self.ring.pop()
        {
            bytes += event.size();
            batch.push(event);
        }
        self.taken.store(before.wrapping_add(bytes), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text_bytes: usize) -> Arc<RequestEvent> {
        let warnings = (text_bytes > 0).then(|| Arc::from("w".repeat(text_bytes)));
        Arc::new(RequestEvent { warnings, ..RequestEvent::default() })
    }

    #[test]
    fn full_queue_drops() {
        let (mut sender, mut receiver) = event_queue(2 * event(0).size());
        assert!(sender.send(event(0)) && sender.send(event(0)));
        assert!(!sender.send(event(0)));
        let mut batch = Vec::new();
        receiver.take(&mut batch);
        assert_eq!(batch.len(), 2);
        assert!(sender.send(event(0)));
    }

    #[test]
    fn large_events_leave_room_for_fewer() {
        let room = 64 * event(0).size();
        for (text_bytes, expected) in [(0, 64), (event(0).size(), 32), (room / 2, 1), (room, 0)] {
            // One full round, so that the counters have moved.
            let (mut sender, mut receiver) = event_queue(room);
            for _ in 0..3 {
                let sent = (0..100).take_while(|_| sender.send(event(text_bytes))).count();
                assert_eq!(sent, expected, "{text_bytes}");
                let mut batch = Vec::new();
                receiver.take(&mut batch);
                assert_eq!(batch.len(), expected, "{text_bytes}");
            }
        }
    }

    #[test]
    fn batches_are_bounded_and_in_order() {
        let (mut sender, mut receiver) = event_queue(16 * BATCH_BYTES);
        let warnings: Arc<str> = Arc::from("w".repeat(BATCH_BYTES / 2));
        for calls in 0..10 {
            let warnings = Some(Arc::clone(&warnings));
            let event = RequestEvent { calls, warnings, ..RequestEvent::default() };
            assert!(sender.send(Arc::new(event)));
        }
        let mut seen = Vec::new();
        for _ in 0..5 {
            let mut batch = Vec::new();
            receiver.take(&mut batch);
            assert_eq!(batch.len(), 2);
            seen.extend(batch.iter().map(|event| event.calls));
        }
        assert_eq!(seen, (0..10).collect::<Vec<u32>>());
    }
}
