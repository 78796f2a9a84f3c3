//! One question has all words of the other and more: the flu, and the flu in babies. The answer to
//! the wider one is seldom right for the narrower one, and less so the other way round.

use crate::cache::comparison::Comparison;
use crate::cache::profile::Word;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    adds(&pair.only_a, &pair.only_b) || adds(&pair.only_b, &pair.only_a)
}

fn adds(more: &[Word<'_>], less: &[Word<'_>]) -> bool {
    less.is_empty() && more.iter().any(|word| word.mark.is_name || !IDLE.contains(&word.stem))
}

/// Stems that say what kind of thing is asked for, or nothing, and narrow no question.
const IDLE: [&str; 24] = [
    "city", "country", "person", "kind", "typ", "sort", "valu", "amount", "option", "availabl",
    "nam", "thing", "current", "work", "us", "question", "long", "quick", "explain", "mean",
    "find", "tak", "best", "step",
];
