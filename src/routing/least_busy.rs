//! `least_busy`: the target with the fewest requests in flight relative to its weight; the next one
//! after a failure.
//!
//! It counts the requests of all shards of this gateway, not those of other gateways. Since
//! responses differ much in length, it balances load better than round robin.

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct LeastBusy;

impl LeastBusy {
    pub(super) fn make(_: &StrategyInput<'_>, _: &mut Diagnostics) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for LeastBusy {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        let mut places = selection.open.to_vec();
        // A random one of equals; otherwise an idle group would send everything to its first child.
        let first = selection.rng.below(places.len());
        places.rotate_left(first);
        selection.least(&places, |it, place| {
            let busy: u32 = it.below(place).map(|(_, health)| health.in_flight()).sum();
            let weight = it.weight(place);
            f64::from(busy + 1) / if weight > 0.0 { weight } else { 1.0 }
        })
    }

    fn balances_load(&self) -> bool {
        true
    }

    fn uses_weights(&self) -> bool {
        true
    }
}
