//! `fallback`: the targets in their order, the next when one has failed.
//!
//! Any answer but success leads on; with `on_status_codes` only these, and providers that cannot be
//! reached. A target whose breaker is open is passed over. The client gets the last answer.

use super::strategy::{Choosing, Draft, Strategy};
use crate::base::Problems;

#[derive(Debug)]
pub(super) struct Fallback;

impl Fallback {
    pub(super) fn make(_: &Draft<'_>, _: &mut Problems) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for Fallback {
    fn choose(&self, choosing: &mut Choosing<'_>) -> Option<usize> {
        choosing.open.first().copied()
    }
}
