//! The state of one target: availability, speed, load.
//!
//! One record for all shards, in atomics. Concurrent writes may lose one sample.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::breaker::{Breaker, BreakerRule, BreakerState};
use super::outcome::{AttemptOutcome, Fault};
use super::retry_budget::RetryBudget;
use crate::base::Instant;

/// Ejection time of a target whose credential or model was rejected: an operator has to fix it, and
/// the fix should be noticed soon.
const ACCOUNT_EJECTION: Duration = Duration::from_secs(30);

/// Longest ejection that a provider can request.
const LIMIT_EJECTION_MAX: Duration = Duration::from_secs(60);

/// Ejection time of a target that is much slower than its neighbors.
const SLOW_EJECTION: Duration = Duration::from_secs(10);

/// Decay time of latencies: an old one loses weight by `e`.
const LATENCY_DECAY_S: f64 = 10.0;

/// Weight of the newest speed sample.
const SPEED_WEIGHT: f64 = 0.2;

/// Age at which a speed sample expires.
const SPEED_AGE_MS_MAX: u64 = 300_000;

/// Latency samples required to call a target slow.
const SAMPLES_MIN: u32 = 10;

/// Why a target is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// Its credential or model was rejected.
    Account,
    /// The provider requested a pause.
    Limit,
    /// It is much slower than its neighbors.
    Slow,
    /// It failed a health check.
    Check,
}

impl Ejection {
    const ALL: [Self; 4] = [Self::Account, Self::Limit, Self::Slow, Self::Check];

    /// Its name in the admin API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "credential_or_model_refused",
            Self::Limit => "rate_limited",
            Self::Slow => "slow",
            Self::Check => "check_failed",
        }
    }
}

/// The state of one target.
#[derive(Debug)]
pub struct Health {
    epoch: Instant,
    rule: BreakerRule,
    breaker: Breaker,
    retry_budget: RetryBudget,
    in_flight: AtomicU32,
    /// Nanoseconds, as the bits of a double, and the time of the last update.
    latency: AtomicU64,
    latency_ms: AtomicU64,
    samples: AtomicU32,
    /// Tokens per second, as the bits of a double, and the time of the last update.
    speed: AtomicU64,
    speed_ms: AtomicU64,
    ejected_until: AtomicU64,
    ejection: AtomicU8,
    attempts: AtomicU64,
    failures: AtomicU64,
    last_status: AtomicU16,
}

/// A snapshot of a target's health.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthReport {
    /// What its breaker admits.
    pub breaker: BreakerState,
    /// Reason and remaining time of an ejection.
    pub ejection: Option<(Ejection, Duration)>,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Attempts in total.
    pub attempts: u64,
    /// Attempts that failed by the target's fault.
    pub failures: u64,
    /// Status of the last attempt; 0: there was none.
    pub last_status: u16,
    /// Peak-sensitive average time to the first byte.
    pub latency: Option<Duration>,
    /// Tokens per second.
    pub speed: Option<f64>,
}

impl Health {
    pub(super) fn new(rule: BreakerRule, epoch: Instant) -> Self {
        Self {
            epoch,
            rule,
            breaker: Breaker::default(),
            retry_budget: RetryBudget::default(),
            in_flight: AtomicU32::new(0),
            latency: AtomicU64::new(0),
            latency_ms: AtomicU64::new(0),
            samples: AtomicU32::new(0),
            speed: AtomicU64::new(0),
            speed_ms: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
            ejection: AtomicU8::new(0),
            attempts: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_status: AtomicU16::new(0),
        }
    }

    /// Milliseconds since the epoch, never 0.
    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.since(self.epoch).as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// True if it may be called. Includes a due probe, which one attempt may make.
    #[must_use]
    pub fn is_available(&self, now: Instant) -> bool {
        let now_ms = self.ms(now);
        self.ejected_until.load(Relaxed) <= now_ms
            && self.breaker.state(now_ms) != BreakerState::Open
    }

    /// True if its breaker admits nothing.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.breaker.state(self.ms(now)) == BreakerState::Open
    }

    /// Starts an attempt: the first one of a request, or a retry.
    #[must_use]
    pub fn begin(self: &Arc<Self>, is_first: bool, now: Instant) -> Permit {
        self.in_flight.fetch_add(1, Relaxed);
        self.attempts.fetch_add(1, Relaxed);
        if is_first {
            self.retry_budget.deposit();
        }
        let is_probe = self.breaker.claim_probe(self.ms(now));
        Permit { health: Arc::clone(self), is_probe, run_before: 0 }
    }

    /// Pays for a retry from the budget; false if the budget is exhausted.
    #[must_use]
    pub fn withdraw_retry(&self, now: Instant) -> bool {
        self.retry_budget.withdraw(self.ms(now))
    }

    fn record(&self, outcome: &AttemptOutcome, now: Instant) {
        let now_ms = self.ms(now);
        self.last_status.store(outcome.status, Relaxed);
        if !matches!(outcome.fault, Fault::None | Fault::Client) {
            self.failures.fetch_add(1, Relaxed);
        }
        self.breaker.record(&self.rule, outcome, now_ms);
        match outcome.fault {
            Fault::None => self.record_latency(outcome.latency, now_ms),
            Fault::Account => self.eject(Ejection::Account, ACCOUNT_EJECTION, now),
            Fault::Limit | Fault::Target => {
                if let Some(wait) = outcome.retry_after {
                    self.eject(Ejection::Limit, wait.min(LIMIT_EJECTION_MAX), now);
                }
            }
            Fault::Client => {}
        }
    }

    /// Ejects the target; a longer ejection is kept.
    pub fn eject(&self, why: Ejection, wait: Duration, now: Instant) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let until = self.ms(now).saturating_add(wait_ms);
        if self.ejected_until.fetch_max(until, Relaxed) < until {
            let place = Ejection::ALL.iter().position(|it| *it == why).unwrap_or(0);
            self.ejection.store(u8::try_from(place).unwrap_or(0), Relaxed);
        }
    }

    /// A health check has succeeded.
    pub fn restore_after_check(&self) {
        if self.ejection_reason() == Some(Ejection::Check) {
            self.ejected_until.store(0, Relaxed);
        }
    }

    fn ejection_reason(&self) -> Option<Ejection> {
        Ejection::ALL.get(usize::from(self.ejection.load(Relaxed))).copied()
    }

    /// Peak EWMA (Finagle): a slower sample takes effect at once, faster ones gradually.
    fn record_latency(&self, latency: Duration, now_ms: u64) {
        let sample = latency.as_secs_f64() * 1e9;
        let before = self.decayed_latency(now_ms);
        let weight = self.decay(now_ms);
        let after =
            if sample > before { sample } else { before * weight + sample * (1.0 - weight) };
        self.latency.store(after.to_bits(), Relaxed);
        self.latency_ms.store(now_ms, Relaxed);
        self.samples.fetch_add(1, Relaxed);
    }

    fn decay(&self, now_ms: u64) -> f64 {
        let age_ms = now_ms.saturating_sub(self.latency_ms.load(Relaxed));
        (-(age_ms as f64) / (1_000.0 * LATENCY_DECAY_S)).exp()
    }

    /// Nanoseconds. Decays while the target is not called, so that a slow one is tried again.
    fn decayed_latency(&self, now_ms: u64) -> f64 {
        f64::from_bits(self.latency.load(Relaxed)) * self.decay(now_ms)
    }

    /// Estimated wait of a further request: the latency times the attempts in flight.
    pub(super) fn load(&self, now: Instant) -> f64 {
        // A target without samples is called first.
        (self.decayed_latency(self.ms(now)) + 1.0) * f64::from(self.in_flight() + 1)
    }

    /// Attempts in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The latency, in nanoseconds, if there are enough samples.
    pub(super) fn settled_latency(&self) -> Option<f64> {
        let is_known = self.samples.load(Relaxed) >= SAMPLES_MIN;
        is_known.then(|| f64::from_bits(self.latency.load(Relaxed)))
    }

    /// Ejects it as much slower than its neighbors.
    pub(super) fn eject_as_slow(&self, now: Instant) {
        self.samples.store(0, Relaxed);
        self.eject(Ejection::Slow, SLOW_EJECTION, now);
    }

    /// Tokens per second as last measured; `None` if the sample has expired.
    #[must_use]
    pub fn speed(&self, now: Instant) -> Option<f64> {
        let at = self.speed_ms.load(Relaxed);
        let is_fresh = at != 0 && self.ms(now).saturating_sub(at) < SPEED_AGE_MS_MAX;
        is_fresh.then(|| f64::from_bits(self.speed.load(Relaxed)))
    }

    /// Records the speed of a complete response: tokens, and time from its first byte to its last.
    pub fn record_speed(&self, tokens: u64, took: Duration, now: Instant) {
        // A response in one piece shows no speed.
        if tokens == 0 || took < Duration::from_millis(1) {
            return;
        }
        let sample = tokens as f64 / took.as_secs_f64();
        let before = self.speed(now).unwrap_or(sample);
        let after = before + (sample - before) * SPEED_WEIGHT;
        self.speed.store(after.to_bits(), Relaxed);
        self.speed_ms.store(self.ms(now), Relaxed);
    }

    /// A snapshot of the state.
    #[must_use]
    pub fn report(&self, now: Instant) -> HealthReport {
        let now_ms = self.ms(now);
        let rest = self.ejected_until.load(Relaxed).saturating_sub(now_ms);
        let ejection = self.ejection_reason().filter(|_| rest > 0);
        let latency = f64::from_bits(self.latency.load(Relaxed));
        HealthReport {
            breaker: self.breaker.state(now_ms),
            ejection: ejection.map(|ejection| (ejection, Duration::from_millis(rest))),
            in_flight: self.in_flight(),
            attempts: self.attempts.load(Relaxed),
            failures: self.failures.load(Relaxed),
            last_status: self.last_status.load(Relaxed),
            latency: (latency > 0.0).then(|| Duration::from_secs_f64(latency / 1e9)),
            speed: self.speed(now),
        }
    }
}

/// An attempt in flight. Dropped without [`Permit::record`], it records no outcome.
#[derive(Debug)]
pub struct Permit {
    health: Arc<Health>,
    is_probe: bool,
    /// Consecutive failures when its outcome was recorded.
    run_before: u32,
}

impl Permit {
    /// Records the outcome of the attempt, which may continue to stream.
    pub fn record(&mut self, outcome: &AttemptOutcome, now: Instant) {
        self.run_before = self.health.breaker.run();
        self.health.record(outcome, now);
        self.is_probe = false;
    }

    /// A response recorded as success has broken off: restores the failures counted before it.
    pub fn amend(&mut self, outcome: &AttemptOutcome, now: Instant) {
        self.health.breaker.set_run(self.run_before);
        self.health.record(outcome, now);
    }

    /// True if its outcome decides whether the breaker closes.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The state of the target.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Relaxed);
        if self.is_probe {
            self.health.breaker.release_probe();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Duration = Duration::ZERO;

    fn outcome(status: u16, retry_after: Option<Duration>, latency: Duration) -> AttemptOutcome {
        let fault = Fault::of_status(status, true);
        AttemptOutcome { status, fault, is_transport: false, retry_after, latency }
    }

    fn health() -> (Arc<Health>, Instant) {
        let epoch = Instant::now();
        (Arc::new(Health::new(BreakerRule::default(), epoch)), epoch)
    }

    #[test]
    fn ejection_time_by_status() {
        let seconds = Duration::from_secs;
        for (status, retry_after, expected_s) in [
            (200, None, 0),
            (400, Some(9), 0),
            (401, None, 30),
            (404, None, 30),
            (429, None, 0),
            (429, Some(7), 7),
            (503, Some(7), 7),
            (429, Some(3_600), 60),
        ] {
            let (health, epoch) = health();
            let now = epoch.after(seconds(1));
            let mut permit = health.begin(true, now);
            permit.record(&outcome(status, retry_after.map(seconds), NOBODY), now);
            let available = |at: u64| health.is_available(now.after(seconds(at)));
            assert_eq!(available(0), expected_s == 0, "{status}");
            assert!(expected_s == 0 || !available(expected_s - 1), "{status}");
            assert!(available(expected_s), "{status}");
        }
    }

    #[test]
    fn latency_rises_at_once_and_decays_slowly() {
        let (health, epoch) = health();
        let ms = Duration::from_millis;
        let load = |at: u64, latency: u64| {
            let now = epoch.after(ms(at));
            health.begin(true, now).record(&outcome(200, None, ms(latency)), now);
            health.load(now) / 1e6
        };
        assert!((load(1, 10) - 10.0).abs() < 0.1);
        assert!((load(2, 100) - 100.0).abs() < 0.1);
        let after = load(3, 10);
        assert!((90.0..100.0).contains(&after), "{after}");
        let now = epoch.after(Duration::from_secs(30));
        assert!(health.load(now) / 1e6 < 10.0, "it sinks while it is not asked");
        let _busy = health.begin(true, now);
        assert!((health.load(now) / 1e6) < 20.0);
    }

    #[test]
    fn dropped_attempt_records_no_outcome() {
        let (health, epoch) = health();
        let now = epoch.after(Duration::from_secs(1));
        drop(health.begin(true, now));
        let report = health.report(now);
        assert_eq!((report.in_flight, report.attempts, report.failures), (0, 1, 0));
        assert_eq!((report.latency, report.last_status), (None, 0));
    }

    #[test]
    fn speed_sample_expires() {
        let (health, epoch) = health();
        let now = epoch.after(Duration::from_secs(1));
        health.record_speed(5, Duration::ZERO, now);
        assert_eq!(health.speed(now), None);
        health.record_speed(50, Duration::from_secs(1), now);
        assert_eq!(health.speed(now), Some(50.0));
        health.record_speed(100, Duration::from_secs(1), now);
        assert_eq!(health.speed(now), Some(60.0));
        assert_eq!(health.speed(now.after(Duration::from_secs(301))), None);
    }
}
