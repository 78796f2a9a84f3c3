//! What the semantic tier would serve, rightly and wrongly, on a file of question pairs.
//!
//! Pairs are JSON lines, `{a, b, same_answer}` or `{text_a, text_b, label}`. Vectors come from a dump:
//! `PREFIX.texts`, a JSON string a line, and `PREFIX.f32`, 384 little-endian numbers for each.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use ringgate::cache::comparison::Comparison;
use ringgate::cache::profile::Profile;
use ringgate::cache::verifier::{self, Decision, Demand, FEATURES, Refusal, decide};
use serde_json::Value;

/// Numbers of a vector.
const DIMENSIONS: usize = 384;

/// Files with fewer pairs have their wrong answers listed.
const LISTED_MAX: usize = 1_000;

const USAGE: &str = "Usage: bench-cache [--features] --vectors PREFIX PAIRS...

Tables of served and wrong answers of each file of pairs, at several thresholds and wrong budgets.
With --features: one line of numbers a pair, as bench/fit-verifier reads them.";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut prefix, mut files, mut is_for_fitting) = (None, Vec::new(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--vectors" => prefix = arguments.next(),
            "--features" => is_for_fitting = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => files.push(PathBuf::from(argument)),
        }
    }
    let Some(prefix) = prefix else { bail!("expected --vectors PREFIX\n{USAGE}") };
    let vectors = vectors(&prefix)?;
    for file in files {
        let pairs = pairs(&file)?;
        let judged = judge(&pairs, &vectors)?;
        if is_for_fitting {
            print_features(&judged);
        } else {
            print_tables(&file, &judged);
        }
    }
    Ok(())
}

struct Pair {
    a: String,
    b: String,
    is_same: bool,
    category: String,
}

struct Judged<'a> {
    pair: &'a Pair,
    cosine: f32,
    probability: f32,
    features: [f32; FEATURES.len()],
    a: Profile,
    b: Profile,
}

impl Judged<'_> {
    fn decide(&self, threshold: f32) -> Decision {
        decide(Demand { threshold }, self.cosine, &Comparison::of(&self.a, &self.b))
    }

    /// The model's probability, or nothing for what a guard refuses.
    fn score(&self) -> f32 {
        let is_refused = matches!(self.decide(-1.0), Decision::Refuse(Refusal::Guard(_)));
        if is_refused { 0.0 } else { self.probability }
    }
}

fn pairs(file: &Path) -> Result<Vec<Pair>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let read = |line: &str| -> Result<Pair> {
        let row: Value = serde_json::from_str(line)?;
        let text = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| row.get(name)?.as_str());
            found.map(str::to_owned).with_context(|| format!("expected {names:?} in {line}"))
        };
        let label = row.get("same_answer").or_else(|| row.get("label"));
        let is_same =
            label.is_some_and(|label| label.as_bool().unwrap_or(label.as_i64() == Some(1)));
        let category = row.get("category").and_then(Value::as_str).unwrap_or("").to_owned();
        Ok(Pair { a: text(["a", "text_a"])?, b: text(["b", "text_b"])?, is_same, category })
    };
    text.lines().map(read).collect()
}

fn vectors(prefix: &str) -> Result<HashMap<String, Vec<f32>>> {
    let texts = fs::read_to_string(format!("{prefix}.texts")).context("reading the texts")?;
    let numbers = fs::read(format!("{prefix}.f32")).context("reading the vectors")?;
    let numbers = numbers
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let numbers: Vec<f32> = numbers.collect();
    let texts = texts.lines().map(serde_json::from_str::<String>).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.into_iter().zip(numbers.chunks_exact(DIMENSIONS).map(<[f32]>::to_vec)).collect())
}

fn judge<'a>(pairs: &'a [Pair], vectors: &HashMap<String, Vec<f32>>) -> Result<Vec<Judged<'a>>> {
    let vector = |text: &str| vectors.get(text).with_context(|| format!("no vector for {text:?}"));
    let judge = |pair: &'a Pair| {
        let cosine = vector(&pair.a)?.iter().zip(vector(&pair.b)?).map(|(x, y)| x * y).sum();
        let (a, b) = (Profile::of(&pair.a), Profile::of(&pair.b));
        let comparison = Comparison::of(&a, &b);
        let features = verifier::features(cosine, &comparison);
        let probability = verifier::probability(cosine, &comparison);
        Ok(Judged { pair, cosine, probability, features, a, b })
    };
    pairs.iter().map(judge).collect()
}

fn print_features(judged: &[Judged<'_>]) {
    println!("is_same {}", FEATURES.join(" "));
    for one in judged {
        let features = one.features.map(|feature| feature.to_string()).join(" ");
        println!("{} {features}", u8::from(one.pair.is_same));
    }
}

fn print_tables(file: &Path, judged: &[Judged<'_>]) {
    let (same, other): (Vec<_>, Vec<_>) = judged.iter().partition(|one| one.pair.is_same);
    println!(
        "\n{}: {} with the same answer, {} with another",
        file.display(),
        same.len(),
        other.len()
    );
    let percent = |group: &[&Judged<'_>], is_served: &dyn Fn(&Judged<'_>) -> bool| {
        100.0 * group.iter().filter(|one| is_served(one)).count() as f64 / group.len().max(1) as f64
    };
    println!(
        "| threshold | cosine served | wrong | decided served | wrong |\n| --- | --- | --- | --- | --- |"
    );
    for threshold in [0.80, 0.85, 0.88, 0.90, 0.92, 0.95, 0.97] {
        let near = |one: &Judged<'_>| one.cosine >= threshold;
        let served = |one: &Judged<'_>| one.decide(threshold) == Decision::Serve;
        println!(
            "| {threshold:.2} | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
            percent(&same, &near),
            percent(&other, &near),
            percent(&same, &served),
            percent(&other, &served)
        );
    }
    println!(
        "\n| wrong budget | served by cosine | by the verifier with guards |\n| --- | --- | --- |"
    );
    for budget in [1.0, 3.0, 5.0, 10.0] {
        let by = |score: &dyn Fn(&Judged<'_>) -> f32| {
            let mut wrong: Vec<f32> = other.iter().map(|one| score(one)).collect();
            wrong.sort_by(|x, y| y.total_cmp(x));
            let allowed = (budget / 100.0 * wrong.len() as f64) as usize;
            let limit = wrong.get(allowed).copied().unwrap_or(f32::MIN);
            percent(&same, &|one| score(one) > limit)
        };
        println!(
            "| {budget} % | {:.1} % | {:.1} % |",
            by(&|one| one.cosine),
            by(&|one| one.score())
        );
    }
    println!(
        "\naverage precision: cosine {:.4}, verifier {:.4}",
        average_precision(judged, |one| one.cosine),
        average_precision(judged, |one| one.probability)
    );
    print_classes(judged);
    let bytes: usize = judged.iter().map(|one| one.a.bytes()).sum();
    println!("bytes of a profile: {} on average", bytes / judged.len().max(1));
}

fn print_classes(judged: &[Judged<'_>]) {
    let mut classes: std::collections::BTreeMap<(&str, bool), (usize, usize)> = Default::default();
    for one in judged {
        let class = classes.entry((&one.pair.category, one.pair.is_same)).or_default();
        class.1 += 1;
        if one.decide(Demand::default().threshold) == Decision::Serve {
            class.0 += 1;
            if !one.pair.is_same && judged.len() < LISTED_MAX {
                println!("wrong: {} | {} ({:.3})", one.pair.a, one.pair.b, one.cosine);
            }
        }
    }
    for ((category, is_same), (served, all)) in classes {
        println!("{category} {}: {served} of {all} served", if is_same { "same" } else { "other" });
    }
}

fn average_precision(judged: &[Judged<'_>], score: fn(&Judged<'_>) -> f32) -> f64 {
    let mut sorted: Vec<_> = judged.iter().map(|one| (score(one), one.pair.is_same)).collect();
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
