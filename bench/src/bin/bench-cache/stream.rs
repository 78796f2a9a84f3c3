//! A stream of requests against a cache that starts empty.
//!
//! Texts of a file of intents come in an order that looks random and is the same in every run, each
//! once. What is found near enough is served, and is wrong if its label is another; what is not is
//! asked of the provider and kept. Label equality is a coarse truth: guards refuse many a pair that
//! a label joins ("my balance", "my savings balance"), and no label can tell 10 from 100.

use std::collections::BTreeMap;

use anyhow::Result;
use ringgate::cache::comparison::Comparison;
use ringgate::cache::index::Segment;
use ringgate::cache::profile::Profile;
use ringgate::cache::verifier::{Decision, Demand, decide};
use ringgate::inference::{Embedding, Kernels};

use crate::meaning::Meaning;
use crate::rows::Intent;

/// Near entries that are looked at for each request, as the cache does.
const CANDIDATES: usize = 4;

const THRESHOLDS: [f32; 5] = [0.80, 0.85, 0.90, 0.92, 0.95];

struct Request {
    label: String,
    embedding: Embedding,
    profile: Profile,
}

/// Who decides.
#[derive(Clone, Copy)]
enum Policy {
    Cosine,
    Verifier,
}

/// Counts of one run.
#[derive(Default)]
struct Counts {
    hits: usize,
    wrong: usize,
}

pub(crate) fn print_table(rows: Vec<Intent>, requests: usize, meaning: &mut Meaning) -> Result<()> {
    let all = rows.len();
    let requests: Vec<Request> = shuffled(rows)
        .into_iter()
        .take(requests)
        .map(|row| {
            let embedding = meaning.of(&row.text)?;
            Ok(Request { label: row.label, embedding, profile: Profile::of(&row.text) })
        })
        .collect::<Result<_>>()?;
    println!("{} requests of {all} texts, each once.\n", requests.len());
    println!(
        "| threshold | by cosine: hits | wrong, of all requests | guards and verifier: hits | wrong, of all requests |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for threshold in THRESHOLDS {
        let demand = Demand { threshold };
        let percent = |count: usize| 100.0 * count as f64 / requests.len().max(1) as f64;
        let told = |counts: &Counts| {
            format!("{:.1} % | {:.2} %", percent(counts.hits), percent(counts.wrong))
        };
        let cosine = run(&requests, demand, Policy::Cosine);
        let verifier = run(&requests, demand, Policy::Verifier);
        println!("| {threshold:.2} | {} | {} |", told(&cosine), told(&verifier));
    }
    Ok(())
}

/// In the order of the hashes of the texts.
fn shuffled(rows: Vec<Intent>) -> Vec<Intent> {
    let hash = |text: &str| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    };
    let sorted: BTreeMap<_, _> =
        rows.into_iter().map(|row| ((hash(&row.text), row.text.clone()), row)).collect();
    sorted.into_values().collect()
}

fn run(requests: &[Request], demand: Demand, policy: Policy) -> Counts {
    let (mut segment, mut counts) = (Segment::new(Kernels::detect()), Counts::default());
    for (number, request) in (0u32..).zip(requests) {
        let near = segment.nearest(request.embedding.as_array(), CANDIDATES);
        let found = near.iter().find_map(|near| {
            let stored = requests.get(near.entry as usize)?;
            let is_served = match policy {
                Policy::Cosine => near.cosine >= demand.threshold,
                Policy::Verifier => {
                    let pair = Comparison::of(&request.profile, &stored.profile);
                    decide(demand, near.cosine, &pair) == Decision::Serve
                }
            };
            is_served.then_some(stored)
        });
        match found {
            Some(stored) => {
                counts.hits += 1;
                counts.wrong += usize::from(stored.label != request.label);
            }
            None => {
                segment.insert(number, request.embedding.as_array());
            }
        }
    }
    counts
}
