//! Formats an event as one line of JSON. The recorder bounds client text.

use std::time::Duration;

use serde::Serialize;

use super::super::event::{AttemptRecord, Cost, RequestEvent, millis};

#[derive(Serialize)]
struct LogLine<'e> {
    time: String,
    id: String,
    shard: u16,
    endpoint: &'static str,
    key: Option<&'e str>,
    provider: Option<&'e str>,
    model: Option<&'e str>,
    route: Option<&'e str>,
    status: u16,
    outcome: &'static str,
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'e str>,
    stream: bool,
    cache: &'static str,
    cache_similarity: Option<f32>,
    latency_ms: f64,
    first_byte_ms: Option<f64>,
    upstream_ms: f64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    usage_estimated: Option<bool>,
    cost_usd: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_source: Option<&'static str>,
    warnings: Option<&'e str>,
    request_bytes: u64,
    answer_bytes: u64,
    attempts: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tried: &'e [AttemptRecord],
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<String>,
    reused_connection: bool,
    metadata: Option<&'e std::collections::BTreeMap<String, String>>,
    trace_id: Option<&'e str>,
}

/// Appends the line of `event`, including the line feed; `endpoint` is its endpoint's name.
pub(super) fn write_line(
    event: &RequestEvent,
    endpoint: &'static str,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let usage = event.usage;
    let line = LogLine {
        time: rfc3339(event.at_unix),
        id: event.id.to_string(),
        shard: event.shard,
        endpoint,
        key: event.key.as_deref(),
        provider: event.provider_name.as_deref(),
        model: event.request_model.as_deref(),
        route: event.route.as_deref(),
        status: event.response_status_code,
        outcome: event.outcome.name(),
        code: event.error_type,
        cause: event.error_cause.as_deref(),
        stream: event.request_stream,
        cache: event.cache_status.name(),
        cache_similarity: event.cache_similarity,
        latency_ms: millis(event.latency),
        first_byte_ms: event.first_byte.map(millis),
        upstream_ms: millis(event.upstream),
        input_tokens: usage.map(|it| it.input_tokens),
        output_tokens: usage.map(|it| it.output_tokens),
        cached_tokens: usage.map(|it| it.cached_tokens),
        reasoning_tokens: usage.map(|it| it.reasoning_tokens),
        cache_write_tokens: usage.map(|it| it.cache_write_tokens + it.cache_write_1h_tokens),
        usage_estimated: usage.map(|it| it.estimated),
        cost_usd: event.cost,
        cost_source: event.cost.and_then(Cost::source),
        warnings: event.warnings.as_deref(),
        request_bytes: event.request_body_size,
        answer_bytes: event.response_size,
        attempts: event.calls,
        tried: &event.attempts,
        copy_of: event.mirror_of.map(|id| id.to_string()),
        reused_connection: event.reused_connection,
        metadata: event.metadata.as_deref(),
        trace_id: event.trace_id.as_deref(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.push(b'\n');
    Ok(())
}

/// UTC with milliseconds, such as `2026-11-21T05:13:00.000Z`.
fn rfc3339(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day for days since 1970-01-01, not negative: `civil_from_days` from Howard
/// Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_utc_with_milliseconds() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_795_243_278, "2026-11-21T06:41:18.000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), expected);
        }
    }
}
