//! What is known of a question as a whole, in a few numbers that are compared at once.

use serde::{Deserialize, Serialize};

use super::grammar::{self, Gap, Mood};
use super::letters::spread;
use super::sequence::{self, Term};
use super::token::{Token, TokenKind};
use super::{ClosedWord, given, letters, signs};

/// Hashes and flags of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileFacts {
    /// Of the characters above ASCII, whatever their order.
    pub letters: u64,
    /// Of the signs in order.
    pub signs: u64,
    /// Of the numbers in order.
    pub number_order: u64,
    /// True if exchanged numbers make another question of it: minus, divided, power, percent.
    pub is_ordered: bool,
    /// Of the given text to the letter; 0 where none is marked as given.
    pub given: u64,
    /// True if the question is about letters, spaces or marks.
    pub is_task: bool,
    /// Of the whole text to the letter, but for a capital at its beginning; 0 unless `is_task`.
    pub exact: u64,
    /// The same without case, spaces and marks.
    pub folded: u64,
    /// Of the closed words that a question does not say the same without, whatever their order.
    pub frame: u64,
    /// The values of the closed classes, as [`super::class`] has them.
    pub classes: u64,
    /// The grammatical role of the answer.
    pub gap: Gap,
    /// Whether it asks or states.
    pub mood: Mood,
    /// True if it has a passive with its agent.
    pub is_passive: bool,
    /// True if its writer uses capitals.
    pub has_capitals: bool,
}

impl ProfileFacts {
    pub(super) fn of(text: &str, tokens: &[Token], terms: &[Term]) -> Self {
        let given = given::read(text);
        let (exact, folded) = if given.is_task { whole(text) } else { (0, 0) };
        Self {
            letters: letters::read(text),
            signs: signs::read(text),
            number_order: sequence::number_order(terms),
            is_ordered: is_ordered(text, tokens, terms),
            given: given.text.map_or(0, |given| hash(given.bytes()) | 1),
            is_task: given.is_task,
            exact,
            folded,
            frame: sequence::frame(terms),
            classes: grammar::classes(terms),
            gap: grammar::gap(terms),
            mood: grammar::mood(terms, text.trim_end().chars().next_back()),
            is_passive: grammar::passive(terms).is_some(),
            has_capitals: tokens.iter().any(|token| {
                matches!(token.kind, TokenKind::Capital | TokenKind::Capitals) && token.text != "i"
            }),
        }
    }
}

fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0, |hash, byte| spread(hash ^ u64::from(byte)))
}

/// The text to the letter, and without case, spaces and marks.
fn whole(text: &str) -> (u64, u64) {
    let text = text.trim();
    let text = text.strip_suffix('?').unwrap_or(text);
    let first = text.bytes().take(1).map(|byte| byte.to_ascii_lowercase());
    let exact = hash(first.chain(text.bytes().skip(1)));
    let letters = text.bytes().filter(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
    (exact, hash(letters.map(|byte| byte.to_ascii_lowercase())))
}

/// True if numbers in another order are another question.
fn is_ordered(text: &str, tokens: &[Token], terms: &[Term]) -> bool {
    const WORDS: [&str; 14] = [
        "minus",
        "divided",
        "divide",
        "power",
        "percent",
        "percentage",
        "subtract",
        "subtracted",
        "mod",
        "modulo",
        "root",
        "log",
        "fraction",
        "exponent",
    ];
    let has_numbers = terms.iter().filter(|term| term.is_number()).count() >= 2;
    let is_marked = text.contains(['-', '/', '^', '<', '>', '%', '\u{2212}', '÷', '≤', '≥']);
    let closed = [
        ClosedWord::From,
        ClosedWord::To,
        ClosedWord::Than,
        ClosedWord::Of,
        ClosedWord::By,
        ClosedWord::Over,
    ];
    has_numbers
        && (is_marked
            || terms.iter().any(|term| closed.into_iter().any(|it| term.is(it)))
            || tokens.iter().any(|token| WORDS.contains(&token.text.as_str())))
}
