//! Each question names something that the other does not know.

use crate::cache::comparison::Comparison;
use crate::cache::profile::Word;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let has_name = |words: &[Word<'_>]| words.iter().any(|word| word.mark.is_name);
    has_name(&pair.only_a) && has_name(&pair.only_b)
}
