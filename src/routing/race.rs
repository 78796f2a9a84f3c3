//! `race`: calls several targets, and the first successful response wins.
//!
//! With `hedge_ms` the next one is called if the previous one has not responded in that time or has
//! failed; with 0, the default, all are called at once. The others are canceled once one has won,
//! and their cost is counted. Use it if slow responses cost more than tokens.

use std::time::Duration;

use super::strategy::{Execution, Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct Race {
    hedge: Duration,
}

impl Race {
    pub(super) fn make(
        input: &StrategyInput<'_>,
        _: &mut Diagnostics,
    ) -> Option<Box<dyn Strategy>> {
        let hedge = Duration::from_millis(input.settings.hedge_ms.unwrap_or(0));
        Some(Box::new(Self { hedge }))
    }
}

impl Strategy for Race {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        selection.open.first().copied()
    }

    fn execution(&self) -> Execution {
        Execution::Race(self.hedge)
    }
}
