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

/// Distance, 1 less the cosine, for each word that is more, in words of the longer question, up to which
/// it adds nothing. The loosest round number that serves nothing wrong on the half that the verifier
/// is fitted on.
const DISTANCE_MAX: f32 = 0.25;

pub(super) fn is_excused(pair: &Comparison<'_>, cosine: f32) -> bool {
    let more = pair.only_a.len().max(pair.only_b.len());
    let count = |words: usize| u16::try_from(words).map_or(f32::INFINITY, f32::from);
    (1.0 - cosine) * count(pair.shared.len() + more) <= DISTANCE_MAX * count(more)
}

fn is_idle(word: &Word<'_>) -> bool {
    STEMS.iter().any(|stem| stem == word.stem)
}

/// Words that name the kind of answer, or nothing, and narrow no question.
const IDLE: &str = "city country person kind type sort value amount option available name thing current
    work us question long quick explain mean find take best step include request process exact happen
    correct proper usual normal usually normally exist";

static STEMS: LazyLock<Vec<String>> = LazyLock::new(|| IDLE.split_whitespace().map(stem).collect());
