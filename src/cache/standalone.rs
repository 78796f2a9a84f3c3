//! Does a question stand alone, so that its answer needs nothing of the conversation before it?
//!
//! Strict on purpose: of 120 pairs of conversations with another answer, turns that pass it and were
//! found the same had one wrong answer.

use super::profile::{ClosedWord, Dimension, Profile};

/// Content words of a question that stands alone, at least.
const WORDS_MIN: usize = 4;

/// Stems of words that point back.
const BACK: &[&str] = &[
    "abov",
    "again",
    "alternativ",
    "anoth",
    "another",
    "before",
    "below",
    "continu",
    "detail",
    "differ",
    "different",
    "earlier",
    "els",
    "exampl",
    "follow",
    "former",
    "instead",
    "it",
    "last",
    "latter",
    "mention",
    "more",
    "next",
    "option",
    "other",
    "previou",
    "previous",
    "rest",
    "same",
    "sam",
    "similar",
    "such",
    "too",
    "versus",
];

/// Verbs that an order begins with.
const ORDERS: &[&str] = &[
    "calculat",
    "compar",
    "convert",
    "defin",
    "describ",
    "explain",
    "giv",
    "list",
    "nam",
    "outlin",
    "recommend",
    "suggest",
    "summariz",
    "translat",
    "writ",
];

/// True if the text is an English question with a question word, auxiliary or order first and at least
/// four words of matter, and names no person, place in an order or thing mentioned before.
#[must_use]
pub fn stands_alone(text: &str) -> bool {
    let profile = Profile::of(text);
    let is_first = |closed: ClosedWord| closed.is_question_word() || closed.is_auxiliary();
    let first = profile.terms().first().and_then(|term| term.closed());
    let is_order = profile.words().next().is_some_and(|word| ORDERS.contains(&word.stem));
    let points_back = profile.terms().iter().any(|term| {
        term.closed().is_some_and(|closed| {
            closed.is_person()
                || matches!(
                    closed,
                    ClosedWord::It
                        | ClosedWord::Its
                        | ClosedWord::This
                        | ClosedWord::That
                        | ClosedWord::There
                        | ClosedWord::Then
                        | ClosedWord::But
                        | ClosedWord::Still
                        | ClosedWord::Instead
                        | ClosedWord::More
                        | ClosedWord::Less
                        | ClosedWord::Someone
                )
        })
    });
    let is_ordinal = profile.quantities().iter().any(|it| it.dimension == Dimension::Ordinal);
    !profile.is_cut()
        && !profile.is_foreign()
        && (first.is_some_and(is_first) || is_order)
        && profile.words().count() >= WORDS_MIN
        && !points_back
        && !is_ordinal
        && !profile.words().any(|word| BACK.contains(&word.stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standalone_turns_are_recognized() {
        for text in [
            "What is the notice period for tenants in Scotland?",
            "Does a UK passport need six months of validity for Turkey?",
            "How are dividends taxed for limited company directors?",
            "Explain the Doppler effect for primary school children",
        ] {
            assert!(stands_alone(text), "{text}");
        }
        for text in [
            "What about Scotland?",
            "How long does it take to renew the passport?",
            "Can I pay the council tax bill by direct debit?",
            "Is the second plan of the provider cheaper in winter?",
            "What does the other plan of the provider cost?",
            "yes",
            "And the notice period for tenants in Scotland?",
            "What would that cost for a family of tourists?",
            "Quel est le délai de préavis pour les locataires en Écosse ?",
            "",
        ] {
            assert!(!stands_alone(text), "{text}");
        }
    }
}
