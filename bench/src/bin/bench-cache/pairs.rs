//! Tables of served and wrong answers of a file of pairs.

use std::collections::BTreeMap;

use anyhow::Result;
use ringgate::cache::comparison::Comparison;
use ringgate::cache::profile::Profile;
use ringgate::cache::verifier::{self, Decision, FEATURES, MatchPolicy, Refusal};
use ringgate::cache::{normalize, stands_alone};

use crate::embedding_cache::EmbeddingCache;
use crate::rows::Pair;

const THRESHOLDS: [f32; 7] = [0.80, 0.85, 0.88, 0.90, 0.92, 0.95, 0.97];

/// Percents of the pairs with another answer that may be served.
const BUDGETS: [f64; 4] = [1.0, 3.0, 5.0, 10.0];

/// A pair and what is thought of it.
pub(crate) struct ScoredPair<'a> {
    pair: &'a Pair,
    cosine: f32,
    probability: f32,
    features: [f32; FEATURES.len()],
    a: Profile,
    b: Profile,
}

impl ScoredPair<'_> {
    /// True if the last messages alone would be found the same.
    fn is_served_alone(&self, match_policy: MatchPolicy) -> bool {
        let pair = Comparison::of(&self.a, &self.b);
        normalize(&self.pair.a) == normalize(&self.pair.b)
            || verifier::decide(match_policy, self.cosine, &pair) == Decision::Serve
    }

    /// True if the last message stands alone, so that a route may ignore what came before it.
    fn is_served_as_standalone(&self, match_policy: MatchPolicy) -> bool {
        stands_alone(&self.pair.a)
            && stands_alone(&self.pair.b)
            && self.is_served_alone(match_policy)
    }

    fn is_served(&self, match_policy: MatchPolicy) -> bool {
        self.pair.is_history_equal && self.is_served_alone(match_policy)
    }

    /// The model's probability, or nothing for what a guard refuses.
    fn score(&self) -> f32 {
        let pair = Comparison::of(&self.a, &self.b);
        let decision = verifier::decide(MatchPolicy { threshold: -1.0 }, self.cosine, &pair);
        let is_refused = matches!(decision, Decision::Refuse(Refusal::Guard(_)));
        if is_refused || !self.pair.is_history_equal { 0.0 } else { self.probability }
    }
}

pub(crate) fn score<'a>(
    pairs: &'a [Pair],
    embeddings: &mut EmbeddingCache,
) -> Result<Vec<ScoredPair<'a>>> {
    let score = |pair: &'a Pair| {
        let cosine = embeddings.of(&pair.a)?.cosine(&embeddings.of(&pair.b)?);
        let (a, b) = (Profile::of(&pair.a), Profile::of(&pair.b));
        let comparison = Comparison::of(&a, &b);
        let features = verifier::features(cosine, &comparison);
        let probability = verifier::probability(cosine, &comparison);
        Ok(ScoredPair { pair, cosine, probability, features, a, b })
    };
    pairs.iter().map(score).collect()
}

pub(crate) fn print_features(scored: &[ScoredPair<'_>]) {
    println!("is_same {}", FEATURES.join(" "));
    for one in scored {
        let features = one.features.map(|feature| feature.to_string()).join(" ");
        println!("{} {features}", u8::from(one.pair.is_same));
    }
}

pub(crate) fn print_tables(scored: &[ScoredPair<'_>], are_wrong_listed: bool) {
    let (same, other): (Vec<_>, Vec<_>) = scored.iter().partition(|one| one.pair.is_same);
    println!("{} pairs with the same answer, {} with another.", same.len(), other.len());
    if scored.iter().all(|one| one.pair.is_history_equal) {
        print_thresholds(&same, &other);
        print_budgets(&same, &other);
        println!(
            "\nAverage precision: cosine {:.4}, verifier {:.4}.",
            average_precision(scored, |one| one.cosine),
            average_precision(scored, |one| one.probability)
        );
    } else {
        print_histories(&same, &other);
    }
    print_classes(scored);
    let bytes: usize = scored.iter().map(|one| one.a.bytes()).sum();
    println!("\nBytes of a profile: {} on average.", bytes / scored.len().max(1));
    if are_wrong_listed {
        for one in other.iter().filter(|one| one.is_served(MatchPolicy::default())) {
            println!("wrong: {} | {} ({:.3})", one.pair.a, one.pair.b, one.cosine);
        }
    }
}

/// How many in a hundred of `group` satisfy `is_in`.
fn percent(group: &[&ScoredPair<'_>], is_in: impl Fn(&ScoredPair<'_>) -> bool) -> f64 {
    let count = group.iter().filter(|one| is_in(one)).count();
    100.0 * count as f64 / group.len().max(1) as f64
}

fn print_thresholds(same: &[&ScoredPair<'_>], other: &[&ScoredPair<'_>]) {
    println!("\n| threshold | by cosine: served | wrong | guards and verifier: served | wrong |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for threshold in THRESHOLDS {
        let near = |one: &ScoredPair<'_>| one.cosine >= threshold;
        let served = |one: &ScoredPair<'_>| one.is_served(MatchPolicy { threshold });
        let default = if threshold == MatchPolicy::default().threshold { " (default)" } else { "" };
        println!(
            "| {threshold:.2}{default} | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
            percent(same, near),
            percent(other, near),
            percent(same, served),
            percent(other, served)
        );
    }
}

/// What is served at the score under which just so many wrong answers lie. The score is picked on
/// the pairs that are counted.
fn print_budgets(same: &[&ScoredPair<'_>], other: &[&ScoredPair<'_>]) {
    println!("\n| wrong, at most | served by cosine | by guards and verifier |");
    println!("| ---: | ---: | ---: |");
    for budget in BUDGETS {
        let by = |score: &dyn Fn(&ScoredPair<'_>) -> f32| {
            let mut wrong: Vec<f32> = other.iter().map(|one| score(one)).collect();
            wrong.sort_by(|x, y| y.total_cmp(x));
            let allowed = (budget / 100.0 * wrong.len() as f64) as usize;
            let limit = wrong.get(allowed).copied().unwrap_or(f32::MIN);
            percent(same, |one| score(one) > limit)
        };
        println!(
            "| {budget} % | {:.1} % | {:.1} % |",
            by(&|one| one.cosine),
            by(&|one| one.score())
        );
    }
}

fn print_histories(same: &[&ScoredPair<'_>], other: &[&ScoredPair<'_>]) {
    println!("\n| what is compared | served | wrong |\n| --- | ---: | ---: |");
    let match_policy = MatchPolicy::default();
    let by_cosine = |one: &ScoredPair<'_>| one.cosine >= match_policy.threshold;
    let alone = |one: &ScoredPair<'_>| one.is_served_alone(match_policy);
    let whole = |one: &ScoredPair<'_>| one.is_served(match_policy);
    let row = |name: &str, is_served: &dyn Fn(&ScoredPair<'_>) -> bool| {
        println!(
            "| {name} | {:.1} % | {:.1} % |",
            percent(same, is_served),
            percent(other, is_served)
        );
    };
    row("the last message, by cosine", &by_cosine);
    row("the last message, by guards and verifier", &alone);
    let standalone = |one: &ScoredPair<'_>| one.is_served_as_standalone(match_policy);
    row("the last message, if it stands alone (`standalone_turns`)", &standalone);
    row("and all before it to the letter, as the cache does", &whole);
}

fn print_classes(scored: &[ScoredPair<'_>]) {
    println!("\n| class, at the default settings | same answer: served | another: served |");
    println!("| --- | ---: | ---: |");
    let mut classes: BTreeMap<&str, [(usize, usize); 2]> = BTreeMap::new();
    for one in scored {
        let class = classes.entry(&one.pair.category).or_default();
        let count = &mut class[usize::from(!one.pair.is_same)];
        count.0 += usize::from(one.is_served(MatchPolicy::default()));
        count.1 += 1;
    }
    let share = |(served, all): (usize, usize)| match all {
        0 => "–".to_owned(),
        _ => format!("{served} of {all} ({:.0} %)", 100.0 * served as f64 / all as f64),
    };
    for (category, [same, other]) in classes {
        let category = if category.is_empty() { "all" } else { category };
        println!("| {category} | {} | {} |", share(same), share(other));
    }
}

fn average_precision(scored: &[ScoredPair<'_>], score: fn(&ScoredPair<'_>) -> f32) -> f64 {
    let mut sorted: Vec<_> = scored.iter().map(|one| (score(one), one.pair.is_same)).collect();
    sorted.sort_by(|x, y| y.0.total_cmp(&x.0));
    let (mut found, mut sum) = (0.0, 0.0);
    for (rank, (_, is_same)) in (1u32..).zip(&sorted) {
        if *is_same {
            found += 1.0;
            sum += found / f64::from(rank);
        }
    }
    sum / f64::max(found, 1.0)
}
