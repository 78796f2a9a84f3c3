//! Stage `recall`: the exact and the semantic cache would be asked here.
//!
//! There is no cache yet: nothing is ever found, and the answer says `cache-status: DISABLED`.

use super::deliver::Whole;
use super::receive::Request;
use super::record::Exchange;

/// The stored answer, if there is one.
pub(super) fn recall(_: &mut Exchange<'_>, _: &Request) -> Option<Whole> {
    None
}
