//! Another kind of answer is asked for. `What`, `which` and orders ask for anything and agree with
//! all.

use crate::cache::comparison::Comparison;
use crate::cache::profile::Question;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.question(), pair.b.question());
    a != b && (is_other(a, b) || is_other(b, a))
}

/// True if `a` asks for one kind of thing that `b`, which is another kind, cannot mean.
fn is_other(a: Question, b: Question) -> bool {
    let is_exact = |question| {
        matches!(
            question,
            Question::Who
                | Question::When
                | Question::Where
                | Question::Why
                | Question::HowMany
                | Question::HowLong
                | Question::HowOften
                | Question::HowVery
        )
    };
    match b {
        Question::ClosedWord | Question::HowMuch => is_exact(a),
        // "How do I find it" and "where do I find it" are one.
        Question::How => is_exact(a) && a != Question::Where,
        _ => is_exact(a) && is_exact(b),
    }
}
