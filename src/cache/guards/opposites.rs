//! A word on one side excludes a word on the other: by the table of opposites, or by a prefix that
//! turns a word round.

use crate::cache::comparison::Comparison;
use crate::cache::profile::{OppositionSide, Profile, Word};

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (only_a, only_b) = (&pair.only_a, &pair.only_b);
    stand_apart(pair.a, pair.b) || is_turned(only_a, only_b) || is_turned(only_b, only_a)
}

/// One has a side of an opposition that the other lacks, and the other has the opposite side. It may
/// have that side too: `turn off on Monday` has both.
fn stand_apart(a: &Profile, b: &Profile) -> bool {
    let excludes = |a: &Profile, b: &Profile| {
        let added = a.poles().iter().filter(|pole| b.poles().binary_search(pole).is_err());
        let is_opposite = |one: &OppositionSide, other: &OppositionSide| {
            one.opposition == other.opposition && one.side != other.side
        };
        added.into_iter().any(|pole| b.poles().iter().any(|other| is_opposite(pole, other)))
    };
    excludes(a, b) || excludes(b, a)
}

/// A word of one side is a word of the other behind a prefix that turns it round.
fn is_turned(turned: &[Word<'_>], plain: &[Word<'_>]) -> bool {
    const PREFIXES: [&str; 12] =
        ["un", "in", "im", "il", "ir", "dis", "non", "de", "anti", "mis", "under", "over"];
    turned.iter().any(|word| {
        let roots = PREFIXES.iter().filter_map(|prefix| word.stem.strip_prefix(prefix));
        roots
            .filter(|root| root.len() >= 3)
            .any(|root| plain.iter().any(|other| other.stem == root))
    })
}
