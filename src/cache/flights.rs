//! Identical requests in flight: one asks the provider, those behind it share its answer.
//!
//! All shards share the flights. A stream's followers get each event as it comes; all others wait for
//! the end, and find the answer in the cache. Who leads goes on for its followers when its own client
//! leaves.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::Key;

/// Bytes of a stream that are kept for its followers; a larger one is not shared.
const SHARED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Requests under way whose answers will be stored; clones share them.
#[derive(Clone, Default)]
pub struct Flights(Arc<Mutex<HashMap<Key, Arc<Flight>>>>);

/// One request under way.
struct Flight {
    is_stream: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    origin: Option<Origin>,
    /// The data of the stream's events so far.
    events: Vec<Arc<[u8]>>,
    bytes: usize,
    end: Option<End>,
    followers: usize,
    waiting: Vec<Waker>,
}

/// Who answers.
#[derive(Clone)]
pub struct Origin {
    /// The provider.
    pub provider: Option<Arc<str>>,
    /// The model that was asked of it.
    pub model: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

/// The one who asks the provider. When it is dropped, however that comes about, those who wait go
/// on.
pub struct Leader {
    flights: Flights,
    key: Key,
    flight: Arc<Flight>,
}

/// One who shares a stream.
pub struct Follower {
    flight: Arc<Flight>,
    /// Events it has had.
    seen: usize,
}

/// What a follower hears of next.
pub enum Heard {
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

impl Flight {
    /// Changes the state and wakes all who wait for that.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = lock(&self.state);
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until `look` finds something in the state of `flight`.
    fn until<T>(flight: Arc<Self>, look: impl Fn(&State) -> Option<T>) -> impl Future<Output = T> {
        poll_fn(move |context| {
            let mut state = lock(&flight.state);
            if let Some(found) = look(&state) {
                return Poll::Ready(found);
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Flights {
    /// Leads the flight of `key`, unless somebody does already.
    #[must_use]
    pub fn lead(&self, key: Key, is_stream: bool) -> Option<Leader> {
        let mut flights = lock(&self.0);
        if flights.contains_key(&key) {
            return None;
        }
        let flight = Arc::new(Flight { is_stream, state: Mutex::default() });
        flights.insert(key, Arc::clone(&flight));
        Some(Leader { flights: self.clone(), key, flight })
    }

    fn get(&self, key: &Key) -> Option<Arc<Flight>> {
        lock(&self.0).get(key).map(Arc::clone)
    }

    /// Waits for the end of the flight of `key`. None if there is none.
    pub fn landing(&self, key: &Key) -> Option<impl Future<Output = ()> + use<>> {
        let flight = self.get(key)?;
        Some(Flight::until(flight, |state| state.end.map(|_| ())))
    }

    /// Shares the stream of `key`. None if there is none.
    pub fn follow(&self, key: &Key) -> Option<Follower> {
        let flight = self.get(key).filter(|flight| flight.is_stream)?;
        {
            let mut state = lock(&flight.state);
            if state.bytes > SHARED_BYTES_MAX {
                return None;
            }
            state.followers += 1;
        }
        Some(Follower { flight, seen: 0 })
    }
}

impl Leader {
    /// Tells who answers, before the first event.
    pub fn begins(&self, origin: Origin) {
        self.flight.change(|state| state.origin = Some(origin));
    }

    /// Hands an event's data to the followers.
    pub fn share(&self, data: &[u8]) {
        self.flight.change(|state| {
            state.bytes += data.len();
            if state.bytes <= SHARED_BYTES_MAX {
                state.events.push(Arc::from(data));
            } else {
                state.end.get_or_insert(End::Broken);
                state.events = Vec::new();
            }
        });
    }

    /// The stream has come to its end.
    pub fn complete(&self) {
        self.flight.change(|state| {
            state.end.get_or_insert(End::Whole);
        });
    }

    /// Waits until nobody follows.
    pub fn abandoned(&self) -> impl Future<Output = ()> + use<> {
        let look = |state: &State| (state.followers == 0).then_some(());
        Flight::until(Arc::clone(&self.flight), look)
    }

    /// True if somebody else needs the rest of the stream.
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
    /// Who answers; none if nobody does.
    pub fn origin(&self) -> impl Future<Output = Option<Origin>> + use<> {
        Flight::until(Arc::clone(&self.flight), |state| match (&state.origin, state.end) {
            (None, None) => None,
            (origin, _) => Some(origin.clone()),
        })
    }

    /// Waits for what comes next. A call that was given up has taken nothing.
    pub fn hear(&mut self) -> impl Future<Output = Heard> {
        let seen = &mut self.seen;
        let flight = &self.flight;
        poll_fn(move |context| {
            let mut state = lock(&flight.state);
            let fresh = state.events.get(*seen..).unwrap_or_default();
            if !fresh.is_empty() {
                let fresh = fresh.to_vec();
                *seen += fresh.len();
                return Poll::Ready(Heard::Events(fresh));
            }
            match state.end {
                Some(End::Whole) => Poll::Ready(Heard::Whole),
                Some(End::Broken) => Poll::Ready(Heard::Broken),
                None => {
                    state.waiting.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flight.change(|state| state.followers -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::{Cache, CacheLimits};
    use super::*;

    fn key(name: &str) -> Key {
        let cache = Cache::in_memory(&CacheLimits::default(), [0; 32]);
        cache.key().part(name.as_bytes()).finish()
    }

    fn events(heard: Option<Heard>) -> Vec<Vec<u8>> {
        match heard {
            Some(Heard::Events(events)) => events.iter().map(|it| it.to_vec()).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn one_leads_and_the_others_wait() {
        let flights = Flights::default();
        assert!(flights.landing(&key("a")).is_none());
        let leader = flights.lead(key("a"), false).expect("the first");
        assert!(flights.lead(key("a"), false).is_none());
        assert!(flights.lead(key("b"), false).is_some());
        assert!(flights.follow(&key("a")).is_none(), "it is no stream");
        let mut landing = Box::pin(flights.landing(&key("a")).expect("a flight"));
        assert!((&mut landing).now_or_never().is_none());
        drop(leader);
        assert!(landing.now_or_never().is_some());
        assert!(flights.lead(key("a"), false).is_some(), "the next may lead");
    }

    #[test]
    fn a_stream_is_shared_from_its_first_event() {
        let flights = Flights::default();
        let leader = flights.lead(key("a"), true).expect("the first");
        assert!(!leader.has_followers());
        let mut early = flights.follow(&key("a")).expect("a stream");
        assert!(early.origin().now_or_never().is_none());
        leader.begins(Origin { provider: Some("p".into()), model: None });
        let origin = early.origin().now_or_never().expect("known").expect("somebody");
        assert_eq!(origin.provider.as_deref(), Some("p"));
        leader.share(b"1");
        leader.share(b"2");
        let mut late = flights.follow(&key("a")).expect("a stream");
        assert_eq!(events(early.hear().now_or_never()), [b"1", b"2"]);
        assert!(early.hear().now_or_never().is_none());
        leader.share(b"3");
        assert_eq!(events(early.hear().now_or_never()), [b"3"]);
        assert!(leader.has_followers());
        drop(early);
        leader.complete();
        assert_eq!(events(late.hear().now_or_never()), [b"1", b"2", b"3"]);
        assert!(matches!(late.hear().now_or_never(), Some(Heard::Whole)));
        drop(leader);
        assert!(matches!(late.hear().now_or_never(), Some(Heard::Whole)));
    }

    #[test]
    fn a_leader_that_is_lost_or_too_large_breaks_the_stream() {
        let flights = Flights::default();
        let leader = flights.lead(key("a"), true).expect("the first");
        let mut follower = flights.follow(&key("a")).expect("a stream");
        leader.share(b"1");
        drop(leader);
        assert_eq!(events(follower.hear().now_or_never()), [b"1"], "what there is comes first");
        assert!(matches!(follower.hear().now_or_never(), Some(Heard::Broken)));
        assert!(follower.origin().now_or_never().expect("known").is_none());

        let leader = flights.lead(key("a"), true).expect("the first");
        let mut follower = flights.follow(&key("a")).expect("a stream");
        leader.share(&vec![0; SHARED_BYTES_MAX]);
        assert_eq!(events(follower.hear().now_or_never()).len(), 1);
        leader.share(b"1");
        assert!(matches!(follower.hear().now_or_never(), Some(Heard::Broken)));
        assert!(flights.follow(&key("a")).is_none() && !leader.has_followers());
    }
}
