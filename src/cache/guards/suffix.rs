//! One side has a name more, or a word behind a number: Pro 9 and Pro 9 X, gpt-4o and gpt-4o-mini, John
//! Adams and John Quincy Adams. Nearness excuses none of them.

use crate::cache::comparison::Comparison;
use crate::cache::profile::{Profile, Term, Word};

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    adds(&pair.only_a, &pair.only_b, pair.a) || adds(&pair.only_b, &pair.only_a, pair.b)
}

fn adds(more: &[Word<'_>], less: &[Word<'_>], profile: &Profile) -> bool {
    less.is_empty() && more.iter().any(|word| word.mark.is_name || follows_number(word, profile))
}

/// True if the word stands right behind a number.
fn follows_number(word: &Word<'_>, profile: &Profile) -> bool {
    let term = Term::open(word.stem).key();
    let terms = profile.terms();
    terms.windows(2).any(|pair| {
        matches!(pair, [number, word] if number.is_number() && word.is_open() && word.key() == term)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("Is the Pixel 8 good?", "Is the Pixel 8 pro good?"),
            ("Who was John Adams?", "Who was John Quincy Adams?"),
        ];
        let passed = [("How do I cook rice?", "How do I cook rice well?")];
        check_guard(super::fires, &refused, &passed);
    }
}
