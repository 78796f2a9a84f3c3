//! One question is negated, the other is not. Two negations in one text cancel each other.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    pair.a.is_negated() != pair.b.is_negated()
}
