//! `POST /v1/feedback`: what a client thinks of an answer, in Portkey's shape.
//!
//! A negative value on an answer that was found by meaning evicts that answer and keeps the two
//! questions from matching again. Everything else is ignored.

use serde::Deserialize;
use serde_json::json;

use crate::gateway::context::{Body, Exchange, GatewayError, Request};
use crate::gateway::downstream::local::LocalResponse;
use crate::telemetry::Counter;

/// A verdict; unknown members are Portkey's to add.
#[derive(Deserialize)]
struct Feedback {
    /// The `trace-id` field of the response.
    trace_id: String,
    /// -10 to 10.
    value: i64,
    /// 0 to 1.
    #[serde(default = "full_weight")]
    weight: f64,
}

fn full_weight() -> f64 {
    1.0
}

/// Takes a verdict in.
pub(crate) fn apply(
    exchange: &Exchange<'_>,
    request: &Request,
) -> Result<LocalResponse, GatewayError> {
    let feedback = read(request)?;
    let cache = exchange.worker.cache();
    let mut evicted = 0;
    if feedback.value < 0 && feedback.weight > 0.0 {
        for served in cache.take_served(exchange.record.key.as_deref(), &feedback.trace_id) {
            cache.block_pair(served.question, served.entry);
            cache.remove(&served.entry, exchange.record.at_unix);
            exchange.worker.recorder().count(Counter::CacheRejections);
            evicted += 1;
        }
    }
    let body = json!({
        "status": "success",
        "message": "Feedback successfully saved",
        "feedback_ids": [exchange.record.id.to_string()],
        "evicted": evicted,
    });
    Ok(LocalResponse::json(200, body.to_string().into_bytes()))
}

fn read(request: &Request) -> Result<Feedback, GatewayError> {
    let Body::Json { bytes, .. } = &request.body else {
        return Err(GatewayError::Invalid("expected a JSON body".into()));
    };
    let feedback: Feedback = serde_json::from_slice(bytes).map_err(|error| {
        // The message names members and types, and repeats no text.
        let what = if error.is_data() {
            "expected `trace_id` (text) and `value` (whole number)"
        } else {
            "expected JSON"
        };
        GatewayError::Invalid(what.into())
    })?;
    let is_in_range =
        (-10..=10).contains(&feedback.value) && (0.0..=1.0).contains(&feedback.weight);
    if !is_in_range {
        return Err(GatewayError::Invalid(
            "expected a `value` of -10 to 10 and a `weight` of 0 to 1".into(),
        ));
    }
    if feedback.trace_id.is_empty() {
        return Err(GatewayError::Invalid("expected a `trace_id`, got an empty text".into()));
    }
    Ok(feedback)
}
