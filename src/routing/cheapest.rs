//! `cheapest`: the able target with the lowest price for this request; the next cheapest when one has
//! failed.
//!
//! The catalog's prices are taken for the estimated tokens of the request and for those it may be
//! answered with. Able is a target whose model has room for them and supports the request; a target
//! without a known price comes last.

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct Cheapest;

impl Cheapest {
    pub(super) fn make(_: &StrategyInput<'_>, _: &mut Diagnostics) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for Cheapest {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        let places = selection.capable();
        selection.least(&places, |it, place| {
            let prices = it.below(place).filter_map(|(target, _)| it.attributes.price(target));
            prices.min().map_or(f64::MAX, |price| price as f64)
        })
    }

    fn uses_weights(&self) -> bool {
        true
    }
}
