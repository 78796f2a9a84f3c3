//! `loadbalance`: one weighted draw.
//!
//! As Portkey's, it does not go on to the others when the drawn one fails, unless `on_status_codes` lists
//! so. Unlike there, a target whose breaker is open gets no share, and weights that are all zero are
//! refused.

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

/// A draw by weight among the open children.
pub(super) fn draw(selection: &mut Selection<'_>) -> Option<usize> {
    let total: f64 = selection.open.iter().map(|place| selection.weight(*place)).sum();
    let mut point = selection.rng.unit() * total;
    let is_drawn = |place: &&usize| {
        point -= selection.weight(**place);
        point < 0.0
    };
    // What rounding leaves over falls to the last.
    selection.open.iter().find(is_drawn).or(selection.open.last()).copied()
}
