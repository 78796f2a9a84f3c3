//! Stage `settle`: always the last, also after failure and departure. It completes the usage, works
//! out its cost, decides whose fault a failure was, and reports one event.
//!
//! The charge or refund of limits will stand here by later work.

use crate::gateway::context::{
    AttemptEntry, Endpoint, Exchange, GatewayError, NO_ENDPOINT, outcome_of_status,
};
use crate::gateway::worker::Snapshot;
use crate::llm::{
    Catalog, ModelCard, PicoUsd, PricingTerms, RateKind, Usage, cost, cost_of_units,
    estimate_tokens,
};
use crate::telemetry::{AttemptRecord, CacheStatus, Cost, ModelOrigin, RequestEvent};

/// Ends the exchange.
pub(crate) fn settle(exchange: &mut Exchange<'_>, failure: Option<&GatewayError>) {
    if exchange.is_metered() && exchange.record.metering.usage.is_none() && spent_tokens(exchange) {
        exchange.record.metering.usage = Some(estimate(exchange));
    }
    let is_broken = failure.is_some() || exchange.record.metering.stream_error;
    if let Some(usage) =
        exchange.record.metering.usage.filter(|_| exchange.record.client.stream && is_broken)
    {
        // What came after the last report, or instead of a last one, was worked for too.
        let output_tokens = usage.output_tokens.max(exchange.record.metering.content_events);
        exchange.record.metering.usage = Some(Usage { output_tokens, estimated: true, ..usage });
    }
    let cost = cost_of(exchange);
    let spec = failure.map(GatewayError::spec);
    let attempts = if exchange.context.attempts.has_targets() {
        let entries = exchange.context.attempts.take();
        entries.into_iter().filter_map(|entry| attempt_record(exchange, entry)).collect()
    } else {
        Vec::new()
    };
    let latency = exchange.record.started.elapsed();
    let (record, snapshot) = (&mut exchange.record, &exchange.snapshot);
    let shard = exchange.worker.shard();
    let event = RequestEvent {
        id: record.id,
        at_unix: record.at_unix,
        shard,
        endpoint: record.endpoint.map_or(NO_ENDPOINT, Endpoint::index),
        key: record.key.take(),
        provider_name: record.routing.provider.take(),
        request_model: record.routing.model.take(),
        route: record.route.take(),
        response_status_code: record.client.status,
        outcome: match spec {
            Some(spec) => spec.outcome,
            None => outcome_of_status(record.client.status, record.metering.stream_error),
        },
        error_type: spec.map(|spec| spec.code),
        error_cause: failure.and_then(GatewayError::cause),
        request_stream: record.client.stream,
        cache_status: record.cache.status,
        cache_similarity: record.cache.similarity,
        usage: record.metering.usage,
        cost,
        warnings: record.routing.warnings.take(),
        latency,
        first_byte: record.client.first_byte,
        upstream: record.routing.upstream_time,
        request_body_size: record.client.request_bytes,
        response_size: record.client.response_bytes,
        calls: record.routing.calls,
        attempts,
        mirror_of: None,
        reused_connection: record.routing.reused_connection,
        metadata: record.metadata.take(),
        trace_id: record.trace_id.take(),
    };
    let origin = |provider: Option<&str>, model: &str| origin_of_model(snapshot, provider, model);
    exchange.worker.recorder().finish(event, origin);
}

/// Who knows a model that was requested.
pub(crate) fn origin_of_model(
    snapshot: &Snapshot,
    provider: Option<&str>,
    model: &str,
) -> ModelOrigin {
    if snapshot.names_model(model) {
        return ModelOrigin::Settings;
    }
    // A name that only stands for another is one of any number.
    let find =
        |provider: &str| snapshot.model_info.find(&snapshot.settings.providers, provider, model);
    let has_card = || provider.and_then(find).is_some_and(|card| card.name() == model);
    if Catalog::has_name(model) || has_card() { ModelOrigin::Catalog } else { ModelOrigin::Request }
}

/// What the call cost; none where nothing was requested that costs anything, or it was refused.
fn cost_of(exchange: &Exchange<'_>) -> Option<Cost> {
    let record = &exchange.record;
    if matches!(record.cache.status, CacheStatus::Hit | CacheStatus::SemanticHit) {
        return Some(Cost::Known(PicoUsd::ZERO));
    }
    let terms = PricingTerms { tier: record.metering.tier, at_unix_s: record.at_unix.as_secs() };
    let target = (record.routing.provider.as_deref()?, record.routing.model.as_deref());
    let usage = record.metering.usage?;
    let usage = Usage { in_us: usage.in_us || record.metering.wants_us_inference, ..usage };
    Some(cost_at(&exchange.snapshot, target, usage, terms))
}

/// What a usage cost at a provider.
pub(crate) fn cost_at(
    snapshot: &Snapshot,
    (provider, model): (&str, Option<&str>),
    usage: Usage,
    terms: PricingTerms,
) -> Cost {
    if snapshot.upstream(provider).is_some_and(|it| it.pool.is_none()) {
        // The echo sends no bill.
        return Cost::Known(PicoUsd::ZERO);
    }
    let card =
        snapshot.model_info.find(&snapshot.settings.providers, provider, model.unwrap_or_default());
    let price = |card: &ModelCard| {
        let searches = cost_of_units(RateKind::PerSearch, usage.web_searches, card, terms)?;
        cost(&usage, card, terms)?.checked_add(searches)
    };
    let known = || card.and_then(|card| price(&card));
    match usage.reported_cost {
        Some(reported) if reported > PicoUsd::ZERO => Cost::Reported(reported),
        // Some report nothing as 0, and some models are free.
        Some(zero) => known().map_or(Cost::Reported(zero), Cost::Known),
        None => known().map_or(Cost::Unknown, Cost::Known),
    }
}

/// An attempt of a route as the event reports it. One that was cut off after it had been sent is billed by
/// its vendor for the request at least.
fn attempt_record(exchange: &Exchange<'_>, entry: AttemptEntry) -> Option<AttemptRecord> {
    let AttemptEntry { record: mut attempt, is_spent, stats, .. } = entry;
    attempt.target.as_ref()?;
    let record = &exchange.record;
    let estimate = || {
        let input_tokens = tokens_in(record.client.request_bytes);
        Box::new(Usage { input_tokens, estimated: true, ..Usage::default() })
    };
    let is_estimated = is_spent && exchange.is_metered();
    attempt.usage = stats.used.or_else(|| is_estimated.then(estimate));
    let terms = PricingTerms { at_unix_s: record.at_unix.as_secs(), ..PricingTerms::default() };
    let used = attempt.usage.as_deref().zip(attempt.provider_name.as_deref());
    attempt.cost = used.map(|(usage, provider)| {
        let target = (provider, attempt.request_model.as_deref());
        cost_at(&exchange.snapshot, target, *usage, terms)
    });
    Some(attempt)
}

/// True if the provider may have worked for this request: it was sent, and not refused.
fn spent_tokens(exchange: &Exchange<'_>) -> bool {
    let record = &exchange.record;
    record.routing.sent_upstream
        && (record.client.status == 0 || (200..300).contains(&record.client.status))
}

/// Our own count where the provider's is missing, flagged as such: the request's bytes for the
/// input; for the output the content events of a stream (most providers send one token in each)
/// or the response's bytes.
fn estimate(exchange: &Exchange<'_>) -> Usage {
    let record = &exchange.record;
    let output = if record.client.stream {
        record.metering.content_events
    } else {
        tokens_in(record.client.response_bytes)
    };
    Usage {
        input_tokens: tokens_in(record.client.request_bytes),
        output_tokens: output,
        estimated: true,
        ..Usage::default()
    }
}

fn tokens_in(bytes: u64) -> u64 {
    estimate_tokens(usize::try_from(bytes).unwrap_or(usize::MAX))
}
