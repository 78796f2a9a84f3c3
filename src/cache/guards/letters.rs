//! Characters above ASCII differ: emoji, mathematical signs, accents, Han.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    pair.a.facts().letters != pair.b.facts().letters
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("What is 🚀?", "What is 💎?"),
            ("Define ∪", "Define ∩"),
            ("What does año mean?", "What does ano mean?"),
        ];
        let passed = [("What’s up?", "What's up?"), ("How is the café?", "How is the Café?")];
        check_guard(super::fires, &refused, &passed);
    }
}
