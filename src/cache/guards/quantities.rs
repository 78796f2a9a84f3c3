//! Numbers, dates, times, amounts and versions must be the same, as often as they stand.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    pair.a.quantities() != pair.b.quantities()
}
