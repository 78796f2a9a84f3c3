//! Generates `docs/log-fields.md`: the fields of a request log line and their OpenTelemetry names.
//!
//! The tests below check that the table is complete, and compare the page with the committed one;
//! they rewrite it if `RINGGATE_BLESS` is 1.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::super::event::{AttemptRecord, CacheStatus, Cost, RequestEvent, RequestOutcome};
use super::line::write_line;
use crate::base::{IdSource, assert_page_is_current};
use crate::llm::{PicoUsd, Usage};

/// One member of a line.
struct LogField {
    name: &'static str,
    /// The event field with its value.
    source: &'static str,
    /// OpenTelemetry's attribute, if there is one.
    attribute: Option<&'static str>,
    meaning: &'static str,
}

const fn field(name: &'static str, source: &'static str, meaning: &'static str) -> LogField {
    LogField { name, source, attribute: None, meaning }
}

const fn otel(
    name: &'static str,
    source: &'static str,
    attribute: &'static str,
    meaning: &'static str,
) -> LogField {
    LogField { name, source, attribute: Some(attribute), meaning }
}

/// The members of a line, in order.
#[rustfmt::skip]
const LINE_FIELDS: &[LogField] = &[
    field("time", "at_unix", "When the request was received: UTC, with milliseconds."),
    field("id", "id", "Id of the request, as in the `x-ringgate-request-id` response header."),
    field("shard", "shard", "Number of the thread that served it."),
    field("endpoint", "endpoint", "Endpoint, such as `chat_completions`. `none`: the path is none of the gateway's. `mirror`: a mirrored request."),
    field("key", "key", "Name of the virtual key."),
    otel("provider", "provider_name", "gen_ai.provider.name", "Name of the provider, as in the settings."),
    otel("model", "request_model", "gen_ai.request.model", "Model that was requested from the provider, cut after 256 bytes."),
    field("route", "route", "Name of the route."),
    otel("status", "response_status_code", "http.response.status_code", "Status that the client received. 0: none, the client left before."),
    field("outcome", "outcome", "`success`, or the side at fault: `client`, `gateway`, `upstream`; `client_left`: the client closed the connection."),
    otel("code", "error_type", "error.type", "The gateway's error code."),
    field("cause", "error_cause", "What the system reported where a provider could not be reached or broke off, such as `Connection refused (os error 111)`. Clients are not shown it. Absent otherwise."),
    otel("stream", "request_stream", "gen_ai.request.stream", "True for an event stream."),
    field("cache", "cache_status", "As in the `x-ringgate-cache-status` response header."),
    field("cache_similarity", "cache_similarity", "Cosine of the nearest stored question, if the semantic cache was looked up and has one."),
    field("latency_ms", "latency", "From the first byte of the request to the last byte of the response."),
    field("first_byte_ms", "first_byte", "From the first byte of the request to the first byte of the response."),
    field("upstream_ms", "upstream", "Part of `latency_ms` spent waiting for the provider."),
    otel("input_tokens", "usage", "gen_ai.usage.input_tokens", "Tokens of the input, cached ones included."),
    otel("output_tokens", "usage", "gen_ai.usage.output_tokens", "Tokens of the output, reasoning included."),
    otel("cached_tokens", "usage", "gen_ai.usage.cache_read.input_tokens", "Part of `input_tokens` read from the provider's cache."),
    otel("reasoning_tokens", "usage", "gen_ai.usage.reasoning.output_tokens", "Part of `output_tokens` spent on reasoning."),
    otel("cache_write_tokens", "usage", "gen_ai.usage.cache_creation.input_tokens", "Part of `input_tokens` written to the provider's cache."),
    field("usage_estimated", "usage", "True if the provider reported no tokens, or implausible ones: the counts are estimates."),
    field("cost_usd", "cost", "Cost in US dollars, with all decimals. `null`: no price is known."),
    field("cost_source", "cost", "`catalogue`: computed from prices. `provider`: reported by the provider. Absent without a cost."),
    field("warnings", "warnings", "What translation changed or dropped, as in the `x-ringgate-warnings` response header."),
    otel("request_bytes", "request_body_size", "http.request.body.size", "Bytes of the request body."),
    otel("answer_bytes", "response_size", "http.response.size", "Bytes sent to the client, head and framing included."),
    field("attempts", "calls", "Calls to providers."),
    field("tried", "attempts", "Attempts of a route, in the order of their start; see below. Absent without a route."),
    field("copy_of", "mirror_of", "For a mirrored request: the id of the request that it copies."),
    field("reused_connection", "reused_connection", "True if the last call used a connection from the pool."),
    field("metadata", "metadata", "Metadata of the request and its key."),
    field("trace_id", "trace_id", "Trace id that the client sent, cut after 256 bytes."),
];

/// The members of an attempt, in order.
#[rustfmt::skip]
const ATTEMPT_FIELDS: &[LogField] = &[
    field("target", "target", "Target, such as `config.targets[0]`."),
    otel("provider", "provider_name", "gen_ai.provider.name", "Name of the provider."),
    otel("model", "request_model", "gen_ai.request.model", "Model that was requested from the provider."),
    otel("status", "response_status_code", "http.response.status_code", "Status of the provider, or of the gateway if the call failed. 0: the attempt was cut off."),
    field("ms", "duration", "From its start to its end, or to the first content of a stream."),
    field("cause", "error_cause", "What the system reported where the call failed. Absent otherwise."),
    field("cost_usd", "cost", "Cost in US dollars, if the response was not delivered and the attempt may have cost something. Absent otherwise."),
];

const INTRODUCTION: &str = "\
# Fields of the request log

With `log.requests` set (see [settings.md](settings.md)), Ringgate writes one JSON object per request, on a line of
its own, after the last byte of the response. A line holds no prompt, no response and no credential. A member without
a value is `null`. Durations are in milliseconds.

The third column is the attribute of OpenTelemetry's semantic conventions with the same meaning.

Writing never delays a request. Events wait in memory, up to 4 MiB per shard and 16 MiB for the log; events beyond
that are dropped and counted in `ringgate_events_dropped_total`. Lines that cannot be written, to a full disk for example, are
lost and counted in `ringgate_log_write_errors_total`. After rotating the file, send SIGHUP: Ringgate opens it again.

This page is made from the source; `RINGGATE_BLESS=1 cargo test reference` rewrites it.
";

fn page() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (title, fields) in [("A line", LINE_FIELDS), ("A member of `tried`", ATTEMPT_FIELDS)] {
        let _ = write!(out, "\n## {title}\n\n| name | meaning | OpenTelemetry |\n");
        out.push_str("| --- | --- | --- |\n");
        for LogField { name, attribute, meaning, .. } in fields {
            let attribute = attribute.map(|it| format!("`{it}`")).unwrap_or_default();
            let _ = writeln!(out, "| `{name}` | {meaning} | {attribute} |");
        }
    }
    out
}

/// An event whose line has every member.
fn full_event() -> RequestEvent {
    let mut ids = IdSource::from_seed(1);
    let cost = Some(Cost::Known(PicoUsd::new(1)));
    RequestEvent {
        id: ids.next_id(),
        outcome: RequestOutcome::UpstreamError,
        cache_status: CacheStatus::SemanticMiss,
        usage: Some(Usage::default()),
        cost,
        error_cause: Some("Connection refused".into()),
        attempts: vec![AttemptRecord {
            target: Some(Arc::from("config.targets[0]")),
            duration: Duration::from_micros(1_500),
            cost,
            error_cause: Some("Connection refused".into()),
            ..AttemptRecord::default()
        }],
        mirror_of: Some(ids.next_id()),
        metadata: Some(Arc::new(BTreeMap::from([("team".to_owned(), "a".to_owned())]))),
        ..RequestEvent::default()
    }
}

/// Member names of the outermost object, in order.
fn member_names(json: &str) -> Vec<String> {
    let (mut depth, mut names) = (0, Vec::new());
    let mut texts = json.split('"');
    // Alternates between text outside and inside of strings; the samples contain no escapes.
    while let (Some(outside), text) = (texts.next(), texts.next()) {
        let opened = outside.matches(['{', '[']).count();
        depth = depth + opened - outside.matches(['}', ']']).count();
        let is_name = depth == 1 && !outside.ends_with(':');
        names.extend(text.filter(|_| is_name).map(str::to_owned));
    }
    names
}

#[test]
fn log_reference_page_is_current() {
    assert_page_is_current("log-fields.md", &page(), "reference");
}

#[test]
fn table_lists_every_line_member() {
    let event = full_event();
    let mut line = Vec::new();
    write_line(&event, "chat_completions", &mut line).expect("JSON");
    let line = String::from_utf8(line).expect("UTF-8");
    let attempt = serde_json::to_string(&event.attempts[0]).expect("JSON");
    for (json, fields) in [(line.trim_end(), LINE_FIELDS), (attempt.as_str(), ATTEMPT_FIELDS)] {
        let documented: Vec<&str> = fields.iter().map(|field| field.name).collect();
        assert_eq!(member_names(json), documented, "{json}");
    }
}

#[test]
fn table_lists_every_event_field() {
    let attempt = AttemptRecord::default();
    for (printed, fields, internal) in [
        (format!("{:#?}", RequestEvent::default()), LINE_FIELDS, None),
        // Its tokens are part of the metrics' token kinds only.
        (format!("{attempt:#?}"), ATTEMPT_FIELDS, Some("usage")),
    ] {
        let names = printed.lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("    ")?.split_once(':')?;
            (!name.starts_with(' ')).then_some(name)
        });
        for name in names.filter(|name| Some(*name) != internal) {
            assert!(fields.iter().any(|field| field.source == name), "{name}");
        }
    }
}

#[test]
fn field_names_match_otel_attributes() {
    for LogField { source, attribute, .. } in LINE_FIELDS.iter().chain(ATTEMPT_FIELDS) {
        let Some(attribute) = attribute else { continue };
        // Token counts are fields of the usage, which other parts share.
        let expected = match attribute.strip_prefix("gen_ai.usage.") {
            Some(_) => "usage".to_owned(),
            None if attribute.starts_with("error.") => attribute.replace('.', "_"),
            None => attribute.split_once('.').expect("a namespace").1.replace('.', "_"),
        };
        assert_eq!(*source, expected, "{attribute}");
    }
}
