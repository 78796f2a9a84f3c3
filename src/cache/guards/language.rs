//! An answer in the asker's language: the scripts must be equal, and so the languages, if both are
//! known. A few words of the other script within a text count as well.

use crate::cache::comparison::Comparison;
use crate::cache::profile::Language;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.language(), pair.b.language());
    pair.a.scripts() != pair.b.scripts()
        || (a != b && a != Language::Unknown && b != Language::Unknown)
}
