//! One closed word is replaced by another, and all else is equal.

use crate::cache::comparison::Comparison;
use crate::cache::profile::{ClosedWord, Profile, Term};

/// Words that are exchanged without another answer, besides those that are one entry of the table.
const EQUALS: &[(ClosedWord, ClosedWord)] = &[
    (ClosedWord::Can, ClosedWord::Would),
    (ClosedWord::At, ClosedWord::About),
    (ClosedWord::Of, ClosedWord::About),
    (ClosedWord::Of, ClosedWord::For),
    (ClosedWord::For, ClosedWord::About),
    (ClosedWord::Of, ClosedWord::From),
    (ClosedWord::Of, ClosedWord::At),
    (ClosedWord::If, ClosedWord::When),
    (ClosedWord::This, ClosedWord::It),
    (ClosedWord::Just, ClosedWord::Only),
    (ClosedWord::Still, ClosedWord::Ever),
];

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    if pair.a.facts().frame == pair.b.facts().frame
        || !pair.only_a.is_empty()
        || !pair.only_b.is_empty()
    {
        return false;
    }
    let (only_a, only_b) = (alone(pair.a, pair.b), alone(pair.b, pair.a));
    let ([Some(a), None], [Some(b), None]) = (only_a, only_b) else { return false };
    !EQUALS.contains(&(a, b)) && !EQUALS.contains(&(b, a))
}

/// The first two closed words that `a` has more often than `b`.
fn alone(a: &Profile, b: &Profile) -> [Option<ClosedWord>; 2] {
    let is_significant =
        |term: &&Term| term.closed().is_some_and(|it| !it.is_free() || it == ClosedWord::Of);
    let count =
        |profile: &Profile, term: &Term| profile.terms().iter().filter(|it| *it == term).count();
    let mut found = [None; 2];
    let mut seen: [Option<ClosedWord>; 2] = [None; 2];
    for term in a.terms().iter().filter(is_significant) {
        let closed = term.closed();
        if seen.contains(&closed) {
            continue;
        }
        let more = count(a, term).saturating_sub(count(b, term));
        for _ in 0..more {
            match found {
                [None, _] => found[0] = closed,
                [_, None] => found[1] = closed,
                _ => return found,
            }
        }
        if more > 0 {
            seen = found;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("A letter from my boss", "A letter for my boss"),
            ("Can I pay on arrival?", "Can I pay before arrival?"),
            ("Is it near the hotel?", "Is it under the hotel?"),
        ];
        let passed = [
            ("What lake is it?", "Which lake is it?"),
            ("Translate it to Dutch", "Translate it into Dutch"),
            ("tips on speaking", "tips about speaking"),
        ];
        check_guard(super::fires, &refused, &passed);
    }
}
