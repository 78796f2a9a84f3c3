//! The same words in another arrangement, which changes agent and object, possession or comparison.
//!
//! Both questions are cut into phrases at prepositions, conjunctions, auxiliaries and marks. A phrase
//! that both have may stand anywhere; of the words that are left none may have changed places. A passive
//! is read as its active, `Y's X` as `X of Y`.

use crate::cache::comparison::Comparison;
use crate::cache::profile::{ClosedWord, Profile, Term, passive};

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.facts(), pair.b.facts());
    let is_one_passive = a.is_passive != b.is_passive;
    if is_one_passive {
        if !pair.only_a.is_empty() || !pair.only_b.is_empty() {
            return false;
        }
    } else if a.frame != b.frame || is_in_order(pair.a.terms(), pair.b.terms()) {
        return false;
    }
    let (a, b) = (active(pair.a), active(pair.b));
    let b = with_words_of(pair, b);
    let is_free = is_symmetric(&a) && is_symmetric(&b);
    let (a_readings, b_readings) = (readings(&a, &b), readings(&b, &a));
    let b_phrases: Vec<_> = b_readings.map(|reading| Phrases::of(&b, reading)).collect();
    let mut a_phrases = a_readings.map(|reading| Phrases::of(&a, reading));
    a_phrases.all(|a| b_phrases.iter().all(|b| are_exchanged(&a, b, is_free)))
}

/// The ways to read the possessives of `terms`, as [`Phrases::of`] takes them. One that `other` has lost
/// (`my childs`) stays where it is.
fn readings(terms: &[Term], other: &[Term]) -> std::ops::RangeInclusive<u8> {
    let count = |terms: &[Term], closed| terms.iter().filter(|term| term.is(closed)).count();
    let (own, others) = (count(terms, ClosedWord::Genitive), count(other, ClosedWord::Genitive));
    let word = |stem: &str| {
        let key = Term::open(stem).key();
        terms.iter().any(|term| term.key() == key)
    };
    // `Symptoms of measles` is `measles symptoms`; `the cause of X` is not what X does cause.
    let is_compound = count(terms, ClosedWord::Of) > count(other, ClosedWord::Of)
        && own == others
        && (word("mean")
            || !other.iter().any(|term| term.is(ClosedWord::Do) || term.is(ClosedWord::Did)));
    match own {
        _ if is_compound => AS_IT_STANDS..=OF_REVERSED,
        0 => AS_IT_STANDS..=AS_IT_STANDS,
        _ if others < own && count(terms, ClosedWord::Of) == count(other, ClosedWord::Of) => {
            0..=AS_IT_STANDS
        }
        _ => 0..=3,
    }
}

const OF: u32 = ClosedWord::Of as u32;

/// The reading that moves nothing.
const AS_IT_STANDS: u8 = 4;

/// The reading in which the word behind `of` goes before the one that `of` follows.
const OF_REVERSED: u8 = 5;

/// True if nothing has changed places, so that there is nothing to look for.
fn is_in_order(a: &[Term], b: &[Term]) -> bool {
    let is_word = |term: &&Term| is_word(**term) || term.is(ClosedWord::Genitive);
    let boundaries = |term: &&Term| is_word(term) || term.closed().is_some_and(is_boundary);
    a.iter()
        .filter(boundaries)
        .map(|term| term.key())
        .eq(b.iter().filter(boundaries).map(|term| term.key()))
}

/// The words as they stand in the active.
fn active(profile: &Profile) -> Vec<Term> {
    let terms = profile.terms();
    let Some((auxiliary, verb, by)) = passive(terms) else { return terms.to_vec() };
    let part = |from: usize, to: usize| terms.get(from..to).unwrap_or_default();
    let is_end = |term: &Term| term.closed().is_some_and(is_boundary);
    let agent_end =
        terms.iter().skip(by + 1).position(is_end).map_or(terms.len(), |end| by + 1 + end);
    let has_subject = part(auxiliary + 1, verb).iter().any(|term| is_word(*term));
    let start = if has_subject {
        auxiliary
    } else {
        part(0, auxiliary).iter().rposition(is_end).map_or(0, |end| end + 1)
    };
    let subject = if has_subject { part(auxiliary + 1, verb) } else { part(start, auxiliary) };
    [
        part(0, start),
        &[Term::mark()],
        part(by + 1, agent_end),
        part(verb, verb + 1),
        subject,
        part(agent_end, terms.len()),
    ]
    .concat()
}

/// With the words of `b` that meet another of `a` replaced by that: misspelled ones.
fn with_words_of(pair: &Comparison<'_>, mut b: Vec<Term>) -> Vec<Term> {
    for word in pair.shared.iter().filter(|word| word.a.stem != word.b.stem) {
        let (from, to) = (Term::open(word.b.stem), Term::open(word.a.stem));
        for term in b.iter_mut().filter(|term| term.key() == from.key()) {
            *term = to;
        }
    }
    b
}

/// Words that count when they change places: all that carry matter, persons and quantities.
fn is_word(term: Term) -> bool {
    term.is_open()
        || term.closed().is_some_and(|closed| {
            closed.is_person()
                || matches!(
                    closed,
                    ClosedWord::All
                        | ClosedWord::Any
                        | ClosedWord::Some
                        | ClosedWord::Most
                        | ClosedWord::Both
                        | ClosedWord::Half
                        | ClosedWord::Few
                        | ClosedWord::Many
                        | ClosedWord::More
                        | ClosedWord::Less
                        | ClosedWord::Someone
                )
        })
}

/// Words that a phrase begins with.
fn is_boundary(closed: ClosedWord) -> bool {
    closed.is_mark()
        || closed.is_auxiliary()
        || closed.is_question_word()
        || closed.begins_clause()
        || matches!(
            closed,
            ClosedWord::And
                | ClosedWord::Or
                | ClosedWord::But
                | ClosedWord::Then
                | ClosedWord::At
                | ClosedWord::For
                | ClosedWord::From
                | ClosedWord::To
                | ClosedWord::With
                | ClosedWord::Without
                | ClosedWord::By
                | ClosedWord::About
                | ClosedWord::Than
                | ClosedWord::As
                | ClosedWord::Versus
                | ClosedWord::Over
                | ClosedWord::Under
                | ClosedWord::Up
                | ClosedWord::Down
                | ClosedWord::Off
                | ClosedWord::Out
                | ClosedWord::Between
                | ClosedWord::Behind
                | ClosedWord::Beyond
                | ClosedWord::Across
                | ClosedWord::Near
                | ClosedWord::Except
                | ClosedWord::Including
                | ClosedWord::Instead
                | ClosedWord::Per
        )
}

/// True if a question means the same with its two sides exchanged.
fn is_symmetric(terms: &[Term]) -> bool {
    let word = |stem: &str| {
        let key = Term::open(stem).key();
        terms.iter().any(|term| term.key() == key)
    };
    let is = |closed| terms.iter().any(|term| term.is(closed));
    !is(ClosedWord::Than)
        && !is(ClosedWord::Then)
        && (is(ClosedWord::Between)
            || [
                "differ",
                "different",
                "differense",
                "compar",
                "comparison",
                "distanse",
                "similar",
                "similarity",
                "equal",
                "equivalent",
                "synonym",
                "time",
            ]
            .into_iter()
            .any(word)
            || (word("common") && is(ClosedWord::At))
            || (word("sam") && is(ClosedWord::As)))
}

/// Words in their phrases.
struct Phrases {
    /// A word and its phrase, in order.
    words: Vec<(u32, usize)>,
    /// What each phrase begins with.
    heads: Vec<Option<ClosedWord>>,
}

impl Phrases {
    /// Cuts `terms`. A bit of `reading` each tells whether the possessor and the possessed are one word or
    /// all up to the phrase's end.
    fn of(terms: &[Term], reading: u8) -> Self {
        let mut phrases = Self { words: Vec::with_capacity(terms.len()), heads: vec![None] };
        let mut phrase: Vec<u32> = Vec::new();
        // What is given behind a colon is one phrase.
        let mut is_given = false;
        for term in terms {
            let closed = term.closed();
            if closed.is_some_and(is_boundary) && !is_given {
                phrases.push(&mut phrase, reading);
                let head = closed.filter(|it| !it.is_auxiliary() && !it.is_mark());
                phrases.heads.push(head);
                is_given = closed == Some(ClosedWord::Colon);
            } else if is_word(*term)
                || ((term.is(ClosedWord::Genitive) || term.is(ClosedWord::Of)) && !is_given)
            {
                phrase.push(term.key());
            }
        }
        phrases.push(&mut phrase, reading);
        phrases
    }

    fn push(&mut self, phrase: &mut Vec<u32>, reading: u8) {
        let place = self.heads.len() - 1;
        let genitive = ClosedWord::Genitive as u32;
        let parts: Vec<&[u32]> = phrase.split(|word| *word == genitive).collect();
        let words = match parts.as_slice() {
            [first, between @ .., last] if reading < AS_IT_STANDS => {
                // What belongs to something else stands before it and is no part of the owner.
                let of = first.iter().rposition(|word| *word == OF).map_or(0, |of| of + 1);
                let owner_start =
                    if reading & 1 == 0 { of } else { first.len().saturating_sub(1).max(of) };
                let owned_end = if reading & 2 == 0 { last.len() } else { last.len().min(1) };
                let (before, owner) = first.split_at_checked(owner_start).unwrap_or_default();
                let (owned, after) = last.split_at_checked(owned_end).unwrap_or_default();
                let mut words = vec![before, owned];
                words.extend(between.iter().rev());
                words.extend([owner, after]);
                words.concat()
            }
            parts => parts.concat(),
        };
        let of = words.iter().position(|word| *word == OF).filter(|_| reading == OF_REVERSED);
        let words = match of.and_then(|of| words.split_at_checked(of)) {
            Some((owned, owner)) => [owner, owned].concat(),
            None => words,
        };
        let words = words.into_iter().filter(|word| *word != OF);
        self.words.extend(words.map(|word| (word, place)));
        phrase.clear();
    }

    fn phrase(&self, place: usize) -> impl Iterator<Item = u32> {
        self.words.iter().filter(move |(_, of)| *of == place).map(|(word, _)| *word)
    }
}

/// True if two words that both questions have stand in another order, where that counts.
fn are_exchanged(a: &Phrases, b: &Phrases, is_free: bool) -> bool {
    let (mut a_moves, mut b_moves) = (vec![true; a.heads.len()], vec![true; b.heads.len()]);
    for (place, (head, moves)) in a.heads.iter().zip(&mut a_moves).enumerate() {
        let same =
            b.heads.iter().zip(&b_moves).enumerate().position(|(other, (other_head, is_left))| {
                *is_left && head == other_head && a.phrase(place).eq(b.phrase(other))
            });
        if let Some(is_left) = same.and_then(|same| b_moves.get_mut(same)) {
            (*moves, *is_left) = (false, false);
        }
    }
    let left = |phrases: &Phrases, moves: &[bool]| -> Vec<(u32, usize)> {
        phrases.words.iter().filter(|(_, of)| moves.get(*of) == Some(&true)).copied().collect()
    };
    let (a_left, mut b_left) = (left(a, &a_moves), left(b, &b_moves));
    // For each word of `a` its phrase there, and its place and phrase in `b`.
    let mut pairs: Vec<(usize, usize, usize)> = Vec::with_capacity(a_left.len());
    for (word, of) in a_left {
        let found = b_left.iter().enumerate().find(|(_, (other, _))| *other == word);
        if let Some((place, (_, other_of))) = found.map(|(place, it)| (place, *it)) {
            pairs.push((of, place, other_of));
            if let Some(taken) = b_left.get_mut(place) {
                taken.0 = 0;
            }
        }
    }
    pairs.iter().enumerate().any(|(at, first)| {
        let mut later = pairs.iter().skip(at + 1).filter(|second| second.1 < first.1);
        later.any(|second| !may_change(a, b, (*first, *second), is_free))
    })
}

/// True if two words that have changed places are two sides of a whole that has no order.
fn may_change(
    a: &Phrases,
    b: &Phrases,
    (first, second): ((usize, usize, usize), (usize, usize, usize)),
    is_free: bool,
) -> bool {
    if is_free {
        return first.0 != second.0 || first.2 != second.2;
    }
    let joins = |phrases: &Phrases, place: usize| {
        matches!(phrases.heads.get(place), Some(Some(ClosedWord::And | ClosedWord::Or)))
    };
    let is_ordered = [a, b].iter().any(|it| it.heads.contains(&Some(ClosedWord::Then)));
    !is_ordered
        && joins(a, second.0)
        && second.0 == first.0 + 1
        && joins(b, first.2)
        && first.2 == second.2 + 1
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("Does Rome own Milan?", "Does Milan own Rome?"),
            ("Did the tram hit the truck?", "Was the tram hit by the truck?"),
            ("Who is the king's cousin's wife?", "Who is the king's wife's cousin?"),
            ("Who is the wife of the king's cousin?", "Who is the cousin of the king's wife?"),
            ("What if I resign after I move?", "What if I move after I resign?"),
            ("Is tea healthier than coffee?", "Is coffee healthier than tea?"),
            ("Give 3 apples and 5 pears", "Give 5 apples and 3 pears"),
            ("Pick the first of: tea, milk", "Pick the first of: milk, tea"),
        ];
        let passed = [
            ("Did Oracle sue Google?", "Was Google sued by Oracle?"),
            ("What is Iceland's population?", "What is the population of Iceland?"),
            ("Who is the club's head of staff?", "Who is the head of staff of the club?"),
            ("If it rains, is it on?", "Is it on if it rains?"),
            ("What do cats and dogs share?", "What do dogs and cats share?"),
            ("Is GMT the same as UTC?", "Is UTC the same as GMT?"),
            ("Pay by 3 March?", "Pay by March 3rd?"),
        ];
        check_guard(super::fires, &refused, &passed);
    }
}
