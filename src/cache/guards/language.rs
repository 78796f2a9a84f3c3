//! Another language than English on one side: the tables know too little of it to distinguish near questions
//! apart, so that only the same wording is served. A few words of the other script within a text count
//! as well.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    pair.a.scripts() != pair.b.scripts() || pair.a.is_foreign() || pair.b.is_foreign()
}
