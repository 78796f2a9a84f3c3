//! `cheapest`: the suitable target with the lowest price for this request; the next cheapest after
//! a failure.
//!
//! The price is the catalog's, for the estimated input tokens and the possible output tokens. A
//! target is suitable if its model's context is large enough and it supports the request's
//! features. A target without a known price comes last.

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
