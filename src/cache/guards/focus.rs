//! Only, just, almost, even, still or not stands before another word.

use crate::cache::comparison::Comparison;
use crate::cache::profile::{ClosedWord, Profile, Term};

const FOCUS: [ClosedWord; 8] = [
    ClosedWord::Only,
    ClosedWord::Just,
    ClosedWord::Almost,
    ClosedWord::Even,
    ClosedWord::Still,
    ClosedWord::Not,
    ClosedWord::Hardly,
    ClosedWord::Exactly,
];

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let both = focuses(pair.a) & focuses(pair.b);
    (0..).zip(FOCUS).filter(|(place, _)| both & (1 << place) != 0).any(|(_, focus)| {
        let (mut a, mut b) = (targets(pair.a, focus), targets(pair.b, focus));
        loop {
            match (a.next(), b.next()) {
                (Some(one), Some(other)) if differs(pair, one, other) => return true,
                (Some(_), Some(_)) => {}
                _ => return false,
            }
        }
    })
}

/// A bit for each focus word of a question.
fn focuses(profile: &Profile) -> u8 {
    let places = profile.terms().iter().filter_map(|term| {
        let closed = term.closed()?;
        FOCUS.iter().position(|focus| *focus == closed)
    });
    places.fold(0, |bits, place| bits | 1 << place)
}

/// What a focus word stands before.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// A word.
    Word(Term),
    /// Nothing.
    End,
    /// The whole clause: `why doesn't it`.
    Clause,
}

fn differs(pair: &Comparison<'_>, one: Target, other: Target) -> bool {
    let has =
        |profile: &Profile, term: Term| profile.terms().iter().any(|it| it.key() == term.key());
    match (one, other) {
        (Target::Clause, _) | (_, Target::Clause) => false,
        (Target::Word(one), Target::Word(other)) => {
            one.key() != other.key() && has(pair.b, one) && has(pair.a, other)
        }
        (Target::Word(one), Target::End) => has(pair.b, one),
        (Target::End, Target::Word(other)) => has(pair.a, other),
        (Target::End, Target::End) => false,
    }
}

fn targets(profile: &Profile, focus: ClosedWord) -> impl Iterator<Item = Target> {
    let terms = profile.terms();
    let places = terms.iter().enumerate().filter(move |(_, term)| term.is(focus));
    places.map(move |(place, _)| {
        let closed =
            |at: Option<usize>| at.and_then(|at| terms.get(at)).and_then(|term| term.closed());
        let before = closed(place.checked_sub(1));
        let is_inverted = before.is_some_and(ClosedWord::is_auxiliary)
            && (place < 2
                || closed(place.checked_sub(2))
                    .is_some_and(|it| it.is_mark() || it.is_question_word()));
        if focus == ClosedWord::Not && is_inverted {
            return Target::Clause;
        }
        let next = terms.iter().skip(place + 1).find(|term| !term.is(ClosedWord::Article));
        match next {
            Some(term) if term.closed().is_some_and(ClosedWord::is_mark) => Target::End,
            Some(term) => Target::Word(*term),
            None => Target::End,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("Only members may vote", "Members may only vote"),
            ("I nearly lost all the data", "I lost nearly all the data"),
            ("I did not say he lied", "I said he did not lie"),
        ];
        let passed = [
            ("Why doesn't glue stick?", "Why does glue not stick?"),
            ("I can't log in", "I can not log in"),
        ];
        check_guard(super::fires, &refused, &passed);
    }
}
