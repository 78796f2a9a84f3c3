//! `fallback`: the targets in their order, the next when one has failed.
//!
//! Any answer but success leads on; with `on_status_codes` only these, and providers that cannot be
//! reached. A target whose breaker is open is passed over. The client gets the last answer.

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct Fallback;

impl Fallback {
    pub(super) fn make(_: &StrategyInput<'_>, _: &mut Diagnostics) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for Fallback {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        selection.open.first().copied()
    }
}
