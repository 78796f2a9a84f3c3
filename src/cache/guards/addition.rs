//! One question has all words of the other and more: the flu, and the flu in babies. The answer to
//! the wider one is seldom right for the narrower one, and less so the other way round.

use std::sync::LazyLock;

use crate::cache::comparison::Comparison;
use crate::cache::profile::{Word, stem};

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    adds(&pair.only_a, &pair.only_b) || adds(&pair.only_b, &pair.only_a)
}

fn adds(more: &[Word<'_>], less: &[Word<'_>]) -> bool {
    less.is_empty() && more.iter().any(|word| word.mark.is_name || !is_idle(word))
}

fn is_idle(word: &Word<'_>) -> bool {
    STEMS.iter().any(|stem| stem == word.stem)
}

/// Words that say what kind of thing is asked for, or nothing, and narrow no question.
const IDLE: &str = "city country person kind type sort value amount option available name thing current
    work us question long quick explain mean find take best step include request process exact happen
    correct proper usual normal usually normally exist";

static STEMS: LazyLock<Vec<String>> = LazyLock::new(|| IDLE.split_whitespace().map(stem).collect());
