//! `least_latency`: of two drawn at random, the one that answers sooner; the next when one has failed.
//!
//! Its measure is a peak-sensitive average of the time to the first byte, times the requests under way
//! (Finagle's peak EWMA). Two choices instead of all keep the shards from running to one target at once
//! (Mitzenmacher, "The power of two choices", 2001).

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
        // A child that is a group is as quick as the quickest below it.
        selection.least(&places, |it, place| {
            it.below(place).map(|(_, health)| health.load(now)).fold(f64::MAX, f64::min)
        })
    }

    fn uses_weights(&self) -> bool {
        true
    }
}
