//! Keeps wrong answers by meaning rarer than the settings allow.
//!
//! Of the answers that a route could serve, one in [`CHECK_EVERY`] is withheld, of its first ones more:
//! the provider is called, and the two answers are compared. One that is wrong stands for as many. Weighed like that (Horvitz
//! and Thompson 1952), the wrong ones estimate how many of all look-ups any threshold would answer
//! wrongly. The route's *bar* is the lowest threshold that stays within the limit by two standard
//! deviations, and never under that of the settings. What is under the bar is withheld each time, so
//! that a bar that has come to be too high goes down again.
//!
//! A bar is picked on the data it is judged by, so the limit is aimed at and not guaranteed: in the
//! simulated streams of `scripts/bench-cache` limits of 1 and 2 % are kept, one of 0.5 % is passed by up
//! to a fifth. Bars are forgotten with the process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Key;

/// Of so many answers that could be served, one is withheld.
const CHECK_EVERY: u32 = 20;

/// The same of the first [`FIRST`] answers of a route, of which nothing is known yet.
const CHECK_EVERY_FIRST: u32 = 4;

/// Answers that are the first.
const FIRST: u64 = 1_000;

/// Look-ups that a wrong answer counts for; older ones say little about today's traffic.
const WINDOW: u64 = 20_000;

/// Wrong answers that are kept of a route; where there are more, the window is as long as they reach.
const WRONG_HITS_MAX: usize = 1_000;

/// Look-ups after which the threshold is recomputed although nothing was wrong.
const UPDATE_EVERY: u64 = 256;

/// What the settings ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorLimit {
    /// `semantic_cache.threshold`: a bar is never lower.
    pub threshold: f32,
    /// Maximum share of lookups that are answered incorrectly.
    pub max_error_rate: f32,
}

/// What to do with an answer that could be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Serve,
    /// Call the provider, compare, and report to [`ErrorController::record`].
    Verify {
        /// How many answers it stands for.
        weight: u32,
    },
}

/// An answer that is withheld to be compared with the provider's.
#[derive(Clone, Debug)]
pub struct SampledCheck {
    /// The route.
    pub route: String,
    /// The key of the question.
    pub question: Key,
    /// The name of the stored one.
    pub stored: Key,
    /// How alike they are.
    pub cosine: f32,
    /// From [`Verdict::Verify`].
    pub weight: u32,
}

/// The bars of all routes, by name.
#[derive(Default)]
pub struct ErrorController(Mutex<HashMap<String, RouteErrors>>);

/// What is known of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct ErrorStats {
    /// The least cosine that is served.
    pub bar: f32,
    /// Look-ups by meaning.
    pub lookups: u64,
    /// Answers that were withheld to be compared.
    pub withheld: u64,
    /// Of them, those that could be compared.
    pub judged: u64,
    /// Of these, those that were wrong.
    pub wrong: u64,
}

#[derive(Default)]
struct RouteErrors {
    stats: ErrorStats,
    /// Answers found at or above the bar.
    found: u64,
    limit: Option<ErrorLimit>,
    /// The latest, in the order in which they came.
    wrong_hits: VecDeque<WrongHit>,
    /// The look-up since which all are kept.
    since: u64,
}

#[derive(Clone, Copy)]
struct WrongHit {
    cosine: f32,
    weight: f64,
    /// The number of the look-up at which it was found out.
    at: u64,
}

impl ErrorController {
    /// Counts a look-up that found nothing to serve.
    pub fn count(&self, route: &str, limit: ErrorLimit) {
        self.with(route, |errors| errors.count(limit));
    }

    /// Counts a look-up that found an answer at `cosine`, and returns what to do with it.
    #[must_use]
    pub fn decide(&self, route: &str, limit: ErrorLimit, cosine: f32) -> Verdict {
        self.with(route, |errors| {
            errors.count(limit);
            errors.decide(cosine)
        })
    }

    /// Takes in what came of a withheld answer at `cosine`, which stands for `weight`.
    pub fn record(&self, route: &str, cosine: f32, weight: u32, is_wrong: bool) {
        self.with(route, |errors| {
            errors.stats.judged += 1;
            if is_wrong {
                errors.wrong(cosine, f64::from(weight));
            }
        });
    }

    /// All routes that were looked at, by name.
    #[must_use]
    pub fn stats(&self) -> std::collections::BTreeMap<String, ErrorStats> {
        self.routes().iter().map(|(name, errors)| (name.clone(), errors.stats)).collect()
    }

    fn with<T>(&self, route: &str, act: impl FnOnce(&mut RouteErrors) -> T) -> T {
        let mut routes = self.routes();
        if let Some(errors) = routes.get_mut(route) {
            return act(errors);
        }
        act(routes.entry(route.to_owned()).or_default())
    }

    /// No panic leaves a route in a state that serves below its threshold.
    fn routes(&self) -> MutexGuard<'_, HashMap<String, RouteErrors>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RouteErrors {
    fn count(&mut self, limit: ErrorLimit) {
        self.stats.lookups += 1;
        let is_new = self.limit.replace(limit) != Some(limit);
        if is_new || self.stats.lookups.is_multiple_of(UPDATE_EVERY) {
            self.update_threshold();
        }
    }

    fn decide(&mut self, cosine: f32) -> Verdict {
        let weight = if cosine < self.stats.bar {
            1
        } else {
            self.found += 1;
            let every = if self.found <= FIRST { CHECK_EVERY_FIRST } else { CHECK_EVERY };
            if !self.found.is_multiple_of(u64::from(every)) {
                return Verdict::Serve;
            }
            every
        };
        self.stats.withheld += 1;
        Verdict::Verify { weight }
    }

    fn wrong(&mut self, cosine: f32, weight: f64) {
        self.stats.wrong += 1;
        self.wrong_hits.push_back(WrongHit { cosine, weight, at: self.stats.lookups });
        if self.wrong_hits.len() > WRONG_HITS_MAX
            && let Some(oldest) = self.wrong_hits.pop_front()
        {
            self.since = oldest.at;
        }
        self.update_threshold();
    }

    /// Finds the bar: from the highest cosine down, until there is one wrong answer too many.
    fn update_threshold(&mut self) {
        let Some(ErrorLimit { threshold, max_error_rate }) = self.limit else { return };
        let lookups = self.stats.lookups;
        self.since = self.since.max(lookups.saturating_sub(WINDOW));
        while self.wrong_hits.front().is_some_and(|it| it.at < self.since) {
            self.wrong_hits.pop_front();
        }
        let mut wrong_hits: Vec<WrongHit> = self.wrong_hits.iter().copied().collect();
        wrong_hits.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        // What could not be judged is as often wrong as what could.
        let ErrorStats { withheld, judged, .. } = self.stats;
        let scale = withheld.max(1) as f64 / judged.clamp(1, withheld.max(1)) as f64;
        let allowed = f64::from(max_error_rate) * (lookups - self.since) as f64 / scale;
        let (mut sum, mut squares) = (0.0, 0.0);
        let first_too_many = wrong_hits.into_iter().find(|wrong| {
            sum += wrong.weight;
            squares += wrong.weight * wrong.weight;
            sum + 2.0 * f64::sqrt(squares) > allowed
        });
        let least = first_too_many.map_or(threshold, |wrong| wrong.cosine.next_up());
        self.stats.bar = least.max(threshold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ErrorLimit = ErrorLimit { threshold: 0.80, max_error_rate: 0.01 };

    /// Numbers in 0..1 that look random and are the same in every run.
    fn noise(state: &mut u64) -> f64 {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A stream of look-ups, of which `found` find something, evenly from 0.80 to 1.00; what is below
    /// `edge` is wrong in one case of three. Returns the share of look-ups that were served, and of those
    /// that were answered wrongly.
    fn stream(controller: &ErrorController, lookups: u32, found: f64, edge: f32) -> (f64, f64) {
        let (mut state, mut served, mut wrong) = (7, 0.0, 0.0);
        for _ in 0..lookups {
            if noise(&mut state) >= found {
                controller.count("r", LIMIT);
                continue;
            }
            let cosine = 0.80 + 0.20 * noise(&mut state) as f32;
            let is_wrong = cosine < edge && noise(&mut state) < 1.0 / 3.0;
            match controller.decide("r", LIMIT, cosine) {
                Verdict::Serve => {
                    served += 1.0;
                    wrong += f64::from(u8::from(is_wrong));
                }
                Verdict::Verify { weight } => controller.record("r", cosine, weight, is_wrong),
            }
        }
        (served / f64::from(lookups), wrong / f64::from(lookups))
    }

    #[test]
    fn correct_hits_are_served_except_samples() {
        let controller = ErrorController::default();
        let (served, _) = stream(&controller, 20_000, 0.5, 0.0);
        assert!((0.46..0.47).contains(&served), "{served}");
        assert!((controller.stats()["r"].bar - 0.80).abs() < 1e-6);
    }

    #[test]
    fn threshold_rises_with_errors_and_recovers() {
        let controller = ErrorController::default();
        // A sixth of all look-ups would be wrong below 0.90.
        let (served, wrong) = stream(&controller, 40_000, 1.0, 0.90);
        assert!(wrong <= 0.01, "{wrong}");
        assert!(served >= 0.45, "all but nothing above 0.90 is right: {served}");
        let bar = controller.stats()["r"].bar;
        assert!((0.88..=0.91).contains(&bar), "{bar}");
        let _ = stream(&controller, 25_000, 1.0, 0.0);
        assert!((controller.stats()["r"].bar - 0.80).abs() < 1e-6, "{:?}", controller.stats());
    }

    #[test]
    fn early_error_raises_threshold_above_it() {
        let controller = ErrorController::default();
        assert_eq!(controller.decide("r", LIMIT, 0.93), Verdict::Serve);
        controller.record("r", 0.93, CHECK_EVERY, true);
        assert_eq!(controller.decide("r", LIMIT, 0.93), Verdict::Verify { weight: 1 });
        assert_eq!(controller.decide("r", LIMIT, 0.94), Verdict::Serve);
        assert_eq!(controller.decide("other", LIMIT, 0.93), Verdict::Serve, "by route");
        let lax = ErrorLimit { max_error_rate: 1.0, ..LIMIT };
        for _ in 0..100 {
            controller.count("r", LIMIT);
        }
        assert_eq!(controller.decide("r", lax, 0.93), Verdict::Serve, "other settings, other bar");
    }

    #[test]
    fn recorded_errors_are_bounded() {
        let controller = ErrorController::default();
        for _ in 0..WRONG_HITS_MAX + 10 {
            controller.record("r", 1.0, 1, true);
        }
        controller.count("r", LIMIT);
        assert_eq!(controller.decide("r", LIMIT, 1.0), Verdict::Verify { weight: 1 });
        assert_eq!(controller.routes()["r"].wrong_hits.len(), WRONG_HITS_MAX);
    }
}
