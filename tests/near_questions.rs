//! Pairs of near questions with a known answer, in some ninety kinds: what the semantic cache makes of
//! them at its default settings. Each line of the file has the cosine of the two, as the reference
//! embedder in f32 measures it, so that no model is needed.

use std::collections::BTreeMap;

use ringgate::cache::comparison::Comparison;
use ringgate::cache::normalize;
use ringgate::cache::profile::Profile;
use ringgate::cache::verifier::{Decision, MatchPolicy, decide};
use serde::Deserialize;

#[derive(Deserialize)]
struct Pair {
    category: String,
    a: String,
    b: String,
    same_answer: bool,
    cosine: f32,
}

fn pairs() -> Vec<Pair> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/pairs/near_questions.jsonl");
    let text = std::fs::read_to_string(path).expect("the pairs");
    text.lines().map(|line| serde_json::from_str(line).expect("a pair")).collect()
}

fn is_served(a: &str, b: &str, cosine: f32) -> bool {
    let (one, other) = (Profile::of(a), Profile::of(b));
    normalize(a) == normalize(b)
        || decide(MatchPolicy::default(), cosine, &Comparison::of(&one, &other)) == Decision::Serve
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[test]
fn similar_pairs_with_other_answers_are_rejected() {
    let (mut served, mut same, mut wrong, mut other) = (0, 0, 0, 0);
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for pair in pairs() {
        let is_served = is_served(&pair.a, &pair.b, pair.cosine);
        if pair.same_answer {
            same += 1;
            served += usize::from(is_served);
        } else {
            other += 1;
            wrong += usize::from(is_served);
            let kind = kinds.entry(pair.category).or_default();
            kind.0 += usize::from(is_served);
            kind.1 += 1;
        }
    }
    assert!(percent(served, same) >= 80.0, "served {served} of {same}");
    assert!(percent(wrong, other) <= 2.0, "wrong {wrong} of {other}");
    for (kind, (wrong, all)) in kinds {
        assert!(percent(wrong, all) <= 15.0, "{kind}: wrong {wrong} of {all}");
    }
}

#[test]
fn swapped_pair_has_same_decision() {
    for pair in pairs() {
        let there = is_served(&pair.a, &pair.b, pair.cosine);
        let back = is_served(&pair.b, &pair.a, pair.cosine);
        assert_eq!(there, back, "{} | {}", pair.a, pair.b);
    }
}

#[test]
fn reported_pairs_are_rejected_at_any_cosine() {
    for (a, b) in [
        ("Which country did Sweden invade?", "Which country invaded Sweden?"),
        ("What do spiders eat?", "What eats spiders?"),
        ("Who did the committee elect?", "Who elected the committee?"),
        ("Which firm sued Oracle?", "Which firm did Oracle sue?"),
        ("Are all cats predators?", "Are all predators cats?"),
        ("Is every even number a multiple of four?", "Is every multiple of four an even number?"),
        ("What is 12 divided by 3?", "What is 3 divided by 12?"),
        ("20 minus 7", "7 minus 20"),
        ("Which rivers are longer than the Rhine?", "Which rivers is the Rhine longer than?"),
        ("Select users where age > 18", "Select users where age < 18"),
        ("Is a >= b here?", "Is a <= b here?"),
        ("Can I cancel the contract?", "Must I cancel the contract?"),
        ("Should nurses wear masks?", "May nurses wear masks?"),
        ("Only members may vote", "Members may only vote"),
        ("I nearly finished all tasks", "I finished nearly all tasks"),
        ("Format this:\nfor i in x:\n  a()\n  b()", "Format this:\nfor i in x:\n  a()\nb()"),
        ("How many blanks: x   y", "How many blanks: x y"),
        ("Which mark ends this: we won.", "Which mark ends this: we won?"),
        ("Convert to snake case: myVar", "Convert to snake case: myvar"),
        ("The shop is closed.", "The shop is closed?"),
    ] {
        assert!(!is_served(a, b, 1.0), "{a} | {b}");
        assert!(!is_served(b, a, 1.0), "{b} | {a}");
    }
}
