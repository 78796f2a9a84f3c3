//! How likely two near questions have the same answer, and what is done about it.
//!
//! A logistic model over the cosine and what the guards' comparison counts. Its weights lie beside
//! this file with a card that says what they were fitted on; `bench/fit-verifier` fits them again.
//! The model never serves what a guard refuses or what lies under the cosine's floor.

use std::sync::LazyLock;

use serde::Deserialize;

use super::comparison::Comparison;
use super::guards::{GUARDS, GuardName, first_after};

/// What the model looks at, in the order of [`features`]. The last are guards, without the two that
/// look at the shape of a pair and not at a meaning: those count against as many right pairs as wrong
/// ones, and what a guard refuses is not served whatever the model predicts.
pub const FEATURES: [&str; 16] = [
    "cosine",
    "distance_log",
    "overlap",
    "missing_min",
    "missing_max",
    "misspelled",
    "length_ratio",
    "names_missing",
    "identity",
    "language",
    "quantities",
    "negation",
    "opposites",
    "names",
    "order",
    "question",
];

/// What to do with the nearest stored question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Its answer is the answer.
    Serve,
    /// Ask the provider.
    Refuse(Refusal),
}

/// Why a stored answer is not served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    /// The cosine is below the floor.
    Far,
    /// A guard fired.
    Guard(GuardName),
    /// The model finds it less likely to be right than its setting requires.
    Unlikely,
    /// Somebody found the answer of the one wrong for the other.
    Blocked,
}

impl Refusal {
    /// The name in logs: lower case, no spaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Far => "far",
            Self::Guard(guard) => guard.as_str(),
            Self::Unlikely => "unlikely",
            Self::Blocked => "parted",
        }
    }
}

#[derive(Deserialize)]
struct Weights {
    intercept: f32,
    /// The least probability at or above the threshold.
    probability_min: f32,
    weights: std::collections::BTreeMap<String, f32>,
}

/// The model, in the order of [`FEATURES`].
struct Model {
    weights: [f32; FEATURES.len()],
    read: Weights,
}

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let read: Weights = toml::from_str(include_str!("verifier.toml"))
        .expect("a test reads the weights of the tree");
    let weights = FEATURES.map(|name| read.weights.get(name).copied().unwrap_or(0.0));
    Model { weights, read }
});

/// What a pair has to meet before its answer is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchPolicy {
    /// From this cosine on, an answer that no guard refuses is served unless the model finds it
    /// unlikely: `semantic_cache.threshold`, 0.90 by default.
    pub threshold: f32,
}

impl Default for MatchPolicy {
    fn default() -> Self {
        Self { threshold: 0.90 }
    }
}

/// How alike two questions are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assessment {
    /// Cosine of the two embeddings, -1 to 1.
    pub cosine: f32,
    /// The guard that fires, if one does.
    pub guard: Option<GuardName>,
    /// The probability that they have the same answer, as the model predicts it, 0 to 1.
    pub probability: f32,
    /// True if all words of one are words of the other, and some are misspelled.
    pub is_misspelled: bool,
}

/// Cosine from which a misspelled question is served: a tokenizer makes other pieces of a misspelled
/// word, which moves the vector far although the meaning is the same.
const MISSPELLED_MIN: f32 = 0.70;

impl Assessment {
    /// The cosine; that of a misspelled question counts as the threshold's from a lower floor on.
    #[must_use]
    pub fn nearness(&self, policy: MatchPolicy) -> f32 {
        if self.is_misspelled && self.cosine >= MISSPELLED_MIN {
            self.cosine.max(policy.threshold)
        } else {
            self.cosine
        }
    }

    /// What is made of it.
    #[must_use]
    pub fn decide(&self, policy: MatchPolicy) -> Decision {
        if self.cosine.is_nan() || self.nearness(policy) < policy.threshold {
            return Decision::Refuse(Refusal::Far);
        }
        if let Some(guard) = self.guard {
            return Decision::Refuse(Refusal::Guard(guard));
        }
        if self.probability >= MODEL.read.probability_min {
            Decision::Serve
        } else {
            Decision::Refuse(Refusal::Unlikely)
        }
    }
}

/// Looks at a pair. `cosine` is that of the two embeddings, -1 to 1.
#[must_use]
pub fn assess(cosine: f32, pair: &Comparison<'_>) -> Assessment {
    // `6 times 7` and `6 * 7` are as far apart as a misspelling.
    let (a, b) = (pair.a.facts(), pair.b.facts());
    let is_calculation = a.signs != 0 && a.signs == b.signs && a.number_order != 0;
    let is_misspelled = (pair.misspelled > 0 || is_calculation || pair.a.terms() == pair.b.terms())
        && pair.only_a.is_empty()
        && pair.only_b.is_empty();
    let known = known_guards(pair);
    Assessment {
        cosine,
        guard: first_after(&known, pair, cosine),
        probability: probability_of(features_of(cosine, pair, &known)),
        is_misspelled,
    }
}

/// Decides about a candidate. `cosine` is that of the two embeddings, -1 to 1.
#[must_use]
pub fn decide(policy: MatchPolicy, cosine: f32, pair: &Comparison<'_>) -> Decision {
    assess(cosine, pair).decide(policy)
}

/// The probability that the two questions have the same answer, 0 to 1.
#[must_use]
pub fn probability(cosine: f32, pair: &Comparison<'_>) -> f32 {
    probability_of(features(cosine, pair))
}

fn probability_of(features: [f32; FEATURES.len()]) -> f32 {
    let sum: f32 =
        MODEL.weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum();
    1.0 / (1.0 + (-sum - MODEL.read.intercept).exp())
}

/// What the model looks at: counts are bounded, flags are 0 or 1, so that no text can push the sum
/// without end. Exchanging the two questions changes nothing.
#[must_use]
pub fn features(cosine: f32, pair: &Comparison<'_>) -> [f32; FEATURES.len()] {
    features_of(cosine, pair, &known_guards(pair))
}

/// Features that are counted; the others are guards.
const COUNTED: usize = 8;

/// Which of the guards fire that are features.
fn known_guards(pair: &Comparison<'_>) -> [bool; FEATURES.len() - COUNTED] {
    let mut known = [false; FEATURES.len() - COUNTED];
    for (slot, guard) in known.iter_mut().zip(&GUARDS) {
        *slot = (guard.fires)(pair);
    }
    known
}

fn features_of(cosine: f32, pair: &Comparison<'_>, known: &[bool]) -> [f32; FEATURES.len()] {
    let (only_a, only_b) = (pair.only_a.len(), pair.only_b.len());
    let shared = pair.shared.len();
    let names =
        |words: &[super::profile::Word<'_>]| words.iter().filter(|word| word.mark.is_name).count();
    let names_missing = names(&pair.only_a).max(names(&pair.only_b));
    let (short, long) = (shared + only_a.min(only_b), shared + only_a.max(only_b));
    let mut features = [0.0; FEATURES.len()];
    let counted: [f32; COUNTED] = [
        cosine,
        (1.02 - cosine).max(0.02).ln(),
        ratio(shared, pair.words()),
        ratio(only_a.min(only_b).min(4), 4),
        ratio(only_a.max(only_b).min(6), 6),
        ratio(pair.misspelled.min(2), 2),
        ratio(short, long),
        ratio(names_missing.min(2), 2),
    ];
    let guards = known.iter().map(|fires| f32::from(u8::from(*fires)));
    for (slot, feature) in features.iter_mut().zip(counted.into_iter().chain(guards)) {
        *slot = feature;
    }
    features
}

/// Of two small counts; 1 for nothing of nothing.
fn ratio(part: usize, whole: usize) -> f32 {
    let count = |number: usize| f32::from(u16::try_from(number).unwrap_or(u16::MAX));
    if whole == 0 { 1.0 } else { count(part) / count(whole) }
}

#[cfg(test)]
mod tests {
    use super::super::profile::Profile;
    use super::*;

    fn decision(cosine: f32, a: &str, b: &str) -> Decision {
        decide(MatchPolicy::default(), cosine, &Comparison::of(&Profile::of(a), &Profile::of(b)))
    }

    #[test]
    fn decision_follows_guards_and_model() {
        let same = ("How do I report a pothole?", "how do i report a pothole");
        assert_eq!(decision(0.99, same.0, same.1), Decision::Serve);
        assert_eq!(decision(0.5, same.0, same.1), Decision::Refuse(Refusal::Far));
        assert_eq!(decision(f32::NAN, same.0, same.1), Decision::Refuse(Refusal::Far));
        let guarded = decision(0.99, "Is it open on Monday?", "Is it open on Friday?");
        assert_eq!(guarded, Decision::Refuse(Refusal::Guard(GuardName::Quantities)));
    }

    #[test]
    fn weights_and_features_correspond() {
        let names: std::collections::BTreeSet<_> = FEATURES.into_iter().collect();
        let weights: std::collections::BTreeSet<_> =
            MODEL.read.weights.keys().map(String::as_str).collect();
        assert_eq!(names, weights);
        for (name, guard) in FEATURES.iter().skip(COUNTED).zip(&GUARDS) {
            assert_eq!(*name, guard.name.as_str());
        }
    }

    #[test]
    fn probability_rises_with_cosine() {
        let (a, b) = (
            Profile::of("How do I report a pothole?"),
            Profile::of("How can I tell of a pothole?"),
        );
        let pair = Comparison::of(&a, &b);
        let swapped = Comparison::of(&b, &a);
        let steps: Vec<f32> =
            [0.5, 0.7, 0.8, 0.9, 1.0].map(|cosine| probability(cosine, &pair)).into();
        assert!(steps.is_sorted(), "{steps:?}");
        assert!(steps.iter().all(|step| (0.0..=1.0).contains(step)));
        assert_eq!(features(0.9, &pair), features(0.9, &swapped));
    }
}
