//! Text that is given to be worked on must be equal to the letter, space and mark.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.facts(), pair.b.facts());
    let is_task = a.is_task && b.is_task;
    // Without a part that is marked as given it is the whole text that may be.
    let differs_in_form = is_task && a.folded == b.folded && a.exact != b.exact;
    a.given != b.given && (is_task || (a.given != 0 && b.given != 0))
        || (differs_in_form && a.given == 0)
}
