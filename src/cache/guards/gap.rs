//! What is asked for does it in one question, and has it done to it in the other: `what eats spiders`,
//! `what do spiders eat`.

use crate::cache::comparison::Comparison;
use crate::cache::profile::Gap;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    matches!(
        (pair.a.facts().gap, pair.b.facts().gap),
        (Gap::Agent, Gap::Patient) | (Gap::Patient, Gap::Agent)
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("What eats spiders?", "What do spiders eat?"),
            ("Who bit the dog?", "Who was bitten by the dog?"),
            ("Which rivers are longer than the Rhine?", "Which rivers is the Rhine longer than?"),
        ];
        let passed = [
            ("Who painted it?", "Who was it painted by?"),
            ("What does git fetch do?", "What is git fetch for?"),
        ];
        check_guard(super::fires, &refused, &passed);
    }
}
