//! `single`: the first target answers.
//!
//! For a route that only edits, retries or caches. It costs nothing and chooses nothing: targets behind the
//! first are checked when the route is read, and then left out.

use super::strategy::{Choosing, Draft, Strategy};
use crate::base::Problems;

#[derive(Debug)]
pub(super) struct Single;

impl Single {
    pub(super) fn make(draft: &Draft<'_>, problems: &mut Problems) -> Option<Box<dyn Strategy>> {
        if draft.children.len() > 1 {
            let message = format!("expected 1 target for `single`, got {}", draft.children.len());
            let hint =
                "`fallback` tries one after the other; `single`, written out, takes the first";
            problems.add(draft.path, message, hint);
        }
        Some(Box::new(Self))
    }
}

impl Strategy for Single {
    fn choose(&self, _: &mut Choosing<'_>) -> Option<usize> {
        Some(0)
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn heeds_health(&self) -> bool {
        false
    }
}
