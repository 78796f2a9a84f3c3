//! Answers of translated responses that their clients may refer to for a while.
//!
//! A client of OpenAI's responses does not repeat what it believes to be stored: it sends the id of an
//! item or of the whole answer. Other vendors keep nothing, so the gateway does, for
//! [`TIME_TO_LIVE`] after the last use, within bounds of bytes and count; what was used longest ago
//! goes first. One store serves all shards of a process. A [`Key`] names an answer and its owner.
//!
//! A lock is held for a look-up or an insertion in one of [`SEGMENTS`] tables, never across work on an
//! answer. Absent: the meaning of ids and answers, which the caller knows, and anything on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::key::Key;

/// Tables with a lock of their own.
const SEGMENTS: usize = 8;

/// Most bytes in one table: 64 MiB in all.
const SEGMENT_BYTES_MAX: usize = 8 << 20;

/// Most answers in one table: 8,192 in all.
const SEGMENT_COUNT_MAX: usize = 1024;

/// What an answer is reckoned to cost beside its bytes.
const OVERHEAD_BYTES: usize = 256;

/// An answer is kept for so long after it was last used.
const TIME_TO_LIVE: Duration = Duration::from_mins(30);

/// One answer, and what it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredResponse {
    /// The id of the answer before it in the conversation, as the client sent it.
    pub previous: Option<String>,
    /// JSON of the request's `input`.
    pub input: Bytes,
    /// JSON of the whole answer.
    pub answer: Bytes,
}

/// All answers that are kept.
#[derive(Clone, Debug, Default)]
pub struct ResponseStore(Arc<[Mutex<Segment>; SEGMENTS]>);

#[derive(Debug, Default)]
struct Segment {
    answers: HashMap<Key, Entry>,
    /// By last use, the longest ago first.
    order: BTreeMap<u64, Key>,
    used: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    response: Arc<StoredResponse>,
    place: u64,
    expires_at: Duration,
}

impl StoredResponse {
    fn bytes(&self) -> usize {
        let id = self.previous.as_ref().map_or(0, String::len);
        self.input.len() + self.answer.len() + id + OVERHEAD_BYTES
    }
}

impl ResponseStore {
    /// Keeps an answer in place of an older one of that name. `now` is the time since 1970. One that is
    /// larger than a table is not kept.
    pub fn keep(&self, key: Key, response: StoredResponse, now: Duration) {
        let bytes = response.bytes();
        if bytes > SEGMENT_BYTES_MAX {
            return;
        }
        let mut segment = self.segment(key);
        segment.remove(key);
        segment.make_room(bytes, now);
        let place = segment.next_place(key);
        let response = Arc::new(response);
        let expires_at = now.saturating_add(TIME_TO_LIVE);
        segment.answers.insert(key, Entry { response, place, expires_at });
        segment.bytes += bytes;
    }

    /// The answer of that name, which is used by this.
    #[must_use]
    pub fn find(&self, key: Key, now: Duration) -> Option<Arc<StoredResponse>> {
        let mut segment = self.segment(key);
        if segment.answers.get(&key)?.expires_at <= now {
            segment.remove(key);
            return None;
        }
        let place = segment.next_place(key);
        let entry = segment.answers.get_mut(&key)?;
        let before = std::mem::replace(&mut entry.place, place);
        entry.expires_at = now.saturating_add(TIME_TO_LIVE);
        let response = Arc::clone(&entry.response);
        segment.order.remove(&before);
        Some(response)
    }

    /// Forgets the answer of that name; false if there is none.
    #[must_use]
    pub fn forget(&self, key: Key) -> bool {
        self.segment(key).remove(key)
    }

    fn segment(&self, key: Key) -> MutexGuard<'_, Segment> {
        let index = usize::try_from(key.bits() % SEGMENTS as u64).unwrap_or_default();
        let segments: &[Mutex<Segment>; SEGMENTS] = &self.0;
        let segment = segments.get(index).unwrap_or(&segments[0]);
        // Nothing in here is left half done by a panic that could happen.
        segment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segment {
    fn next_place(&mut self, key: Key) -> u64 {
        self.used += 1;
        self.order.insert(self.used, key);
        self.used
    }

    fn remove(&mut self, key: Key) -> bool {
        let Some(entry) = self.answers.remove(&key) else { return false };
        self.order.remove(&entry.place);
        self.bytes = self.bytes.saturating_sub(entry.response.bytes());
        true
    }

    /// Drops what has expired, and what was used longest ago until there is room for one of `bytes`.
    fn make_room(&mut self, bytes: usize, now: Duration) {
        while let Some((_, oldest)) = self.order.first_key_value().map(|(at, key)| (*at, *key)) {
            let is_full =
                self.bytes + bytes > SEGMENT_BYTES_MAX || self.answers.len() >= SEGMENT_COUNT_MAX;
            let is_over = self.answers.get(&oldest).is_none_or(|it| it.expires_at <= now);
            if !is_full && !is_over {
                return;
            }
            self.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::KeyBuilder;
    use super::*;

    fn key(name: &str) -> Key {
        let mut builder = KeyBuilder::new(&[7; 32]);
        builder.part(name.as_bytes());
        builder.finish()
    }

    fn response(size: usize) -> StoredResponse {
        StoredResponse { answer: vec![b'x'; size].into(), ..StoredResponse::default() }
    }

    const NOW: Duration = Duration::from_secs(1_795_000_000);

    #[test]
    fn response_expires_after_last_use() {
        let store = ResponseStore::default();
        store.keep(key("a"), response(1), NOW);
        let later = NOW + TIME_TO_LIVE - Duration::from_secs(1);
        assert_eq!(store.find(key("a"), later).as_deref(), Some(&response(1)));
        assert!(store.find(key("a"), later + Duration::from_secs(60)).is_some());
        let much_later = later + Duration::from_secs(60) + TIME_TO_LIVE;
        assert_eq!(store.find(key("a"), much_later), None);
        assert_eq!(store.find(key("b"), NOW), None);
    }

    #[test]
    fn deleted_or_replaced_response_is_gone() {
        let store = ResponseStore::default();
        store.keep(key("a"), response(1), NOW);
        store.keep(key("a"), response(2), NOW);
        assert_eq!(store.find(key("a"), NOW).as_deref(), Some(&response(2)));
        assert!(store.forget(key("a")));
        assert!(!store.forget(key("a")));
        assert_eq!(store.find(key("a"), NOW), None);
    }

    #[test]
    fn least_recently_used_is_evicted_at_limits() {
        let store = ResponseStore::default();
        store.keep(key("too large"), response(SEGMENT_BYTES_MAX), NOW);
        assert_eq!(store.find(key("too large"), NOW), None);
        store.keep(key("in use"), response(1), NOW);
        for index in 0..200_u32 {
            store.keep(key(&format!("large {index}")), response(1 << 20), NOW);
            assert!(store.find(key("in use"), NOW).is_some(), "{index}");
        }
        assert_eq!(store.find(key("large 0"), NOW), None);
        assert!(store.find(key("large 199"), NOW).is_some());
        for index in 0..3 * SEGMENTS * SEGMENT_COUNT_MAX {
            store.keep(key(&format!("small {index}")), response(1), NOW);
        }
        for segment in store.0.iter() {
            let segment = segment.lock().expect("no panic");
            assert!(segment.bytes <= SEGMENT_BYTES_MAX);
            assert!(segment.answers.len() <= SEGMENT_COUNT_MAX);
            assert_eq!(segment.answers.len(), segment.order.len());
        }
    }

    #[test]
    fn expired_responses_free_space() {
        let store = ResponseStore::default();
        for index in 0..100 {
            store.keep(key(&format!("{index}")), response(1), NOW);
        }
        for index in 0..1000 {
            store.keep(key(&format!("new {index}")), response(1), NOW + TIME_TO_LIVE);
        }
        let held: usize = store.0.iter().map(|it| it.lock().expect("no panic").answers.len()).sum();
        assert_eq!(held, 1000);
    }
}
