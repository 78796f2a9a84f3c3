//! The same numbers in another order where their order counts: minus, divided, power, percent, from.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.facts(), pair.b.facts());
    a.number_order != b.number_order && (a.is_ordered || b.is_ordered)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("20 minus 7", "7 minus 20"),
            ("What is 3 to the power of 5?", "What is 5 to the power of 3?"),
            ("Open from 9 to 5?", "Open from 5 to 9?"),
        ];
        let passed = [("What is 3 plus 5?", "What is 5 plus 3?")];
        check_guard(super::fires, &refused, &passed);
    }
}
