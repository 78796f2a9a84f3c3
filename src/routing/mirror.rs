//! `mirror`: the first target answers, the others get copies of the request.
//!
//! What the others answer is only recorded, with its cost; the client never waits for it. A copy is made
//! of requests whose body is kept, not of streamed ones.

use super::strategy::{Choosing, Draft, Manner, Strategy};
use crate::base::Problems;

#[derive(Debug)]
pub(super) struct Mirror;

impl Mirror {
    pub(super) fn make(draft: &Draft<'_>, problems: &mut Problems) -> Option<Box<dyn Strategy>> {
        if draft.children.len() < 2 {
            let message = format!("expected 2 or more targets, got {}", draft.children.len());
            problems.add(draft.path, message, "the first answers, the others get copies");
        }
        Some(Box::new(Self))
    }
}

impl Strategy for Mirror {
    fn choose(&self, _: &mut Choosing<'_>) -> Option<usize> {
        Some(0)
    }

    fn manner(&self) -> Manner {
        Manner::Mirror
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn heeds_health(&self) -> bool {
        false
    }
}
