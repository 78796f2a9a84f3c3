//! Identical requests in flight: one asks the provider, those behind it wait for its answer.
//!
//! Of one shard only; two shards may ask the same at once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::cache::Key;

/// Requests under way whose answers will be stored.
#[derive(Clone, Default)]
pub(super) struct Flights(Rc<RefCell<HashMap<Key, Rc<Flight>>>>);

/// One request under way.
#[derive(Default)]
struct Flight {
    landed: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

/// The one who asks the provider. When it is dropped, however that comes about, those who wait go
/// on.
pub(super) struct Leader {
    flights: Flights,
    key: Key,
    flight: Rc<Flight>,
}

impl Flights {
    /// Leads the flight of `key`, unless somebody does already.
    pub(super) fn lead(&self, key: Key) -> Option<Leader> {
        let mut flights = self.0.borrow_mut();
        if flights.contains_key(&key) {
            return None;
        }
        let flight = Rc::new(Flight::default());
        flights.insert(key, Rc::clone(&flight));
        Some(Leader { flights: self.clone(), key, flight })
    }

    /// Waits for the end of the flight of `key`. None if there is none.
    pub(super) fn landing(&self, key: &Key) -> Option<impl Future<Output = ()> + use<>> {
        let flight = Rc::clone(self.0.borrow().get(key)?);
        Some(poll_fn(move |context| {
            if flight.landed.get() {
                return Poll::Ready(());
            }
            flight.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        }))
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.flights.0.borrow_mut().remove(&self.key);
        self.flight.landed.set(true);
        self.flight.waiting.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::cache::{Cache, CacheLimits};

    #[test]
    fn one_leads_and_the_others_wait() {
        let cache = Cache::in_memory(&CacheLimits::default(), [0; 32]);
        let key = |name: &str| cache.key().part(name.as_bytes()).finish();
        let flights = Flights::default();
        assert!(flights.landing(&key("a")).is_none());
        let leader = flights.lead(key("a")).expect("the first");
        assert!(flights.lead(key("a")).is_none());
        assert!(flights.lead(key("b")).is_some());
        let mut landing = flights.landing(&key("a")).expect("a flight");
        assert!((&mut landing).now_or_never().is_none());
        drop(leader);
        assert!(landing.now_or_never().is_some());
        assert!(flights.lead(key("a")).is_some(), "the next may lead");
    }
}
