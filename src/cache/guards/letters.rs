//! Characters above ASCII differ: emoji, mathematical signs, accents, Han.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    pair.a.facts().letters != pair.b.facts().letters
}
