//! What the order of a question's words tells: its tense, who does what, the values of its closed
//! classes.

use serde::{Deserialize, Serialize};

use super::closed::{Closed, class};
use super::sequence::Term;

/// The part that what is asked for plays: who did it, or to whom it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gap {
    /// Neither, or it cannot be told.
    Unknown,
    /// Who does it: `what eats spiders`.
    Agent,
    /// To whom it is done: `what do spiders eat`.
    Patient,
}

/// Whether a text asks or states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    /// An order, keywords, or it cannot be told.
    Other,
    /// A question by its words.
    Question,
    /// A statement by its words and its mark.
    Statement,
    /// A statement by its words, with a question mark.
    Doubt,
}

/// The clause that asks: where its first word stands, and where it ends.
fn main_clause(terms: &[Term]) -> (usize, usize) {
    let begins = |at: usize| {
        at == 0 || terms.get(at - 1).is_some_and(|term| term.closed().is_some_and(Closed::is_mark))
    };
    let asks = |term: &Term| {
        term.closed()
            .is_some_and(|it| it.is_question_word() && it != Closed::When || it.is_auxiliary())
    };
    let is_when = |at: usize| {
        terms.get(at).is_some_and(|term| term.is(Closed::When))
            && terms.get(at + 1).and_then(|term| term.closed()).is_some_and(Closed::is_auxiliary)
    };
    let first = (0..terms.len())
        .find(|at| begins(*at) && (terms.get(*at).is_some_and(asks) || is_when(*at)))
        .or_else(|| {
            terms.iter().position(|term| term.closed().is_some_and(Closed::is_question_word))
        })
        .unwrap_or(0);
    let ends = |at: &usize| {
        let closed = terms.get(*at).and_then(|term| term.closed());
        *at > first && closed.is_some_and(|it| it.is_mark() || it.begins_clause())
    };
    let end = (first..terms.len()).find(ends).unwrap_or(terms.len());
    (first, end)
}

/// What the question asks for plays which part.
pub(super) fn gap(terms: &[Term]) -> Gap {
    let (first, end) = main_clause(terms);
    let clause = terms.get(first..end).unwrap_or_default();
    let Some(wh) = clause.iter().position(|term| term.is(Closed::Who) || term.is(Closed::What))
    else {
        return Gap::Unknown;
    };
    if wh > 0 && clause.get(wh - 1).is_some_and(|term| term.is(Closed::By))
        || first > 0 && wh == 0 && terms.get(first - 1).is_some_and(|term| term.is(Closed::By))
    {
        return Gap::Agent;
    }
    let rest = clause.get(wh + 1..).unwrap_or_default();
    let auxiliary = rest.iter().position(|term| term.closed().is_some_and(Closed::is_auxiliary));
    let Some(at) = auxiliary else {
        // `What is` is left of a short form; a verb follows who at once and which after a noun.
        let opens = rest.iter().filter(|term| term.is_open()).count();
        return if opens > 0 && rest.first().is_some_and(|term| term.is_open()) {
            Gap::Agent
        } else {
            Gap::Unknown
        };
    };
    let after = rest.get(at + 1..).unwrap_or_default();
    let is_last = |closed| rest.last().is_some_and(|term| term.is(closed));
    match rest.get(at).and_then(|term| term.closed()) {
        Some(Closed::Do | Closed::Did) => {
            // `Who does not eat meat`: a negated verb is no question's inversion.
            let is_verb_next = after.first().is_some_and(|term| term.is(Closed::Not))
                && after.get(1).is_some_and(|term| term.is_open())
                && after.iter().filter(|term| term.is_open()).count() <= 2;
            if is_verb_next { Gap::Unknown } else { Gap::Patient }
        }
        Some(Closed::Be | Closed::Was) => {
            let by = after.iter().position(|term| term.is(Closed::By));
            let is_agent =
                |by: usize| by > 0 && after.get(by - 1).is_some_and(|term| term.is_participle());
            if is_last(Closed::By) {
                Gap::Agent
            } else if by.is_some_and(is_agent) || is_last(Closed::Than) {
                Gap::Patient
            } else if after.iter().any(|term| term.is(Closed::Than)) {
                Gap::Agent
            } else {
                Gap::Unknown
            }
        }
        Some(_) => {
            let is_subject = |term: &Term| {
                term.closed()
                    .is_some_and(|it| it.is_person() || matches!(it, Closed::Article | Closed::It))
            };
            if after.first().is_some_and(is_subject) {
                Gap::Patient
            } else {
                let is_object = after.get(1..).is_some_and(|rest| rest.iter().any(is_subject));
                if is_object { Gap::Agent } else { Gap::Unknown }
            }
        }
        None => Gap::Unknown,
    }
}

/// When the finite verb of the question is.
fn tense(terms: &[Term]) -> u64 {
    let (first, end) = main_clause(terms);
    let of = |term: &Term| match term.closed() {
        Some(Closed::Was | Closed::Did | Closed::Had) => Some(class::PAST),
        Some(Closed::Be | Closed::Do | Closed::Have) => Some(class::PRESENT),
        Some(Closed::Will) => Some(class::FUTURE),
        Some(Closed::Can | Closed::Must | Closed::Should | Closed::Would) => Some(0),
        _ => None,
    };
    let clause = terms.get(first..end).unwrap_or_default();
    if let Some(found) = clause.iter().find_map(of) {
        return found;
    }
    // `Who wrote it`: the verb itself tells the past.
    let is_subject =
        clause.first().is_some_and(|term| term.is(Closed::Who) || term.is(Closed::What));
    let is_past = clause.iter().take(4).any(|term| term.is_past());
    let has_verb = clause.get(1).is_some_and(|term| term.is_open());
    match (is_subject, is_past) {
        (true, true) => class::VERB_PAST,
        (true, false) if has_verb => class::VERB_PRESENT,
        (true, false) => 0,
        (false, _) => terms.iter().find_map(of).unwrap_or(0),
    }
}

/// The values of the closed classes, a bit each.
pub(super) fn classes(terms: &[Term]) -> u64 {
    let at = |place: Option<usize>| {
        place.and_then(|place| terms.get(place)).and_then(|term| term.closed())
    };
    let mut bits = tense(terms);
    for (place, term) in terms.iter().enumerate() {
        let Some(closed) = term.closed() else { continue };
        let before = at(place.checked_sub(1));
        let next = terms.get(place + 1);
        let is_counted = next.is_some_and(|next| {
            next.is_number() || next.is(Closed::Article) || next.is(Closed::Half)
        });
        // `Most banks`, and `the most popular`.
        let is_superlative = match before {
            Some(Closed::Article | Closed::Genitive | Closed::My | Closed::Your) => true,
            Some(Closed::Be | Closed::Was) => place > 1,
            _ => false,
        };
        let closed = match closed {
            Closed::Greatest if !is_superlative => Closed::Most,
            other => other,
        };
        bits |= value(closed, is_counted);
        let is_idle = match closed {
            // `Are there any`, `do you have some`, `what are some`.
            Closed::Any | Closed::Some => {
                matches!(before, None | Some(Closed::There | Closed::Have | Closed::Not))
                    && (before.is_some() || place <= 1)
                    || before == Some(Closed::Be) && place <= 2
            }
            Closed::Many => before == Some(Closed::How),
            _ => false,
        };
        if is_idle {
            bits &= !value(closed, is_counted);
        }
    }
    bits
}

/// The bit of a closed word; `is_counted` if a number follows.
fn value(closed: Closed, is_counted: bool) -> u64 {
    match closed {
        Closed::Can => class::CAN,
        Closed::Must => class::MUST,
        Closed::Should => class::SHOULD,
        Closed::All => class::ALL,
        Closed::Any | Closed::Someone => class::ANY,
        Closed::Some => class::SOME,
        Closed::Most => class::MOST,
        Closed::Both => class::BOTH,
        Closed::Either => class::EITHER,
        Closed::One => class::ONE,
        Closed::Few => class::FEW,
        Closed::Many => class::MANY,
        Closed::Half => class::HALF,
        Closed::If => class::IF,
        Closed::Unless => class::UNLESS,
        Closed::EvenIf => class::EVEN_IF,
        Closed::OnlyIf => class::ONLY_IF,
        Closed::Before => class::BEFORE,
        Closed::After => class::AFTER,
        Closed::While => class::WHILE,
        Closed::Since => class::SINCE,
        Closed::Until => class::UNTIL,
        Closed::AtLeast => class::AT_LEAST,
        Closed::AtMost => class::AT_MOST,
        Closed::Exactly => class::EXACTLY,
        Closed::Over if is_counted => class::OVER,
        Closed::Under if is_counted => class::UNDER,
        Closed::Over => class::ABOVE,
        Closed::Under => class::BELOW,
        Closed::Except => class::EXCEPT,
        Closed::Including => class::INCLUDING,
        Closed::Out => class::OUTSIDE,
        Closed::Behind => class::BEHIND,
        Closed::Between => class::BETWEEN,
        Closed::Across => class::ACROSS,
        Closed::Near => class::NEAR,
        Closed::And => class::AND,
        Closed::Or => class::OR,
        Closed::More | Closed::Less => class::COMPARATIVE,
        Closed::Greatest | Closed::Least => class::SUPERLATIVE,
        Closed::He => class::HE,
        Closed::She => class::SHE,
        Closed::They => class::THEY,
        Closed::My => class::MY,
        Closed::Your => class::YOUR,
        Closed::His => class::HIS | class::HE,
        Closed::Hers => class::HER | class::SHE,
        Closed::Their => class::THEIR | class::THEY,
        Closed::Versus => class::AGAINST,
        Closed::Only => class::ONLY,
        Closed::Almost => class::ALMOST,
        Closed::Hardly => class::HARDLY,
        _ => 0,
    }
}

/// Whether the text asks or states. `mark` is its last character.
pub(super) fn mood(terms: &[Term], mark: Option<char>) -> Mood {
    let is_marked = matches!(mark, Some('?' | '\u{ff1f}'));
    let asks = |term: &Term| term.closed().is_some_and(Closed::is_question_word);
    let is_finite = |term: &Term| term.closed().is_some_and(Closed::is_auxiliary);
    let first = terms.first();
    if first.is_some_and(is_finite) || terms.iter().any(asks) {
        return Mood::Question;
    }
    // A subject and then a finite verb.
    let is_subject = first.is_some_and(|term| {
        term.is_open()
            || term.closed().is_some_and(|it| {
                it.is_person()
                    || matches!(
                        it,
                        Closed::It
                            | Closed::Article
                            | Closed::This
                            | Closed::All
                            | Closed::There
                            | Closed::My
                            | Closed::Your
                            | Closed::Only
                    )
            })
    });
    let clause = terms.iter().take_while(|term| !term.closed().is_some_and(Closed::is_mark));
    // A pronoun in front is a subject, whatever its verb.
    let is_pronoun = first.and_then(|term| term.closed()).is_some_and(|it| {
        matches!(
            it,
            Closed::I
                | Closed::You
                | Closed::He
                | Closed::She
                | Closed::They
                | Closed::It
                | Closed::This
        )
    });
    let has_verb = is_pronoun || clause.skip(1).take(6).any(is_finite);
    // A short question at the end (`… , is it?`) asks as well.
    let asks_later = terms.windows(2).any(|pair| {
        matches!(pair, [mark, verb] if mark.closed().is_some_and(Closed::is_mark) && is_finite(verb))
    });
    match (is_subject && has_verb && !asks_later, is_marked) {
        (true, true) => Mood::Doubt,
        (true, false) => Mood::Statement,
        (false, _) => Mood::Other,
    }
}

/// Where the auxiliary, the participle and the `by` of a passive stand.
pub(in crate::cache) fn passive(terms: &[Term]) -> Option<(usize, usize, usize)> {
    let by = terms.iter().enumerate().position(|(at, term)| {
        term.is(Closed::By) && at > 0 && terms.get(at - 1).is_some_and(|it| it.is_participle())
    })?;
    let before = terms.get(..by - 1)?;
    let auxiliary = before.iter().rposition(|term| term.is(Closed::Be) || term.is(Closed::Was))?;
    Some((auxiliary, by - 1, by))
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;

    #[test]
    fn gaps_are_told() {
        for (text, expected) in [
            ("Who defeated Carthage?", Gap::Agent),
            ("Who did Carthage defeat?", Gap::Patient),
            ("Which animals do owls eat?", Gap::Patient),
            ("What is controlled by the gland?", Gap::Patient),
            ("Who was the Iliad written by?", Gap::Agent),
            ("By whom was it written?", Gap::Agent),
            ("Who can the board fire?", Gap::Patient),
            ("What is the capital of Peru?", Gap::Unknown),
            ("How do I pay?", Gap::Unknown),
        ] {
            assert_eq!(Profile::of(text).facts().gap, expected, "{text}");
        }
    }

    #[test]
    fn moods_are_told() {
        for (text, expected) in [
            ("You are leaving.", Mood::Statement),
            ("You are leaving?", Mood::Doubt),
            ("Are you leaving?", Mood::Question),
            ("I can't log in. Why?", Mood::Question),
            ("Tokyo weather", Mood::Other),
            ("List the planets.", Mood::Other),
        ] {
            assert_eq!(Profile::of(text).facts().mood, expected, "{text}");
        }
    }

    #[test]
    fn tenses_are_told() {
        for (text, expected) in [
            ("What was the rate?", class::PAST),
            ("If it was lost, what do I do?", class::PRESENT),
            ("Who wrote it?", class::VERB_PAST),
            ("What causes hail?", class::VERB_PRESENT),
            ("Where will it be held?", class::FUTURE),
            ("Can I go?", 0),
        ] {
            assert_eq!(
                Profile::of(text).facts().classes & (class::TENSE | class::VERB),
                expected,
                "{text}"
            );
        }
    }
}
