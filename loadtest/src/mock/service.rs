//! What the connections of one thread share: options, counters, and the answers built last.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::{JsonAnswer, Key, StreamAnswer};
use super::counters::Counters;
use super::fault::FaultRates;
use super::options::MockOptions;
use crate::timer::Timer;

/// What all connections of one thread share. The locks are never contended: the thread is their only user.
pub struct Service {
    pub options: MockOptions,
    pub rates: FaultRates,
    pub random: Mutex<fastrand::Rng>,
    pub timer: Arc<Timer>,
    pub counters: Arc<Counters>,
    /// The answers last built: one kind of request is the rule, so that one of each is enough.
    pub json: Mutex<Option<(Key<'static>, Arc<JsonAnswer>)>>,
    pub stream: Mutex<Option<(Key<'static>, Arc<StreamAnswer>)>>,
}

impl Service {
    pub fn new(
        options: MockOptions,
        seed: u64,
        timer: Arc<Timer>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            rates: options.fault_rates(),
            options,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            timer,
            counters,
            json: Mutex::default(),
            stream: Mutex::default(),
        }
    }
}

/// Counts a connection as open for as long as it lives.
pub struct OpenConnectionGuard(pub Arc<Service>);

impl OpenConnectionGuard {
    pub fn count(service: &Arc<Service>) -> Self {
        add(&service.counters.connections_open, 1);
        Self(Arc::clone(service))
    }
}

impl Drop for OpenConnectionGuard {
    fn drop(&mut self) {
        self.0.counters.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

pub fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Returns what `slot` holds for `key`, building it if it holds another.
pub fn recent<T>(
    slot: &Mutex<Option<(Key<'static>, Arc<T>)>>,
    key: &Key<'_>,
    build: impl FnOnce(&Key<'_>) -> T,
) -> Arc<T> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match &*slot {
        Some((held, answer)) if held == key => Arc::clone(answer),
        _ => {
            let answer = Arc::new(build(key));
            let owned = Key { model: Cow::Owned(key.model.clone().into_owned()), ..*key };
            *slot = Some((owned, Arc::clone(&answer)));
            answer
        }
    }
}
