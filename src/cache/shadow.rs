//! Shadow mode: what the semantic tier would have served, and whether it would have been right.
//!
//! Each look-up is one line of `shadow.jsonl`. No prompt and no answer is in it, only how near the two
//! questions were and whether the two answers agree.

use std::io::{self, BufRead};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::guards::GuardName;
use super::verifier::{Assessment, Decision, MatchPolicy};
use crate::base::open_to_read;

/// The file in `cache.dir`.
pub(super) const SHADOW_FILE: &str = "shadow.jsonl";

/// The one before it.
pub(super) const SHADOW_FILE_OLD: &str = "shadow.1.jsonl";

/// Thresholds that a report lists.
const THRESHOLDS: [f32; 7] = [0.80, 0.85, 0.88, 0.90, 0.92, 0.95, 0.97];

/// One look-up whose real answer has come.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Observation {
    /// Unix time in seconds.
    pub at: u64,
    /// Name of the route.
    pub route: String,
    /// Cosine of the nearest stored question, if there was one.
    pub similarity: Option<f32>,
    /// The guard that fired.
    pub guard: Option<GuardName>,
    /// The verifier's probability.
    pub probability: Option<f32>,
    /// True if the two differ in spelling alone, for which a lower threshold holds.
    #[serde(default)]
    pub misspelled: bool,
    /// True if the settings in force would have served it.
    pub would_hit: bool,
    /// Why not.
    pub refusal: Option<String>,
    /// Whether the stored and the real answer agree; none where that is not known.
    pub agreed: Option<bool>,
    /// Tokens of the real answer's prompt.
    pub input_tokens: u64,
    /// Tokens of the real answer.
    pub output_tokens: u64,
    /// What the provider took, in milliseconds.
    pub upstream_ms: u64,
}

/// Dollars for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReportPrices {
    /// Of prompts.
    pub input: f64,
    /// Of answers.
    pub output: f64,
}

/// What would have happened at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShadowOutcome {
    /// `semantic_cache.threshold`.
    pub threshold: f32,
    /// Look-ups.
    pub lookups: u64,
    /// Look-ups that would have been answered.
    pub served: u64,
    /// Of them, those whose answers could be compared.
    pub judged: u64,
    /// Of these, those whose answers differ.
    pub wrong: u64,
    /// Tokens that would not have been paid for.
    pub tokens: u64,
    /// Dollars that would not have been paid.
    pub dollars: f64,
    /// Seconds that clients would not have waited.
    pub seconds: f64,
}

impl ShadowOutcome {
    /// Wrong answers among the judged, and the bounds of its 95 % interval (Wilson 1927), 0 to 1.
    #[must_use]
    pub fn wrong_rate(&self) -> Option<(f64, f64, f64)> {
        const Z: f64 = 1.96;
        if self.judged == 0 {
            return None;
        }
        let (n, rate) = (self.judged as f64, self.wrong as f64 / self.judged as f64);
        let center = rate + Z * Z / (2.0 * n);
        let margin = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Some((rate, ((center - margin) / scale).max(0.0), ((center + margin) / scale).min(1.0)))
    }
}

impl Observation {
    fn serves_at(&self, threshold: f32) -> bool {
        let (Some(cosine), Some(probability)) = (self.similarity, self.probability) else {
            return false;
        };
        let assessment =
            Assessment { cosine, guard: self.guard, probability, is_misspelled: self.misspelled };
        assessment.decide(MatchPolicy { threshold }) == Decision::Serve
    }
}

/// All observations in a cache's folder, as `read`.
///
/// # Errors
/// The system's; `NotFound` where there is no file of them.
pub fn read_observations(
    folder: &Path,
    route: Option<&str>,
) -> io::Result<(Vec<Observation>, u64)> {
    let mut all = (Vec::new(), 0);
    let mut found = Err(io::Error::from(io::ErrorKind::NotFound));
    for name in [SHADOW_FILE_OLD, SHADOW_FILE] {
        match open_to_read(&folder.join(name)) {
            Ok(file) => {
                let (observations, bad) = read(io::BufReader::new(file), route)?;
                all.0.extend(observations);
                all.1 += bad;
                found = Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.map(|()| all)
}

/// Reads observations, of one route if one is named; lines that are none are passed over and counted.
///
/// # Errors
/// The reader's.
fn read(lines: impl BufRead, route: Option<&str>) -> io::Result<(Vec<Observation>, u64)> {
    let (mut observations, mut bad) = (Vec::new(), 0);
    for line in lines.split(b'\n') {
        match serde_json::from_slice::<Observation>(&line?) {
            Ok(one) if route.is_none_or(|route| one.route == route) => observations.push(one),
            Ok(_) => {}
            // A process that was killed leaves half a line.
            Err(_) => bad += 1,
        }
    }
    Ok((observations, bad))
}

/// What would have happened at several thresholds.
#[must_use]
pub fn shadow_report(observations: &[Observation], prices: ReportPrices) -> Vec<ShadowOutcome> {
    let at = |threshold| {
        let mut outcome = ShadowOutcome { threshold, ..ShadowOutcome::default() };
        for one in observations {
            outcome.lookups += 1;
            if !one.serves_at(threshold) {
                continue;
            }
            outcome.served += 1;
            outcome.judged += u64::from(one.agreed.is_some());
            outcome.wrong += u64::from(one.agreed == Some(false));
            outcome.tokens += one.input_tokens + one.output_tokens;
            let dollars =
                one.input_tokens as f64 * prices.input + one.output_tokens as f64 * prices.output;
            outcome.dollars += dollars / 1e6;
            outcome.seconds += one.upstream_ms as f64 / 1e3;
        }
        outcome
    };
    THRESHOLDS.map(at).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(similarity: f32, guard: Option<GuardName>, agreed: Option<bool>) -> Observation {
        Observation {
            at: 0,
            route: "r".to_owned(),
            similarity: Some(similarity),
            guard,
            probability: Some(0.9),
            misspelled: false,
            would_hit: true,
            refusal: None,
            agreed,
            input_tokens: 100,
            output_tokens: 20,
            upstream_ms: 500,
        }
    }

    #[test]
    fn report_counts_outcomes() {
        let observations = [
            observation(0.99, None, Some(true)),
            observation(0.99, None, Some(false)),
            observation(0.99, None, None),
            observation(0.99, Some(GuardName::Negation), Some(false)),
            observation(0.5, None, Some(false)),
            Observation { similarity: None, probability: None, ..observation(0.0, None, None) },
        ];
        let outcomes = shadow_report(&observations, ReportPrices { input: 1.0, output: 10.0 });
        for outcome in outcomes {
            assert_eq!((outcome.lookups, outcome.served), (6, 3), "{outcome:?}");
            assert_eq!((outcome.judged, outcome.wrong, outcome.tokens), (2, 1, 360));
            assert!((outcome.dollars - 3.0 * 300e-6).abs() < 1e-9);
            assert!((outcome.seconds - 1.5).abs() < 1e-9);
        }
    }

    #[test]
    fn intervals_match_wilson() {
        let outcome = ShadowOutcome { judged: 100, wrong: 1, ..ShadowOutcome::default() };
        let (rate, low, high) = outcome.wrong_rate().expect("a rate");
        assert!((rate - 0.01).abs() < 1e-9);
        assert!((low - 0.0018).abs() < 1e-4 && (high - 0.0545).abs() < 1e-4, "{low} {high}");
        let none = ShadowOutcome { judged: 10, wrong: 0, ..ShadowOutcome::default() };
        let (_, low, high) = none.wrong_rate().expect("a rate");
        assert!(low.abs() < 1e-9 && (high - 0.278).abs() < 1e-3, "{low} {high}");
        assert_eq!(ShadowOutcome::default().wrong_rate(), None);
    }

    #[test]
    fn torn_lines_are_skipped() {
        let line =
            serde_json::to_string(&observation(0.9, Some(GuardName::Order), None)).expect("JSON");
        let text = format!("{line}\n{}\n{line}", &line[..40]);
        let (found, bad) = read(text.as_bytes(), None).expect("read");
        assert_eq!((found.len(), bad), (2, 1));
        assert_eq!(found[0], observation(0.9, Some(GuardName::Order), None));
        assert!(read(text.as_bytes(), Some("other")).expect("read").0.is_empty());
    }
}
