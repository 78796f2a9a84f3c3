//! Retries of a failed attempt at the same target.
//!
//! Exponential backoff with full jitter, so that clients of a failing target do not retry together
//! (Brooker, "Exponential backoff and jitter", AWS architecture blog 2015). `retry-after` from a
//! provider is honored, within bounds.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::outcome::AttemptOutcome;
use crate::base::{Diagnostics, IdSource, member_path};

/// Most retries that a config may request; as documented by Portkey.
const ATTEMPTS_MAX: u32 = 5;

/// Default status codes that are retried: Portkey's, and 529, Anthropic's overload status.
const STATUSES: [u16; 6] = [429, 500, 502, 503, 504, 529];

/// Upper ends of the delays: 1 s, 2 s, 4 s, 8 s, 16 s, as in Portkey.
const STEP: Duration = Duration::from_secs(1);

/// Longest delay that a provider may request: Portkey's limit. Beyond it, the response is
/// delivered.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The retry policy of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// Attempts after the first.
    pub attempts: u32,
    statuses: Arc<[u16]>,
    /// True if delays requested by the provider are honored.
    honors_retry_after: bool,
}

impl Default for RetryRule {
    fn default() -> Self {
        Self { attempts: 0, statuses: STATUSES.into(), honors_retry_after: true }
    }
}

/// The decision after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Retry after this delay.
    After(Duration),
    /// The provider requests a longer delay than allowed.
    TooLong,
    /// All retries are used up.
    UsedUp,
    /// No retry.
    No,
}

impl RetryRule {
    /// The decision after `outcome` of attempt number `attempt`, from 1. With `has_others`, a
    /// requested delay that is longer than our own backoff is not allowed.
    pub(super) fn after(
        &self,
        outcome: &AttemptOutcome,
        attempt: u32,
        has_others: bool,
        rng: &mut IdSource,
    ) -> Retry {
        let is_listed = outcome.is_transport || self.statuses.contains(&outcome.status);
        if self.attempts == 0 || !is_listed {
            return Retry::No;
        }
        if attempt > self.attempts {
            return Retry::UsedUp;
        }
        let step = STEP * 2_u32.saturating_pow(attempt.saturating_sub(1).min(4));
        match outcome.retry_after.filter(|_| self.honors_retry_after) {
            Some(hint) if hint > WAIT_MAX || has_others && hint > step => Retry::TooLong,
            Some(hint) => Retry::After(hint),
            None => Retry::After(step.mul_f64(rng.unit())),
        }
    }
}

/// Retries of failed attempts at the same target.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Attempts after the first.
    #[schemars(range(min = 0, max = ATTEMPTS_MAX))]
    pub attempts: u32,
    /// Status codes that are retried. Default: 429, 500, 502, 503, 504 and 529. A connection
    /// failure is always retried; a timeout counts as 504.
    pub on_status_codes: Option<Vec<u16>>,
    /// If false, `retry-after` from the provider is ignored. Default: it is honored up to 60 s, or up to
    /// the next backoff delay if another target is available.
    pub use_retry_after_header: Option<bool>,
    /// Another name of `use_retry_after_header`.
    pub use_retry_after_headers: Option<bool>,
}

impl RetrySettings {
    /// The checked settings.
    pub(super) fn check(self, path: &str, diagnostics: &mut Diagnostics) -> RetryRule {
        let path = member_path(path, "on_status_codes");
        let statuses = self.on_status_codes.map(|it| check_statuses(it, &path, diagnostics));
        let statuses = statuses.map_or_else(|| STATUSES.into(), Arc::from);
        let honors_retry_after = self.use_retry_after_header.or(self.use_retry_after_headers);
        RetryRule {
            attempts: self.attempts,
            statuses,
            honors_retry_after: honors_retry_after.unwrap_or(true),
        }
    }
}

/// The statuses without duplicates. Reports invalid ones.
pub(super) fn check_statuses(
    mut statuses: Vec<u16>,
    path: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<u16> {
    for (index, status) in statuses.iter().enumerate() {
        if !(100..=599).contains(status) && !diagnostics.is_full() {
            let message = format!("expected a status from 100 to 599, got {status}");
            diagnostics.add(&format!("{path}[{index}]"), message, "");
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses.shrink_to_fit();
    statuses
}

/// How long a provider asks to wait, from the fields of its response. `field` looks one up.
///
/// `retry-after-ms` and `x-ms-retry-after-ms` in milliseconds, `retry-after` in seconds or as a date (RFC
/// 9110 section 10.2.3; `now_unix` by the wall clock), and OpenAI's `x-ratelimit-reset-requests` and `-tokens`
/// (`1s`, `6m0s`, `20ms`) where the matching `x-ratelimit-remaining-` is 0.
pub fn retry_hint<'a>(
    now_unix: Duration,
    field: impl Fn(&str) -> Option<&'a str>,
) -> Option<Duration> {
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Some(ms) = field(name).and_then(|text| text.trim().parse::<f64>().ok()) {
            return seconds(ms / 1_000.0);
        }
    }
    if let Some(text) = field("retry-after").map(str::trim) {
        return match text.parse::<f64>() {
            Ok(wait) => seconds(wait),
            Err(_) => {
                let date = httpdate::parse_http_date(text).ok()?;
                let at = date.duration_since(UNIX_EPOCH).ok()?;
                Some(at.saturating_sub(now_unix))
            }
        };
    }
    ["requests", "tokens"]
        .into_iter()
        .filter(|kind| {
            let remaining = field(&format!("x-ratelimit-remaining-{kind}"));
            remaining.is_some_and(|text| text.trim() == "0")
        })
        .filter_map(|kind| span(field(&format!("x-ratelimit-reset-{kind}"))?.trim()))
        .max()
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

/// Parses a Go duration: `1h2m3.5s`, `20ms`; or plain seconds.
fn span(text: &str) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let unit_end = behind.find(|it: char| it.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit_end)?;
        let scale = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            _ => return None,
        };
        total = total.checked_add(seconds(number.parse::<f64>().ok()? * scale)?)?;
        rest = behind;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Fault;

    fn outcome(status: u16, retry_after: Option<u64>) -> AttemptOutcome {
        AttemptOutcome {
            status,
            fault: Fault::of_status(status, false),
            is_transport: false,
            retry_after: retry_after.map(Duration::from_secs),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn retry_waits_by_status_and_hint() {
        let rule = RetryRule { attempts: 2, ..RetryRule::default() };
        let mut rng = IdSource::from_seed(1);
        for (status, hint, attempt, has_others, expected) in [
            (429, Some(7), 1, false, Retry::After(Duration::from_secs(7))),
            (429, Some(7), 1, true, Retry::TooLong),
            (429, Some(1), 1, true, Retry::After(Duration::from_secs(1))),
            (429, Some(61), 1, false, Retry::TooLong),
            (429, Some(1), 3, false, Retry::UsedUp),
            (400, Some(1), 3, false, Retry::No),
            (400, Some(1), 1, false, Retry::No),
            (200, None, 1, false, Retry::No),
        ] {
            let outcome = outcome(status, hint);
            assert_eq!(rule.after(&outcome, attempt, has_others, &mut rng), expected, "{status}");
        }
        let transport = AttemptOutcome { is_transport: true, ..outcome(502, None) };
        let only_429 = RetryRule { statuses: [429].into(), ..rule.clone() };
        assert!(matches!(only_429.after(&transport, 1, false, &mut rng), Retry::After(_)));
        assert_eq!(only_429.after(&outcome(502, None), 1, false, &mut rng), Retry::No);
        let deaf = RetryRule { honors_retry_after: false, ..rule };
        let Retry::After(wait) = deaf.after(&outcome(503, Some(50)), 1, false, &mut rng) else {
            panic!("no retry");
        };
        assert!(wait <= STEP);
    }

    #[test]
    fn backoff_uses_full_jitter() {
        let rule = RetryRule { attempts: 5, ..RetryRule::default() };
        let mut rng = IdSource::from_seed(2);
        for attempt in 1..=5 {
            let waits: Vec<f64> = (0..2_000)
                .map(|_| match rule.after(&outcome(500, None), attempt, false, &mut rng) {
                    Retry::After(wait) => wait.as_secs_f64(),
                    other => panic!("{other:?}"),
                })
                .collect();
            let upper = f64::from(1_u32 << (attempt - 1));
            let mean = waits.iter().sum::<f64>() / 2_000.0;
            assert!(waits.iter().all(|wait| *wait <= upper), "{attempt}");
            assert!((mean / upper - 0.5).abs() < 0.05, "{attempt}: {mean}");
        }
    }

    #[test]
    fn retry_hints_are_parsed() {
        for (fields, expected_ms) in [
            (&[("retry-after", "2")][..], Some(2_000)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after", "2"), ("retry-after-ms", "250")], Some(250)),
            (&[("x-ms-retry-after-ms", "30")], Some(30)),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(7_000)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")], Some(0)),
            (&[("retry-after", "1e400")], None),
            (&[("x-ratelimit-reset-requests", "1s")], None),
            (
                &[("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-remaining-requests", "0")],
                Some(1_000),
            ),
            (
                &[
                    ("x-ratelimit-reset-requests", "20ms"),
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-tokens", "1m0.5s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                ],
                Some(60_500),
            ),
            (&[("x-ratelimit-reset-tokens", "6x"), ("x-ratelimit-remaining-tokens", "0")], None),
            (&[], None),
        ] {
            let field = |name: &str| {
                fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
            };
            // Seven seconds before the first date above.
            let now = Duration::from_secs(784_111_770);
            assert_eq!(
                retry_hint(now, field),
                expected_ms.map(Duration::from_millis),
                "{fields:?}"
            );
        }
    }
}
