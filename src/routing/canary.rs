//! `canary`: sends a percentage of the requests to the second target, the rest to the first.
//!
//! A settings reload changes the percentage. With `sticky` a session stays on its side, and raising
//! the percentage only moves sessions to the second target. Without it, each request is drawn at
//! random.

use super::sticky::point;
use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::{Diagnostics, member_path};

#[derive(Debug)]
pub(super) struct Canary {
    percent: f64,
}

impl Canary {
    pub(super) fn make(
        input: &StrategyInput<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Box<dyn Strategy>> {
        if input.children.len() != 2 {
            let message = format!("expected 2 targets for `canary`, got {}", input.children.len());
            diagnostics.add(input.path, message, "the second gets `percent` of the requests");
        }
        let Some(percent) = input.settings.percent else {
            let path = member_path(input.path, "percent");
            diagnostics.add(
                &path,
                "expected a number from 0 to 100",
                "the share of the second target",
            );
            return None;
        };
        Some(Box::new(Self { percent }))
    }
}

impl Strategy for Canary {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        let point = match selection.session {
            Some(session) => point(session),
            None => selection.rng.unit(),
        };
        let place = usize::from(point * 100.0 < self.percent);
        // If one side is unavailable the other gets all requests, unless its share is 0.
        let other = 1 - place;
        let may_go_over = if other == 1 { self.percent > 0.0 } else { self.percent < 100.0 };
        let goes_over = !selection.open.contains(&place) && may_go_over;
        Some(if goes_over { other } else { place })
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn allows_sticky(&self) -> bool {
        false
    }
}
