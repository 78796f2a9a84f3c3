//! The same words in roles that are exchanged: `from A to B` and `from B to A`, `A than B` and
//! `B than A`, or two words that have changed places.

use crate::cache::comparison::{Comparison, Shared};
use crate::cache::profile::Role;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    are_roles_exchanged(&pair.shared) || are_two_exchanged(pair)
}

/// One word has a role in `a` alone and another one has that role in `b` alone.
fn are_roles_exchanged(shared: &[Shared<'_>]) -> bool {
    let lost = shared.iter().filter(|word| word.a.mark.role != Role::Subject);
    lost.filter(|word| word.a.mark.role != word.b.mark.role).any(|word| {
        let role = word.a.mark.role;
        shared.iter().any(|other| other.b.mark.role == role && other.a.mark.role != role)
    })
}

/// All words are shared, and two that are no neighbours have changed places: `can a parent sue a
/// child`. A part of the sentence that has moved as a whole is another matter.
fn are_two_exchanged(pair: &Comparison<'_>) -> bool {
    if !pair.only_a.is_empty() || !pair.only_b.is_empty() {
        return false;
    }
    let moved: Vec<(usize, usize)> = pair
        .shared
        .iter()
        .enumerate()
        .map(|(place_a, word)| (place_a, word.place_b))
        .filter(|(place_a, place_b)| place_a != place_b)
        .collect();
    matches!(moved.as_slice(), [first, second] if second.0 - first.0 >= 2)
}
