//! The same words in roles that are exchanged: `from A to B` and `from B to A`, `A than B` and
//! `B than A`.

use crate::cache::comparison::{Comparison, Shared};
use crate::cache::profile::RelationSide;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    // The active has no `by`.
    let is_one_passive = pair.a.facts().is_passive != pair.b.facts().is_passive;
    !is_one_passive && are_roles_exchanged(&pair.shared)
}

/// One word has a role in `a` alone and another one has that role in `b` alone.
fn are_roles_exchanged(shared: &[Shared<'_>]) -> bool {
    let lost = shared.iter().filter(|word| word.a.mark.role != RelationSide::Subject);
    lost.filter(|word| word.a.mark.role != word.b.mark.role).any(|word| {
        let role = word.a.mark.role;
        shared.iter().any(|other| other.b.mark.role == role && other.a.mark.role != role)
    })
}
