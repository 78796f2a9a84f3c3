//! Do two answers say the same? A rule of thumb for shadow mode, which is after rates, not verdicts.

use super::guards::{GuardName, check};
use super::normalize;
use super::profile::Profile;
use super::template::differ_in_a_name;

/// Answers whose embeddings are so near say the same, if no number or negation differs. Two wordings
/// of one short answer have about 0.85, answers to two questions of one subject about 0.5.
const COSINE_SAME: f32 = 0.80;

/// Answers that are farther apart say something else.
const COSINE_OTHER: f32 = 0.60;

/// True if the answers agree, false if they differ, none where that is not known. `cosine` is that of
/// their embeddings.
pub(super) fn agree(one: &str, other: &str, cosine: Option<f32>) -> Option<bool> {
    if normalize(one) == normalize(other) {
        return Some(true);
    }
    if yes_or_no(one).zip(yes_or_no(other)).is_some_and(|(one, other)| one != other) {
        return Some(false);
    }
    if differ_in_a_name(one, other) {
        return Some(false);
    }
    let (a, b) = (Profile::of(one), Profile::of(other));
    let differs = matches!(
        check(&a, &b),
        Some(
            GuardName::Quantities
                | GuardName::Negation
                | GuardName::Opposites
                | GuardName::Language
        )
    );
    if differs && !a.is_cut() && !b.is_cut() {
        return Some(false);
    }
    match cosine? {
        near if near >= COSINE_SAME => Some(true),
        far if far < COSINE_OTHER => Some(false),
        _ => None,
    }
}

/// The answer of the first word, if it is `yes` or `no`.
fn yes_or_no(text: &str) -> Option<bool> {
    let first = text.split(|it: char| !it.is_alphabetic()).find(|word| !word.is_empty())?;
    let yes = first.eq_ignore_ascii_case("yes");
    (yes || first.eq_ignore_ascii_case("no")).then_some(yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_and_different_answers_are_recognized() {
        for (one, other, cosine, expected) in [
            ("Canberra.", "canberra", None, Some(true)),
            ("It opens at 9am.", "It opens at 10am.", Some(0.99), Some(false)),
            ("Yes, it is safe.", "No, it is not safe.", Some(0.9), Some(false)),
            ("Call the city.", "You can call the city.", Some(0.9), Some(true)),
            ("Your agent is Alice.", "Your agent is Robert.", Some(0.97), Some(false)),
            ("Order A-1234 is on its way.", "Order A-1235 is on its way.", Some(0.99), Some(false)),
            ("Call the city.", "Write a letter.", Some(0.3), Some(false)),
            ("Call the city.", "Write a letter.", Some(0.7), None),
            ("Call the city.", "Write a letter.", None, None),
        ] {
            assert_eq!(agree(one, other, cosine), expected, "{one} | {other}");
        }
    }
}
