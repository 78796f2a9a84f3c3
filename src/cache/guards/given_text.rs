//! Text that is given to be worked on must be equal to the letter, space and mark.

use crate::cache::comparison::Comparison;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.facts(), pair.b.facts());
    let is_task = a.is_task && b.is_task;
    // Without a part that is marked as given it is the whole text that may be.
    let differs_in_form = is_task && a.folded == b.folded && a.exact != b.exact;
    a.given != b.given && (is_task || (a.given != 0 && b.given != 0))
        || (differs_in_form && a.given == 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("Count the vowels: Banana", "Count the vowels: banana"),
            ("How many letters are in 'a b'?", "How many letters are in 'a  b'?"),
            ("What is the MD5 of test", "What is the MD5 of test."),
            ("Is the word polish capitalised?", "Is the word Polish capitalised?"),
        ];
        let passed = [
            ("Fix the grammar: he go", "Please fix the grammar: he go"),
            ("How do I write a letter?", "how do i write a letter"),
            ("Call me at 9:15", "call me at 9:15"),
        ];
        check_guard(super::fires, &refused, &passed);
    }
}
