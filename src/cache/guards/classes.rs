//! Each question has a word of one closed class, and not the same ones: can and must, all and any, if
//! and unless, before and after, was and will be, his and her. Or one alone says only, almost, hardly
//! or except.

use crate::cache::comparison::Comparison;
use crate::cache::profile::{Word, class};

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.facts().classes, pair.b.facts().classes);
    if a != b {
        let alone = class::ONLY | class::ALMOST | class::HARDLY | class::EXCEPT;
        let differs = |class: &u64| a & class != 0 && b & class != 0 && a & class != b & class;
        if (a ^ b) & alone != 0 || class::ALL_CLASSES.iter().any(differs) {
            return true;
        }
    }
    are_degrees(&pair.only_a, &pair.only_b)
}

/// A word of one side is a word of the other in another degree: cheaper, cheapest.
fn are_degrees(only_a: &[Word<'_>], only_b: &[Word<'_>]) -> bool {
    let differs = |a: &str, b: &str| {
        let (one, other) = (degree(a), degree(b));
        // Without a superlative it may be a teacher who teaches.
        one != other && one.max(other) == 2 && root(a) == root(b)
    };
    only_a.iter().any(|a| only_b.iter().any(|b| differs(a.stem, b.stem)))
}

/// 1 for a comparative, 2 for a superlative, 0 for another word.
fn degree(stem: &str) -> u8 {
    match stem {
        "better" | "wors" => 1,
        "best" | "worst" => 2,
        _ if stem.ends_with("est") && stem.len() > 4 => 2,
        _ if stem.ends_with("er") && stem.len() > 3 => 1,
        _ => 0,
    }
}

/// A word without its degree. What is no adjective meets none of its like.
fn root(stem: &str) -> &str {
    let root = match stem {
        "better" | "best" => "good",
        "wors" | "worst" => "bad",
        _ => stem.strip_suffix("est").or_else(|| stem.strip_suffix("er")).unwrap_or(stem),
    };
    let root = root.trim_end_matches(['e', 'i', 'y']);
    let mut ends = root.bytes().rev();
    match (ends.next(), ends.next()) {
        (Some(last), Some(before)) if last == before => root.get(..root.len() - 1).unwrap_or(root),
        _ => root,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("Can I sign?", "Must I sign?"),
            ("Do all snakes bite?", "Do some snakes bite?"),
            ("Is it taxed if it is a gift?", "Is it taxed even if it is a gift?"),
            ("Eat before the test?", "Eat after the test?"),
            ("What was the rate?", "What is the rate?"),
            ("Who wrote the column?", "Who writes the column?"),
            ("Do at least two people fit?", "Do at most two people fit?"),
            ("Is it his fault?", "Is it her fault?"),
            ("Which is the cheaper plan?", "Which is the cheapest plan?"),
            ("May only nurses enter?", "May nurses enter?"),
        ];
        let passed = [
            ("How can I pay?", "How should I pay?"),
            ("Are there any museums?", "Are there some museums?"),
            ("What should I do after a burn?", "What do I do after a burn?"),
            ("Must I pay?", "Do I have to pay?"),
        ];
        check_guard(super::fires, &refused, &passed);
    }
}
