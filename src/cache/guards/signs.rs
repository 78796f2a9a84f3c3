//! Signs of arithmetic, comparison or code differ, or flags, or the case of a unit.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    pair.a.facts().signs != pair.b.facts().signs
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("Is 3 > 2?", "Is 3 < 2?"),
            ("What does grep -v do?", "What does grep -V do?"),
            ("What is 8 + 2?", "What is 8 - 2?"),
        ];
        let passed = [
            ("What is 6 times 7?", "What is 6 * 7?"),
            ("a two-factor login", "a two factor login"),
        ];
        check_guard(super::fires, &refused, &passed);
    }
}
