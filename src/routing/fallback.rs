//! `fallback`: the targets in order, the next one after a failure.
//!
//! Every non-2xx status fails over, or only those in `on_status_codes`; connection failures always
//! do. A target with an open breaker is skipped. The client gets the last response.

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
