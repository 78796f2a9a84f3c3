//! `cheapest`: the able target that asks the least for this request; the next cheapest when one has
//! failed.
//!
//! The catalogue's prices are taken for the estimated tokens of the request and for those it may be
//! answered with. Able is a target whose model has room for them and reads what is asked; a target
//! without a known price comes last.

use super::strategy::{Choosing, Draft, Strategy};
use crate::base::Problems;

#[derive(Debug)]
pub(super) struct Cheapest;

impl Cheapest {
    pub(super) fn make(_: &Draft<'_>, _: &mut Problems) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for Cheapest {
    fn choose(&self, choosing: &mut Choosing<'_>) -> Option<usize> {
        let places = choosing.able();
        choosing.least(&places, |it, place| {
            let prices = it.below(place).filter_map(|(target, _)| it.facts.price(target));
            prices.min().map_or(f64::MAX, |price| price as f64)
        })
    }

    fn shares(&self) -> bool {
        true
    }
}
