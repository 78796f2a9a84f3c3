//! `least_latency`: of two random targets, the one with the lower latency; the next one after a
//! failure.
//!
//! The measure is a peak-sensitive average of the time to the first byte, times the requests in
//! flight (Finagle's peak EWMA). Two choices instead of all prevent the shards from choosing the
//! same target at once (Mitzenmacher, "The power of two choices", 2001).

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct LeastLatency;

impl LeastLatency {
    pub(super) fn make(_: &StrategyInput<'_>, _: &mut Diagnostics) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for LeastLatency {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        let mut places = selection.open.to_vec();
        while places.len() > 2 {
            places.swap_remove(selection.rng.below(places.len()));
        }
        let now = selection.now;
        // A group is as fast as its fastest target.
        selection.least(&places, |it, place| {
            it.below(place).map(|(_, health)| health.load(now)).fold(f64::MAX, f64::min)
        })
    }

    fn uses_weights(&self) -> bool {
        true
    }
}
