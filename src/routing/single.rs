//! `single`: the first target responds.
//!
//! For a route that only edits, retries or caches. It adds no cost: targets after the first are
//! checked when the route is read, and then dropped.

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct Single;

impl Single {
    pub(super) fn make(
        input: &StrategyInput<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Box<dyn Strategy>> {
        if input.children.len() > 1 {
            let message = format!("expected 1 target for `single`, got {}", input.children.len());
            let hint =
                "`fallback` tries one after the other; `single`, written out, takes the first";
            diagnostics.add(input.path, message, hint);
        }
        Some(Box::new(Self))
    }
}

impl Strategy for Single {
    fn select(&self, _: &mut Selection<'_>) -> Option<usize> {
        Some(0)
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn respects_health(&self) -> bool {
        false
    }
}
