//! The questions expect different kinds of answers. `What`, `which` and orders expect anything and agree with
//! all.

use crate::cache::comparison::Comparison;
use crate::cache::profile::QuestionKind;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.question(), pair.b.question());
    a != b && (is_other(a, b) || is_other(b, a))
}

/// True if `a` asks for one kind of thing that `b`, which is another kind, cannot mean.
fn is_other(a: QuestionKind, b: QuestionKind) -> bool {
    let is_exact = |question| {
        matches!(
            question,
            QuestionKind::Who
                | QuestionKind::When
                | QuestionKind::Where
                | QuestionKind::Why
                | QuestionKind::HowMany
                | QuestionKind::HowLong
                | QuestionKind::HowOften
                | QuestionKind::HowVery
        )
    };
    match b {
        QuestionKind::ClosedWord | QuestionKind::HowMuch => is_exact(a),
        // "How do I find it" and "where do I find it" are one.
        QuestionKind::How => is_exact(a) && a != QuestionKind::Where,
        _ => is_exact(a) && is_exact(b),
    }
}
