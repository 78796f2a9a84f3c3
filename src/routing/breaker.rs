//! The circuit breaker of one target: closed, open, half-open with one probe.
//!
//! The state is atomic, since every shard reads and writes it. Racing updates lose one count or
//! admit one more attempt; nothing depends on their order. Times are milliseconds since the epoch
//! of the target table, and never 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outcome::{AttemptOutcome, Fault};
use crate::base::{Diagnostics, member_path};

/// When a breaker opens, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerRule {
    /// Consecutive failures.
    consecutive: Option<u32>,
    /// Failures in one window.
    failures: Option<u32>,
    /// Percentage of failures in one window that has `requests_min`.
    percentage: Option<f64>,
    requests_min: u32,
    window: Duration,
    /// Time it stays open at first.
    cooldown: Duration,
    /// Longest time it stays open; each failed probe doubles the time.
    cooldown_max: Duration,
    /// Statuses that count as failures; `None`: failures by the target's fault.
    statuses: Option<Arc<[u16]>>,
}

impl Default for BreakerRule {
    /// The default: 5 consecutive failures, or half of at least 20 requests in 10 s; open for 1 s,
    /// doubled with each failed probe up to 8 s.
    fn default() -> Self {
        Self {
            consecutive: Some(5),
            failures: None,
            percentage: Some(50.0),
            requests_min: 20,
            window: Duration::from_secs(10),
            cooldown: Duration::from_secs(1),
            cooldown_max: Duration::from_secs(8),
            statuses: None,
        }
    }
}

impl BreakerRule {
    /// True if `outcome` counts as a failure.
    fn counts(&self, outcome: &AttemptOutcome) -> bool {
        match &self.statuses {
            Some(statuses) => outcome.is_transport || statuses.contains(&outcome.status),
            None => outcome.fault == Fault::Target,
        }
    }
}

/// When the circuit breaker of a target opens and closes; the keys are Portkey's.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Failures within `cooldown_interval` that open the breaker.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failure_threshold: Option<u32>,
    /// Percentage of failures within `cooldown_interval` that opens it.
    #[schemars(range(min = 0, max = 100))]
    pub failure_threshold_percentage: Option<f64>,
    /// Time the breaker stays open, in milliseconds. Then one probe request is admitted: if it
    /// succeeds, the breaker closes.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub cooldown_interval: Option<u64>,
    /// Requests required before `failure_threshold_percentage` applies. Default: 5.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum_requests: Option<u32>,
    /// Status codes that count as failures; a connection failure always does. Default: 408, 500 and
    /// above.
    pub failure_status_codes: Option<Vec<u16>>,
}

impl BreakerSettings {
    /// The checked settings.
    pub(super) fn check(self, path: &str, diagnostics: &mut Diagnostics) -> BreakerRule {
        if self.failure_threshold.is_none() && self.failure_threshold_percentage.is_none() {
            let message = "expected `failure_threshold` or `failure_threshold_percentage`";
            diagnostics.add(path, message, "");
        }
        if self.cooldown_interval.is_none() {
            let path = member_path(path, "cooldown_interval");
            diagnostics.add(&path, "expected a number of milliseconds", "30000 is usual");
        }
        let cooldown = Duration::from_millis(self.cooldown_interval.unwrap_or(30_000));
        BreakerRule {
            consecutive: None,
            failures: self.failure_threshold,
            percentage: self.failure_threshold_percentage,
            requests_min: self.minimum_requests.unwrap_or(5),
            window: cooldown,
            cooldown,
            cooldown_max: cooldown,
            statuses: self.failure_status_codes.map(each_once),
        }
    }
}

fn each_once(mut statuses: Vec<u16>) -> Arc<[u16]> {
    statuses.sort_unstable();
    statuses.dedup();
    statuses.into()
}

/// Which attempts a breaker admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All.
    Closed,
    /// Nothing.
    Open,
    /// One probe, whose outcome decides whether the breaker closes.
    HalfOpen,
}

/// The breaker of one target.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    window_began: AtomicU64,
    succeeded: AtomicU32,
    failed: AtomicU32,
    /// Consecutive failures.
    run: AtomicU32,
    /// Time until which it is open; 0: closed.
    open_until: AtomicU64,
    /// Number of times it has opened since it was last closed.
    openings: AtomicU32,
    /// Start of the probe in flight; 0: none.
    probe_began: AtomicU64,
}

/// A probe without an outcome after this time counts as lost.
const PROBE_MS_MAX: u64 = 120_000;

impl Breaker {
    pub(super) fn state(&self, now_ms: u64) -> BreakerState {
        match self.open_until.load(Relaxed) {
            0 => BreakerState::Closed,
            until if now_ms < until => BreakerState::Open,
            _ if self.is_probed(now_ms) => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    fn is_probed(&self, now_ms: u64) -> bool {
        let began = self.probe_began.load(Relaxed);
        began != 0 && now_ms.saturating_sub(began) < PROBE_MS_MAX
    }

    /// Starts the one probe, if it is due and none is in flight.
    pub(super) fn claim_probe(&self, now_ms: u64) -> bool {
        if self.state(now_ms) != BreakerState::HalfOpen {
            return false;
        }
        let seen = self.probe_began.load(Relaxed);
        self.probe_began.compare_exchange(seen, now_ms, Relaxed, Relaxed).is_ok()
    }

    /// The probe ended without an outcome.
    pub(super) fn release_probe(&self) {
        self.probe_began.store(0, Relaxed);
    }

    /// Consecutive failures.
    pub(super) fn run(&self) -> u32 {
        self.run.load(Relaxed)
    }

    /// Restores the count, if a success turned out to be a failure.
    pub(super) fn set_run(&self, run: u32) {
        self.run.store(run, Relaxed);
    }

    /// Records an outcome. True if it opened the breaker.
    pub(super) fn record(&self, rule: &BreakerRule, outcome: &AttemptOutcome, now_ms: u64) -> bool {
        if rule.counts(outcome) {
            return self.record_failure(rule, now_ms);
        }
        if matches!(outcome.fault, Fault::None | Fault::Client) {
            self.record_success(rule, now_ms);
        }
        false
    }

    fn record_success(&self, rule: &BreakerRule, now_ms: u64) {
        self.turn_window(rule, now_ms);
        self.run.store(0, Relaxed);
        self.succeeded.fetch_add(1, Relaxed);
        // Rule for late outcomes: only an attempt started after the cooldown closes the breaker.
        let until = self.open_until.load(Relaxed);
        if until != 0 && now_ms >= until {
            self.close();
        }
    }

    fn close(&self) {
        self.open_until.store(0, Relaxed);
        self.openings.store(0, Relaxed);
        self.probe_began.store(0, Relaxed);
        self.window_began.store(0, Relaxed);
        self.succeeded.store(0, Relaxed);
        self.failed.store(0, Relaxed);
    }

    fn record_failure(&self, rule: &BreakerRule, now_ms: u64) -> bool {
        self.turn_window(rule, now_ms);
        let failed = self.failed.fetch_add(1, Relaxed).saturating_add(1);
        let run = self.run.fetch_add(1, Relaxed).saturating_add(1);
        let until = self.open_until.load(Relaxed);
        if until != 0 {
            // The outcome of a probe, or of an attempt made because no other target was left. Late
            // outcomes of attempts from before it opened change nothing.
            return now_ms >= until && self.open(rule, now_ms);
        }
        let total = failed.saturating_add(self.succeeded.load(Relaxed));
        let share = f64::from(failed) * 100.0 / f64::from(total);
        let is_over = rule.consecutive.is_some_and(|max| run >= max)
            || rule.failures.is_some_and(|max| failed >= max)
            || rule.percentage.is_some_and(|max| total >= rule.requests_min && share >= max);
        is_over && self.open(rule, now_ms)
    }

    fn open(&self, rule: &BreakerRule, now_ms: u64) -> bool {
        let openings = self.openings.fetch_add(1, Relaxed).min(16);
        let cooldown = rule.cooldown.saturating_mul(1 << openings).min(rule.cooldown_max);
        let cooldown_ms = u64::try_from(cooldown.as_millis()).unwrap_or(u64::MAX);
        self.open_until.store(now_ms.saturating_add(cooldown_ms).max(1), Relaxed);
        self.probe_began.store(0, Relaxed);
        true
    }

    /// Starts a new window if the current one is over.
    fn turn_window(&self, rule: &BreakerRule, now_ms: u64) {
        let began = self.window_began.load(Relaxed);
        let window_ms = u64::try_from(rule.window.as_millis()).unwrap_or(u64::MAX);
        let is_over = began == 0 || now_ms.saturating_sub(began) >= window_ms;
        let is_first =
            || self.window_began.compare_exchange(began, now_ms.max(1), Relaxed, Relaxed).is_ok();
        if is_over && is_first() {
            self.succeeded.store(0, Relaxed);
            self.failed.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16) -> AttemptOutcome {
        AttemptOutcome {
            status,
            fault: Fault::of_status(status, false),
            is_transport: false,
            retry_after: None,
            latency: Duration::ZERO,
        }
    }

    fn portkey(failures: Option<u32>, percentage: Option<f64>) -> BreakerRule {
        let settings = BreakerSettings {
            failure_threshold: failures,
            failure_threshold_percentage: percentage,
            cooldown_interval: Some(1_000),
            ..BreakerSettings::default()
        };
        let mut diagnostics = Diagnostics::default();
        let rule = settings.check("cb_config", &mut diagnostics);
        assert!(diagnostics.is_empty());
        rule
    }

    /// Statuses at times, and the expected gate after each.
    fn check(rule: &BreakerRule, steps: &[(u64, u16, BreakerState)]) {
        let breaker = Breaker::default();
        for (at, status, expected) in steps {
            if *status != 0 {
                breaker.record(rule, &outcome(*status), *at);
            }
            assert_eq!(breaker.state(*at), *expected, "at {at} after {status}: {steps:?}");
        }
    }

    #[test]
    fn failure_threshold_opens_the_breaker() {
        use BreakerState::{Closed, HalfOpen, Open};
        let rule = portkey(Some(3), None);
        check(
            &rule,
            &[
                (1, 500, Closed),
                (2, 200, Closed),
                (3, 400, Closed),
                (4, 503, Closed),
                (5, 500, Open),
                (1_004, 0, Open),
                (1_005, 0, HalfOpen),
                (1_006, 500, Open),
                (2_005, 0, Open),
                (2_006, 200, Closed),
                (2_007, 500, Closed),
            ],
        );
        // Failures of an earlier window do not count.
        check(&rule, &[(1, 500, Closed), (2, 500, Closed), (1_001, 500, Closed)]);
    }

    #[test]
    fn failure_percentage_opens_the_breaker() {
        use BreakerState::{Closed, Open};
        let rule = portkey(None, Some(60.0));
        check(
            &rule,
            &[
                (1, 500, Closed),
                (2, 500, Closed),
                (3, 200, Closed),
                (4, 200, Closed),
                (5, 500, Open),
            ],
        );
    }

    #[test]
    fn default_breaker_opens_and_closes() {
        let rule = BreakerRule::default();
        let breaker = Breaker::default();
        for at in 1..=4 {
            assert!(!breaker.record(&rule, &outcome(500), at));
        }
        breaker.record(&rule, &outcome(429), 5);
        breaker.record(&rule, &outcome(401), 5);
        assert!(breaker.record(&rule, &outcome(502), 6), "the fifth, others' faults apart");
        assert_eq!(breaker.state(1_005), BreakerState::Open);
        for (at, cooldown) in [(1_006, 2_000), (3_006, 4_000), (7_006, 8_000), (15_006, 8_000)] {
            assert_eq!(breaker.state(at), BreakerState::HalfOpen);
            assert!(breaker.claim_probe(at));
            assert!(!breaker.claim_probe(at), "one probe at a time");
            assert_eq!(breaker.state(at), BreakerState::Open);
            breaker.record(&rule, &outcome(500), at);
            assert_eq!(breaker.state(at + cooldown - 1), BreakerState::Open);
            assert_eq!(breaker.state(at + cooldown), BreakerState::HalfOpen);
        }
    }

    #[test]
    fn probe_without_outcome_allows_another() {
        let (rule, breaker) = (portkey(Some(1), None), Breaker::default());
        breaker.record(&rule, &outcome(500), 1);
        assert!(breaker.claim_probe(1_001));
        breaker.release_probe();
        assert!(breaker.claim_probe(1_002));
        assert_eq!(breaker.state(1_003), BreakerState::Open);
        assert_eq!(breaker.state(1_002 + PROBE_MS_MAX), BreakerState::HalfOpen, "it was lost");
    }

    #[test]
    fn late_outcomes_do_not_close_the_breaker() {
        let (rule, breaker) = (portkey(Some(1), None), Breaker::default());
        breaker.record(&rule, &outcome(500), 1);
        breaker.record(&rule, &outcome(200), 2);
        assert_eq!(breaker.state(3), BreakerState::Open);
    }
}
