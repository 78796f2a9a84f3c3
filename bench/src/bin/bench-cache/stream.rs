//! A stream of requests against a cache that starts empty.
//!
//! Texts of a file of intents come in an order that looks random and is the same in every run, each
//! once. What is found near enough is served, and is wrong if its label is another; what is not is
//! sent to the provider and stored. Label equality is a coarse truth: guards refuse many a pair that
//! a label joins ("my balance", "my savings balance"), and no label can tell 10 from 100.

use std::collections::BTreeMap;

use anyhow::Result;
use ringgate::cache::comparison::Comparison;
use ringgate::cache::index::Segment;
use ringgate::cache::profile::Profile;
use ringgate::cache::verifier::decide;
use ringgate::cache::{Decision, ErrorController, ErrorLimit, MatchPolicy, Verdict};
use ringgate::inference::{Embedding, Kernels};

use crate::embedding_cache::EmbeddingCache;
use crate::rows::Intent;

/// Near entries that are looked at for each request, as the cache does.
const CANDIDATES: usize = 4;

/// One for all requests.
const ROUTE: &str = "";

const THRESHOLDS: [f32; 5] = [0.80, 0.85, 0.90, 0.92, 0.95];

struct StreamRequest {
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
struct StreamCounts {
    hits: usize,
    wrong: usize,
}

/// Requests in their order.
pub(crate) struct Stream {
    requests: Vec<StreamRequest>,
    /// Texts in the file.
    all: usize,
}

impl Stream {
    /// At most so many `requests` of a file's texts.
    pub(crate) fn of(
        rows: Vec<Intent>,
        requests: usize,
        embeddings: &mut EmbeddingCache,
    ) -> Result<Self> {
        let all = rows.len();
        let rows = shuffled(rows).into_iter().take(requests);
        let requests = rows.map(|row| {
            let embedding = embeddings.of(&row.text)?;
            Ok(StreamRequest { label: row.label, embedding, profile: Profile::of(&row.text) })
        });
        Ok(Self { requests: requests.collect::<Result<_>>()?, all })
    }

    /// With `wrong_max`, bars keep the wrong answers of the last two columns under it.
    pub(crate) fn print_table(&self, wrong_max: Option<f32>) {
        println!("{} requests of {} texts, each once.\n", self.requests.len(), self.all);
        println!(
            "| threshold | by cosine: hits | wrong, of all requests | guards and verifier: hits | wrong, of all requests |"
        );
        println!("| ---: | ---: | ---: | ---: | ---: |");
        for threshold in THRESHOLDS {
            let match_policy = MatchPolicy { threshold };
            let percent = |count: usize| 100.0 * count as f64 / self.requests.len().max(1) as f64;
            let cells = |counts: &StreamCounts| {
                format!("{:.1} % | {:.2} %", percent(counts.hits), percent(counts.wrong))
            };
            let cosine = self.run(match_policy, Policy::Cosine, None);
            let verifier = self.run(match_policy, Policy::Verifier, wrong_max);
            println!("| {threshold:.2} | {} | {} |", cells(&cosine), cells(&verifier));
        }
    }

    fn run(
        &self,
        match_policy: MatchPolicy,
        policy: Policy,
        wrong_max: Option<f32>,
    ) -> StreamCounts {
        let (mut segment, mut counts) = (Segment::new(Kernels::detect()), StreamCounts::default());
        let (error_controller, threshold) = (ErrorController::default(), match_policy.threshold);
        for (number, request) in (0u32..).zip(&self.requests) {
            let near = segment.nearest(request.embedding.as_array(), CANDIDATES);
            let found = near.iter().find_map(|near| {
                let stored = self.requests.get(near.entry as usize)?;
                let is_served = match policy {
                    Policy::Cosine => near.cosine >= threshold,
                    Policy::Verifier => {
                        let pair = Comparison::of(&request.profile, &stored.profile);
                        decide(match_policy, near.cosine, &pair) == Decision::Serve
                    }
                };
                is_served.then_some((stored, near.cosine))
            });
            let is_wrong = found.is_some_and(|(stored, _)| stored.label != request.label);
            let limit = wrong_max.map(|max_error_rate| ErrorLimit { threshold, max_error_rate });
            let verdict = match (found, limit) {
                (Some((_, cosine)), Some(limit)) => error_controller.decide(ROUTE, limit, cosine),
                (None, Some(limit)) => {
                    error_controller.count(ROUTE, limit);
                    Verdict::Serve
                }
                (_, None) => Verdict::Serve,
            };
            match (found, verdict) {
                (Some(_), Verdict::Serve) => {
                    counts.hits += 1;
                    counts.wrong += usize::from(is_wrong);
                    continue;
                }
                (Some((_, cosine)), Verdict::Verify { weight }) => {
                    error_controller.record(ROUTE, cosine, weight, is_wrong);
                }
                _ => {}
            }
            segment.insert(number, request.embedding.as_array());
        }
        counts
    }
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
