//! What follows from the order of a question's words: its tense, who does what, the values of its closed
//! classes.

use serde::{Deserialize, Serialize};

use super::closed::{ClosedWord, class};
use super::sequence::Term;

/// The grammatical role of the answer: agent or patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gap {
    /// Neither, or not known.
    Unknown,
    /// Who does it: `what eats spiders`.
    Agent,
    /// The patient: `what do spiders eat`.
    Patient,
}

/// Whether a text asks or states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    /// An order, keywords, or not known.
    Other,
    /// A question by its words.
    QuestionKind,
    /// A statement by its words and its mark.
    Statement,
    /// A statement by its words, with a question mark.
    Doubt,
}

/// The clause that asks: where its first word stands, and where it ends.
fn main_clause(terms: &[Term]) -> (usize, usize) {
    let begins = |at: usize| {
        at == 0
            || terms.get(at - 1).is_some_and(|term| term.closed().is_some_and(ClosedWord::is_mark))
    };
    let is_interrogative = |term: &Term| {
        term.closed()
            .is_some_and(|it| it.is_question_word() && it != ClosedWord::When || it.is_auxiliary())
    };
    let is_when = |at: usize| {
        terms.get(at).is_some_and(|term| term.is(ClosedWord::When))
            && terms
                .get(at + 1)
                .and_then(|term| term.closed())
                .is_some_and(ClosedWord::is_auxiliary)
    };
    let first = (0..terms.len())
        .find(|at| begins(*at) && (terms.get(*at).is_some_and(is_interrogative) || is_when(*at)))
        .or_else(|| {
            terms.iter().position(|term| term.closed().is_some_and(ClosedWord::is_question_word))
        })
        .unwrap_or(0);
    let ends = |at: &usize| {
        let closed = terms.get(*at).and_then(|term| term.closed());
        *at > first && closed.is_some_and(|it| it.is_mark() || it.begins_clause())
    };
    let end = (first..terms.len()).find(ends).unwrap_or(terms.len());
    (first, end)
}

/// The role that the answer has in the question.
pub(super) fn gap(terms: &[Term]) -> Gap {
    let (first, end) = main_clause(terms);
    let clause = terms.get(first..end).unwrap_or_default();
    let Some(wh) =
        clause.iter().position(|term| term.is(ClosedWord::Who) || term.is(ClosedWord::What))
    else {
        return Gap::Unknown;
    };
    if wh > 0 && clause.get(wh - 1).is_some_and(|term| term.is(ClosedWord::By))
        || first > 0 && wh == 0 && terms.get(first - 1).is_some_and(|term| term.is(ClosedWord::By))
    {
        return Gap::Agent;
    }
    let rest = clause.get(wh + 1..).unwrap_or_default();
    let auxiliary =
        rest.iter().position(|term| term.closed().is_some_and(ClosedWord::is_auxiliary));
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
        Some(ClosedWord::Do | ClosedWord::Did) => {
            // `Who does not eat meat`: a negated verb is no question's inversion.
            let is_verb_next = after.first().is_some_and(|term| term.is(ClosedWord::Not))
                && after.get(1).is_some_and(|term| term.is_open())
                && after.iter().filter(|term| term.is_open()).count() <= 2;
            if is_verb_next { Gap::Unknown } else { Gap::Patient }
        }
        Some(ClosedWord::Be | ClosedWord::Was) => {
            let by = after.iter().position(|term| term.is(ClosedWord::By));
            let is_agent =
                |by: usize| by > 0 && after.get(by - 1).is_some_and(|term| term.is_participle());
            if is_last(ClosedWord::By) {
                Gap::Agent
            } else if by.is_some_and(is_agent) || is_last(ClosedWord::Than) {
                Gap::Patient
            } else if after.iter().any(|term| term.is(ClosedWord::Than)) {
                Gap::Agent
            } else {
                Gap::Unknown
            }
        }
        Some(_) => {
            let is_subject = |term: &Term| {
                term.closed().is_some_and(|it| {
                    it.is_person() || matches!(it, ClosedWord::Article | ClosedWord::It)
                })
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
        Some(ClosedWord::Was | ClosedWord::Did | ClosedWord::Had) => Some(class::PAST),
        Some(ClosedWord::Be | ClosedWord::Do | ClosedWord::Have) => Some(class::PRESENT),
        Some(ClosedWord::Will) => Some(class::FUTURE),
        Some(ClosedWord::Can | ClosedWord::Must | ClosedWord::Should | ClosedWord::Would) => {
            Some(0)
        }
        _ => None,
    };
    let clause = terms.get(first..end).unwrap_or_default();
    if let Some(found) = clause.iter().find_map(of) {
        return found;
    }
    // `Who wrote it`: the verb itself is in the past.
    let is_subject =
        clause.first().is_some_and(|term| term.is(ClosedWord::Who) || term.is(ClosedWord::What));
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
            next.is_number() || next.is(ClosedWord::Article) || next.is(ClosedWord::Half)
        });
        // `Most banks`, and `the most popular`.
        let is_superlative = match before {
            Some(
                ClosedWord::Article | ClosedWord::Genitive | ClosedWord::My | ClosedWord::Your,
            ) => true,
            Some(ClosedWord::Be | ClosedWord::Was) => place > 1,
            _ => false,
        };
        let closed = match closed {
            ClosedWord::Greatest if !is_superlative => ClosedWord::Most,
            other => other,
        };
        bits |= value(closed, is_counted);
        let is_idle = match closed {
            // `Are there any`, `do you have some`, `what are some`.
            ClosedWord::Any | ClosedWord::Some => {
                matches!(
                    before,
                    None | Some(ClosedWord::There | ClosedWord::Have | ClosedWord::Not)
                ) && (before.is_some() || place <= 1)
                    || before == Some(ClosedWord::Be) && place <= 2
            }
            ClosedWord::Many => before == Some(ClosedWord::How),
            _ => false,
        };
        if is_idle {
            bits &= !value(closed, is_counted);
        }
    }
    bits
}

/// The bit of a closed word; `is_counted` if a number follows.
fn value(closed: ClosedWord, is_counted: bool) -> u64 {
    match closed {
        ClosedWord::Can => class::CAN,
        ClosedWord::Must => class::MUST,
        ClosedWord::Should => class::SHOULD,
        ClosedWord::All => class::ALL,
        ClosedWord::Any | ClosedWord::Someone => class::ANY,
        ClosedWord::Some => class::SOME,
        ClosedWord::Most => class::MOST,
        ClosedWord::Both => class::BOTH,
        ClosedWord::Either => class::EITHER,
        ClosedWord::One => class::ONE,
        ClosedWord::Few => class::FEW,
        ClosedWord::Many => class::MANY,
        ClosedWord::Half => class::HALF,
        ClosedWord::If => class::IF,
        ClosedWord::Unless => class::UNLESS,
        ClosedWord::EvenIf => class::EVEN_IF,
        ClosedWord::OnlyIf => class::ONLY_IF,
        ClosedWord::Before => class::BEFORE,
        ClosedWord::After => class::AFTER,
        ClosedWord::While => class::WHILE,
        ClosedWord::Since => class::SINCE,
        ClosedWord::Until => class::UNTIL,
        ClosedWord::AtLeast => class::AT_LEAST,
        ClosedWord::AtMost => class::AT_MOST,
        ClosedWord::Exactly => class::EXACTLY,
        ClosedWord::Over if is_counted => class::OVER,
        ClosedWord::Under if is_counted => class::UNDER,
        ClosedWord::Over => class::ABOVE,
        ClosedWord::Under => class::BELOW,
        ClosedWord::Except => class::EXCEPT,
        ClosedWord::Including => class::INCLUDING,
        ClosedWord::Out => class::OUTSIDE,
        ClosedWord::Behind => class::BEHIND,
        ClosedWord::Between => class::BETWEEN,
        ClosedWord::Across => class::ACROSS,
        ClosedWord::Near => class::NEAR,
        ClosedWord::And => class::AND,
        ClosedWord::Or => class::OR,
        ClosedWord::More | ClosedWord::Less => class::COMPARATIVE,
        ClosedWord::Greatest | ClosedWord::Least => class::SUPERLATIVE,
        ClosedWord::He => class::HE,
        ClosedWord::She => class::SHE,
        ClosedWord::They => class::THEY,
        ClosedWord::My => class::MY,
        ClosedWord::Your => class::YOUR,
        ClosedWord::His => class::HIS | class::HE,
        ClosedWord::Hers => class::HER | class::SHE,
        ClosedWord::Their => class::THEIR | class::THEY,
        ClosedWord::Versus => class::AGAINST,
        ClosedWord::Only => class::ONLY,
        ClosedWord::Almost => class::ALMOST,
        ClosedWord::Hardly => class::HARDLY,
        _ => 0,
    }
}

/// Whether the text asks or states. `mark` is its last character.
pub(super) fn mood(terms: &[Term], mark: Option<char>) -> Mood {
    let is_marked = matches!(mark, Some('?' | '\u{ff1f}'));
    let is_interrogative = |term: &Term| term.closed().is_some_and(ClosedWord::is_question_word);
    let is_finite = |term: &Term| term.closed().is_some_and(ClosedWord::is_auxiliary);
    let first = terms.first();
    if first.is_some_and(is_finite) || terms.iter().any(is_interrogative) {
        return Mood::QuestionKind;
    }
    // A subject and then a finite verb.
    let is_subject = first.is_some_and(|term| {
        term.is_open()
            || term.closed().is_some_and(|it| {
                it.is_person()
                    || matches!(
                        it,
                        ClosedWord::It
                            | ClosedWord::Article
                            | ClosedWord::This
                            | ClosedWord::All
                            | ClosedWord::There
                            | ClosedWord::My
                            | ClosedWord::Your
                            | ClosedWord::Only
                    )
            })
    });
    let clause = terms.iter().take_while(|term| !term.closed().is_some_and(ClosedWord::is_mark));
    // A pronoun in front is a subject, whatever its verb.
    let is_pronoun = first.and_then(|term| term.closed()).is_some_and(|it| {
        matches!(
            it,
            ClosedWord::I
                | ClosedWord::You
                | ClosedWord::He
                | ClosedWord::She
                | ClosedWord::They
                | ClosedWord::It
                | ClosedWord::This
        )
    });
    let has_verb = is_pronoun || clause.skip(1).take(6).any(is_finite);
    // A short question at the end (`… , is it?`) asks as well.
    let ends_as_question = terms.windows(2).any(|pair| {
        matches!(pair, [mark, verb] if mark.closed().is_some_and(ClosedWord::is_mark) && is_finite(verb))
    });
    match (is_subject && has_verb && !ends_as_question, is_marked) {
        (true, true) => Mood::Doubt,
        (true, false) => Mood::Statement,
        (false, _) => Mood::Other,
    }
}

/// Where the auxiliary, the participle and the `by` of a passive stand.
pub(in crate::cache) fn passive(terms: &[Term]) -> Option<(usize, usize, usize)> {
    let by = terms.iter().enumerate().position(|(at, term)| {
        term.is(ClosedWord::By) && at > 0 && terms.get(at - 1).is_some_and(|it| it.is_participle())
    })?;
    let before = terms.get(..by - 1)?;
    let auxiliary =
        before.iter().rposition(|term| term.is(ClosedWord::Be) || term.is(ClosedWord::Was))?;
    Some((auxiliary, by - 1, by))
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;

    #[test]
    fn gaps_are_detected() {
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
    fn moods_are_detected() {
        for (text, expected) in [
            ("You are leaving.", Mood::Statement),
            ("You are leaving?", Mood::Doubt),
            ("Are you leaving?", Mood::QuestionKind),
            ("I can't log in. Why?", Mood::QuestionKind),
            ("Tokyo weather", Mood::Other),
            ("List the planets.", Mood::Other),
        ] {
            assert_eq!(Profile::of(text).facts().mood, expected, "{text}");
        }
    }

    #[test]
    fn tenses_are_detected() {
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
