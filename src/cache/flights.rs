//! Identical requests in flight: the first calls the provider, the others share its response.
//!
//! All shards share the flights. A stream's followers get each event as it comes; all others wait for
//! the end, and find the answer in the cache. Who leads goes on for its followers when its own client
//! leaves.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Key;

/// Bytes of a stream that are kept for its followers; a larger one is not shared.
const SHARED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests under way whose answers will be stored; clones share them.
#[derive(Clone, Default)]
pub struct Flights(Arc<Mutex<HashMap<Key, Arc<Flight>>>>);

/// One request under way.
struct Flight {
    is_stream: bool,
    /// When it began, since the Unix epoch.
    begun_at: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    origin: Option<AnswerOrigin>,
    /// The data of the stream's events so far.
    events: Vec<Arc<[u8]>>,
    bytes: usize,
    end: Option<End>,
    /// Followers so far, which makes their numbers.
    joined: u64,
    followers: usize,
    /// Who waits, by number.
    waiting: HashMap<u64, Waiting>,
    leader: Option<Waker>,
}

impl State {
    /// Nobody joins the stream any more, and for those who have it breaks off.
    fn stop_sharing(&mut self) {
        self.bytes = usize::MAX;
        self.end.get_or_insert(End::Broken);
        self.events = Vec::new();
    }
}

struct Waiting {
    waker: Waker,
    /// False if only the end is of interest.
    for_events: bool,
}

/// Who answers.
#[derive(Clone)]
pub struct AnswerOrigin {
    /// The provider.
    pub provider: Option<Arc<str>>,
    /// The model in the request to the provider.
    pub model: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

/// The request that calls the provider. When it is dropped, however that comes about, those who wait go
/// on.
pub struct Leader {
    flights: Flights,
    key: Key,
    flight: Arc<Flight>,
}

/// One who shares the answer.
pub struct Follower {
    flight: Arc<Flight>,
    number: u64,
    /// Events it has had.
    seen: usize,
}

/// What a follower receives next.
pub enum SharedChunk {
    /// Events that came since.
    Events(Vec<Arc<[u8]>>),
    /// The stream is complete.
    Whole,
    /// It is not, and nothing more will come.
    Broken,
}

/// No panic leaves a flight half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waiting: impl IntoIterator<Item = Waker>) {
    waiting.into_iter().for_each(Waker::wake);
}

impl Flight {
    /// Changes the state; then wakes those who wait for events, or at the end all.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let woken: Vec<Waker> = {
            let mut state = lock(&self.state);
            change(&mut state);
            let is_over = state.end.is_some();
            let woken = state.waiting.extract_if(|_, waiting| is_over || waiting.for_events);
            woken.map(|(_, waiting)| waiting.waker).collect()
        };
        wake(woken);
    }

    /// Waits until the followers satisfy `is_so`.
    fn when_followers(
        flight: Arc<Self>,
        is_so: impl Fn(usize) -> bool,
    ) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            let mut state = lock(&flight.state);
            if is_so(state.followers) {
                return Poll::Ready(());
            }
            state.leader = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Flights {
    /// Leads the flight of `key`, unless somebody does already. `now` is the wall clock's.
    #[must_use]
    pub fn start(&self, key: Key, is_stream: bool, now: Duration) -> Option<Leader> {
        let mut flights = lock(&self.0);
        if flights.contains_key(&key) {
            return None;
        }
        let flight = Arc::new(Flight { is_stream, begun_at: now, state: Mutex::default() });
        flights.insert(key, Arc::clone(&flight));
        Some(Leader { flights: self.clone(), key, flight })
    }

    /// Joins the flight of `key`. None if there is none, or with `as_stream` none that can be shared
    /// event by event.
    #[must_use]
    pub fn join(&self, key: &Key, as_stream: bool) -> Option<Follower> {
        let flight = lock(&self.0).get(key).map(Arc::clone)?;
        let (number, leader) = {
            let mut state = lock(&flight.state);
            if as_stream && !(flight.is_stream && state.bytes <= SHARED_BYTES_MAX) {
                return None;
            }
            state.followers += 1;
            state.joined += 1;
            (state.joined, state.leader.take())
        };
        wake(leader);
        Some(Follower { flight, number, seen: 0 })
    }
}

impl Leader {
    /// Sets the provider that answers, before the first event.
    pub fn set_origin(&self, origin: AnswerOrigin) {
        self.flight.change(|state| state.origin = Some(origin));
    }

    /// Hands an event's data to the followers.
    pub fn share(&self, data: &[u8]) {
        self.flight.change(|state| {
            state.bytes = state.bytes.saturating_add(data.len());
            if state.bytes <= SHARED_BYTES_MAX {
                state.events.push(Arc::from(data));
            } else {
                state.stop_sharing();
            }
        });
    }

    /// Keeps no more events: there is no memory for them.
    pub fn stop_sharing(&self) {
        self.flight.change(State::stop_sharing);
    }

    /// The answer is complete, and stored if it can be.
    pub fn complete(&self) {
        self.flight.change(|state| {
            state.end.get_or_insert(End::Whole);
        });
    }

    /// Waits until nobody follows.
    pub fn abandoned(&self) -> impl Future<Output = ()> + use<> {
        Flight::when_followers(Arc::clone(&self.flight), |followers| followers == 0)
    }

    /// Waits until somebody follows.
    pub fn followed(&self) -> impl Future<Output = ()> + use<> {
        Flight::when_followers(Arc::clone(&self.flight), |followers| followers > 0)
    }

    /// True if somebody else needs the answer.
    #[must_use]
    pub fn has_followers(&self) -> bool {
        let state = lock(&self.flight.state);
        state.followers > 0 && state.end.is_none()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(&self.key);
        self.flight.change(|state| {
            state.end.get_or_insert(End::Broken);
        });
    }
}

impl Follower {
    /// When the request began that it shares, since the Unix epoch.
    #[must_use]
    pub fn begun_at(&self) -> Duration {
        self.flight.begun_at
    }

    /// Waits for the end.
    pub fn finished(&mut self) -> impl Future<Output = ()> {
        poll_fn(|context| self.poll(context, false, |state| state.end.map(|_| ())))
    }

    /// Waits for who answers; none if nobody does.
    pub fn origin(&mut self) -> impl Future<Output = Option<AnswerOrigin>> {
        poll_fn(|context| {
            self.poll(context, true, |state| match (&state.origin, state.end) {
                (_, Some(End::Broken)) => Some(None),
                (None, None) => None,
                (origin, _) => Some(origin.clone()),
            })
        })
    }

    /// Waits for what comes next. A call that was given up has taken nothing.
    pub fn recv(&mut self) -> impl Future<Output = SharedChunk> {
        poll_fn(|context| {
            let seen = self.seen;
            let next = self.poll(context, true, |state| {
                let fresh = state.events.get(seen..).unwrap_or_default();
                match state.end {
                    _ if !fresh.is_empty() => Some(SharedChunk::Events(fresh.to_vec())),
                    Some(End::Whole) => Some(SharedChunk::Whole),
                    Some(End::Broken) => Some(SharedChunk::Broken),
                    None => None,
                }
            });
            if let Poll::Ready(SharedChunk::Events(fresh)) = &next {
                self.seen += fresh.len();
            }
            next
        })
    }

    fn poll<T>(
        &self,
        context: &Context<'_>,
        for_events: bool,
        look: impl FnOnce(&State) -> Option<T>,
    ) -> Poll<T> {
        let mut state = lock(&self.flight.state);
        if let Some(found) = look(&state) {
            return Poll::Ready(found);
        }
        let waker = context.waker().clone();
        state.waiting.insert(self.number, Waiting { waker, for_events });
        Poll::Pending
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = lock(&self.flight.state);
        state.followers -= 1;
        let held = state.waiting.remove(&self.number);
        let leader = state.leader.take();
        drop(state);
        drop(held);
        wake(leader);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::{Cache, CacheLimits};
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn key(name: &str) -> Key {
        let cache = Cache::in_memory(&CacheLimits::default(), [0; 32]);
        cache.key().part(name.as_bytes()).finish()
    }

    fn events(next: Option<SharedChunk>) -> Vec<Vec<u8>> {
        match next {
            Some(SharedChunk::Events(events)) => events.iter().map(|it| it.to_vec()).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn one_request_leads_and_others_follow() {
        let flights = Flights::default();
        assert!(flights.join(&key("a"), false).is_none());
        let leader = flights.start(key("a"), false, NOW).expect("the first");
        assert!(flights.start(key("a"), false, NOW).is_none());
        assert!(flights.start(key("b"), false, NOW).is_some());
        assert!(flights.join(&key("a"), true).is_none(), "it is no stream");
        let mut follower = flights.join(&key("a"), false).expect("a flight");
        assert!(follower.finished().now_or_never().is_none());
        assert!(leader.has_followers() && leader.followed().now_or_never().is_some());
        drop(leader);
        assert!(follower.finished().now_or_never().is_some());
        assert!(flights.start(key("a"), false, NOW).is_some(), "the next may lead");
    }

    #[test]
    fn stream_is_shared_from_its_first_event() {
        let flights = Flights::default();
        let leader = flights.start(key("a"), true, NOW).expect("the first");
        assert!(!leader.has_followers());
        let mut early = flights.join(&key("a"), true).expect("a stream");
        assert!(early.origin().now_or_never().is_none());
        leader.set_origin(AnswerOrigin { provider: Some("p".into()), model: None });
        let origin = early.origin().now_or_never().expect("known").expect("somebody");
        assert_eq!(origin.provider.as_deref(), Some("p"));
        leader.share(b"1");
        leader.share(b"2");
        let mut late = flights.join(&key("a"), true).expect("a stream");
        assert_eq!(events(early.recv().now_or_never()), [b"1", b"2"]);
        assert!(early.recv().now_or_never().is_none());
        leader.share(b"3");
        assert_eq!(events(early.recv().now_or_never()), [b"3"]);
        assert!(leader.has_followers());
        drop(early);
        assert!(leader.abandoned().now_or_never().is_none());
        leader.complete();
        assert_eq!(events(late.recv().now_or_never()), [b"1", b"2", b"3"]);
        assert!(matches!(late.recv().now_or_never(), Some(SharedChunk::Whole)));
        drop(leader);
        assert!(matches!(late.recv().now_or_never(), Some(SharedChunk::Whole)));
    }

    #[test]
    fn lost_or_oversized_leader_breaks_the_stream() {
        let flights = Flights::default();
        let leader = flights.start(key("a"), true, NOW).expect("the first");
        let mut follower = flights.join(&key("a"), true).expect("a stream");
        leader.share(b"1");
        drop(leader);
        assert_eq!(events(follower.recv().now_or_never()), [b"1"], "what there is comes first");
        assert!(matches!(follower.recv().now_or_never(), Some(SharedChunk::Broken)));
        assert!(follower.origin().now_or_never().expect("known").is_none());

        let leader = flights.start(key("a"), true, NOW).expect("the first");
        let mut follower = flights.join(&key("a"), true).expect("a stream");
        leader.set_origin(AnswerOrigin { provider: None, model: None });
        leader.share(&vec![0; SHARED_BYTES_MAX]);
        assert_eq!(events(follower.recv().now_or_never()).len(), 1);
        leader.share(b"1");
        assert!(matches!(follower.recv().now_or_never(), Some(SharedChunk::Broken)));
        assert!(flights.join(&key("a"), true).is_none() && !leader.has_followers());
    }
}
