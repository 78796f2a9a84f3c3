//! `GET /targets`: the state of the targets of all routes.

use axum::Json;
use axum::extract::State as Extract;

use super::state::AdminState;
use crate::routing::{BreakerState, TargetReport};

/// One target.
#[derive(serde::Serialize)]
pub(super) struct TargetStatus {
    provider: String,
    /// `None`: the request names it.
    model: Option<String>,
    /// True if it comes from a config in a request header.
    inline: bool,
    /// `closed`, `open` or `half_open`.
    breaker: &'static str,
    /// Reason of the ejection, if it is ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    benched: Option<&'static str>,
    /// Remaining time of the ejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    benched_ms: Option<u64>,
    in_flight: u32,
    attempts: u64,
    /// Attempts that failed by the target's fault.
    failures: u64,
    /// Outcome of the last attempt, if any.
    last_status: Option<u16>,
    /// Average time to the first byte; a slower sample takes effect at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_second: Option<f64>,
}

/// All targets.
#[derive(serde::Serialize)]
pub(super) struct TargetList {
    targets: Vec<TargetStatus>,
}

/// All targets, those from the settings first.
pub(super) async fn list(Extract(state): Extract<AdminState>) -> Json<TargetList> {
    let targets = state.services.target_reports().into_iter().map(TargetStatus::of).collect();
    Json(TargetList { targets })
}

impl TargetStatus {
    fn of(report: TargetReport) -> Self {
        let health = report.health;
        let tenths = |number: f64| (number * 10.0).round() / 10.0;
        Self {
            provider: report.provider,
            model: report.model,
            inline: report.is_inline,
            breaker: match health.breaker {
                BreakerState::Closed => "closed",
                BreakerState::Open => "open",
                BreakerState::HalfOpen => "half_open",
            },
            benched: health.ejection.map(|(why, _)| why.name()),
            benched_ms: health.ejection.map(|(_, rest)| millis(rest)),
            in_flight: health.in_flight,
            attempts: health.attempts,
            failures: health.failures,
            last_status: Some(health.last_status).filter(|status| *status > 0),
            latency_ms: health.latency.map(|it| tenths(it.as_secs_f64() * 1e3)),
            tokens_per_second: health.speed.map(tenths),
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
