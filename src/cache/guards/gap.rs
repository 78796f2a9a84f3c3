//! What is asked for does it in one question, and has it done to it in the other: `what eats spiders`,
//! `what do spiders eat`.

use crate::cache::comparison::Comparison;
use crate::cache::profile::Gap;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    matches!(
        (pair.a.facts().gap, pair.b.facts().gap),
        (Gap::Agent, Gap::Patient) | (Gap::Patient, Gap::Agent)
    )
}
