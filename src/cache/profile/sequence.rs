//! All words of a question in order, as small numbers.

use serde::{Deserialize, Serialize};

use super::closed::ClosedWord;
use super::irregular::{is_participle, is_past};
use super::letters::spread;
use super::token::{Token, TokenKind};
use super::words::Flat;

/// A word: of a closed class, or the hash of a stem or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Term(u32);

const OPEN: u32 = 1 << 31;
const PARTICIPLE: u32 = 1 << 30;
const NUMBER: u32 = 1 << 29;
const PAST: u32 = 1 << 28;
const FLAGS: u32 = PARTICIPLE | NUMBER | PAST;

impl Term {
    pub(super) fn of(closed: ClosedWord) -> Self {
        Self(closed as u32)
    }

    /// A word of the open classes, by its stem.
    pub(in crate::cache) fn open(stem: &str) -> Self {
        let hash = stem
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self((hash ^ (hash >> 15)) & !FLAGS | OPEN)
    }

    /// What parts two phrases.
    pub(in crate::cache) fn mark() -> Self {
        Self::of(ClosedWord::Comma)
    }

    /// The closed word, if it is one.
    pub(in crate::cache) fn closed(self) -> Option<ClosedWord> {
        ClosedWord::ALL.get(self.0 as usize).copied()
    }

    pub(in crate::cache) fn is(self, closed: ClosedWord) -> bool {
        self.0 == closed as u32
    }

    /// True of words of the open classes and of numbers.
    pub(in crate::cache) fn is_open(self) -> bool {
        self.0 & OPEN != 0
    }

    /// True if it may be the participle of a passive.
    pub(in crate::cache) fn is_participle(self) -> bool {
        self.is_open() && self.0 & PARTICIPLE != 0
    }

    /// True if it may be a verb in the past.
    pub(super) fn is_past(self) -> bool {
        self.is_open() && self.0 & PAST != 0
    }

    pub(in crate::cache) fn is_number(self) -> bool {
        self.is_open() && self.0 & NUMBER != 0
    }

    /// The same for all forms of a word.
    pub(in crate::cache) fn key(self) -> u32 {
        if self.is_open() { self.0 & !(PARTICIPLE | PAST) } else { self.0 }
    }

    fn spread(self) -> u64 {
        spread(u64::from(self.key()))
    }
}

/// The words in order. `stems` has the term of each token that is a content word.
pub(super) fn read(flat: &[Flat<'_>], tokens: &[Token], stems: &[Option<Term>]) -> Vec<Term> {
    let words: Vec<&Flat<'_>> = flat.iter().filter(|word| !word.is_aside).collect();
    let mut terms = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        let Some(token) = tokens.get(word.token) else { continue };
        if token.kind == TokenKind::Number {
            terms.push(Term(Term::open(word.text).0 | NUMBER));
            continue;
        }
        let is_acronym = matches!(token.kind, TokenKind::Capital | TokenKind::Capitals)
            && word.text == token.text
            && (token.kind == TokenKind::Capitals || word.text.len() == 1)
            && stems.get(word.token).is_some_and(Option::is_some);
        if word.is_taken && word.closed.is_none() {
            continue;
        }
        if let Some(found) = word.closed.filter(|_| !is_acronym) {
            while words.get(at).is_some_and(|next| next.is_taken && next.closed.is_none()) {
                at += 1;
            }
            let next = words.get(at).map_or("", |it| it.text);
            let found = match found {
                // A number makes a bound of it.
                ClosedWord::More | ClosedWord::Less
                    if next == "than" && is_number(words.get(at + 1), tokens) =>
                {
                    at += 1;
                    if found == ClosedWord::More { ClosedWord::Over } else { ClosedWord::Under }
                }
                ClosedWord::She
                    if word.text == "her" && words.get(at).is_some_and(|it| is_noun(it, stems)) =>
                {
                    ClosedWord::Hers
                }
                other => other,
            };
            terms.push(Term::of(found));
            continue;
        }
        // The order of a date's parts has no meaning.
        let is_beside_number = terms.last().is_some_and(|term: &Term| term.is_number())
            || words.get(at).is_some_and(|next| {
                tokens.get(next.token).is_some_and(|it| it.kind == TokenKind::Number)
            });
        if is_beside_number && is_of_date(word.text) {
            continue;
        }
        if let Some(value) = small_number(word.text) {
            terms.push(Term(Term::open(value).0 | NUMBER));
            continue;
        }
        terms.extend(open(word.text, stems.get(word.token).copied().flatten()));
    }
    while terms.last().is_some_and(|term| term.closed().is_some_and(ClosedWord::is_mark)) {
        terms.pop();
    }
    generalize(&mut terms);
    without_idle_modals(terms)
}

/// A word of the open classes; `stem` if it is a content word. Function words are left out.
fn open(word: &str, stem: Option<Term>) -> Option<Term> {
    match stem {
        Some(stem) if is_participle(word) => Some(Term(stem.0 | PARTICIPLE | PAST)),
        Some(stem) if is_past(word) => Some(Term(stem.0 | PAST)),
        Some(stem) => Some(stem),
        None if super::lexicon::is_function_word(word) => None,
        None => Some(match super::quantity::weekday_name(word) {
            Some(name) => Term::open(name),
            None => Term::open(&super::stem::stem(word)),
        }),
    }
}

/// `How can I` and `how should I` are `how do I`; `what should I do` is `what do I do`.
fn without_idle_modals(terms: Vec<Term>) -> Vec<Term> {
    let is_idle = |at: usize| {
        let is = |place: usize, closed| terms.get(place).is_some_and(|term| term.is(closed));
        let is_after = |closed| at > 0 && is(at - 1, closed);
        (is(at, ClosedWord::Can) || is(at, ClosedWord::Should) || is(at, ClosedWord::Would))
            && (is_after(ClosedWord::How)
                || is_after(ClosedWord::What)
                    && is(at + 1, ClosedWord::I)
                    && is(at + 2, ClosedWord::Do))
    };
    (0..terms.len()).filter(|at| !is_idle(*at)).filter_map(|at| terms.get(at).copied()).collect()
}

/// `How do you` is `how do I`, where no other person is named. `Who are you` is not `who am I`.
fn generalize(terms: &mut [Term]) {
    let mentions = |one| terms.iter().any(|term| term.is(one));
    let is_named = |pair: &[Term]| matches!(pair, [one, other] if one.is(ClosedWord::You) && is_be(*other) || is_be(*one) && other.is(ClosedWord::You));
    if !mentions(ClosedWord::You)
        || [ClosedWord::I, ClosedWord::My, ClosedWord::He, ClosedWord::She, ClosedWord::They]
            .into_iter()
            .any(mentions)
        || terms.windows(2).any(is_named)
    {
        return;
    }
    for term in terms {
        match term.closed() {
            Some(ClosedWord::You) => *term = Term::of(ClosedWord::I),
            Some(ClosedWord::Your) => *term = Term::of(ClosedWord::My),
            _ => {}
        }
    }
}

fn is_noun(word: &Flat<'_>, stems: &[Option<Term>]) -> bool {
    stems.get(word.token).is_some_and(Option::is_some) && !matches!(word.text, "," | "." | ":")
}

fn is_be(term: Term) -> bool {
    term.is(ClosedWord::Be) || term.is(ClosedWord::Was)
}

fn is_number(word: Option<&&Flat<'_>>, tokens: &[Token]) -> bool {
    word.is_some_and(|word| {
        tokens.get(word.token).is_some_and(|token| token.kind == TokenKind::Number)
            || small_number(word.text).is_some()
            || matches!(word.text, "a" | "an" | "half" | "one")
    })
}

fn is_of_date(word: &str) -> bool {
    matches!(
        word,
        "january"
            | "february"
            | "march"
            | "april"
            | "may"
            | "june"
            | "july"
            | "august"
            | "september"
            | "october"
            | "november"
            | "december"
            | "st"
            | "nd"
            | "rd"
            | "th"
            | "am"
            | "pm"
    )
}

/// The digits of a number word.
fn small_number(word: &str) -> Option<&'static str> {
    Some(match word {
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        "ten" => "10",
        _ => return None,
    })
}

/// A hash of the closed words that a question does not say the same without, whatever their order.
pub(super) fn frame(terms: &[Term]) -> u64 {
    let closed = terms.iter().filter(|term| term.closed().is_some_and(|it| !it.is_free()));
    closed.map(|term| term.spread()).fold(0, u64::wrapping_add)
}

/// A hash of the numbers in order.
pub(super) fn number_order(terms: &[Term]) -> u64 {
    let numbers = terms.iter().filter(|term| term.is_number());
    numbers.fold(0, |hash, term| spread(hash ^ term.spread()))
}
