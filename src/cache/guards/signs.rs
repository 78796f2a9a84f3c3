//! Signs of arithmetic, comparison or code differ, or flags, or the case of a unit.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    pair.a.facts().signs != pair.b.facts().signs
}
