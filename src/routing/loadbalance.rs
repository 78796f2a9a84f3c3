//! `loadbalance`: one weighted draw.
//!
//! As Portkey's, it does not go on to the others when the drawn one fails, unless `on_status_codes` says
//! so. Unlike there, a target whose breaker is open gets no share, and weights that are all zero are
//! refused.

use super::strategy::{Choosing, Draft, Strategy};
use crate::base::Problems;

#[derive(Debug)]
pub(super) struct Loadbalance;

impl Loadbalance {
    pub(super) fn make(_: &Draft<'_>, _: &mut Problems) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for Loadbalance {
    fn choose(&self, choosing: &mut Choosing<'_>) -> Option<usize> {
        draw(choosing)
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn spreads(&self) -> bool {
        true
    }

    fn shares(&self) -> bool {
        true
    }
}

/// A draw by weight among the open children.
pub(super) fn draw(choosing: &mut Choosing<'_>) -> Option<usize> {
    let total: f64 = choosing.open.iter().map(|place| choosing.weight(*place)).sum();
    let mut point = choosing.dice.unit() * total;
    let is_drawn = |place: &&usize| {
        point -= choosing.weight(**place);
        point < 0.0
    };
    // What rounding leaves over falls to the last.
    choosing.open.iter().find(is_drawn).or(choosing.open.last()).copied()
}
