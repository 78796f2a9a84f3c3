//! `loadbalance`: one weighted random draw.
//!
//! As in Portkey, it does not fail over to other targets unless `on_status_codes` is set. Unlike in
//! Portkey, a target with an open breaker gets no share, and weights that are all zero are
//! rejected.

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct Loadbalance;

impl Loadbalance {
    pub(super) fn make(_: &StrategyInput<'_>, _: &mut Diagnostics) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for Loadbalance {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        draw(selection)
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn balances_load(&self) -> bool {
        true
    }

    fn uses_weights(&self) -> bool {
        true
    }
}

/// A weighted draw among the available children.
pub(super) fn draw(selection: &mut Selection<'_>) -> Option<usize> {
    let total: f64 = selection.open.iter().map(|place| selection.weight(*place)).sum();
    let mut point = selection.rng.unit() * total;
    let is_drawn = |place: &&usize| {
        point -= selection.weight(**place);
        point < 0.0
    };
    // The last one gets the rounding error.
    selection.open.iter().find(is_drawn).or(selection.open.last()).copied()
}
