//! The same numbers in another order where their order counts: minus, divided, power, percent, from.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.facts(), pair.b.facts());
    a.number_order != b.number_order && (a.is_ordered || b.is_ordered)
}
