//! `mirror`: the first target responds, the others get copies of the request.
//!
//! Responses of the others are only recorded, with their cost; the client never waits for them.
//! Requests with a buffered body are copied, streamed ones are not.

use super::strategy::{Execution, Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

#[derive(Debug)]
pub(super) struct Mirror;

impl Mirror {
    pub(super) fn make(
        input: &StrategyInput<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Box<dyn Strategy>> {
        if input.children.len() < 2 {
            let message = format!("expected 2 or more targets, got {}", input.children.len());
            diagnostics.add(input.path, message, "the first answers, the others get copies");
        }
        Some(Box::new(Self))
    }
}

impl Strategy for Mirror {
    fn select(&self, _: &mut Selection<'_>) -> Option<usize> {
        Some(0)
    }

    fn execution(&self) -> Execution {
        Execution::Mirror
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn respects_health(&self) -> bool {
        false
    }
}
