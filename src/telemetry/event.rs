//! The event that reports a finished exchange.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::base::RequestId;
use crate::llm::{PicoUsd, Usage};

/// How an exchange ended, and where the error came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestOutcome {
    /// The client received its response.
    #[default]
    Success,
    /// The request was invalid or not allowed.
    ClientError,
    /// The gateway failed.
    GatewayError,
    /// The provider failed.
    UpstreamError,
    /// The client disconnected.
    ClientLeft,
}

impl RequestOutcome {
    /// Label in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client",
            Self::GatewayError => "gateway",
            Self::UpstreamError => "upstream",
            Self::ClientLeft => "client_left",
        }
    }
}

/// Cache result of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheStatus {
    /// The cache was not used.
    #[default]
    Disabled,
    /// Exact hit.
    Hit,
    /// Exact miss.
    Miss,
    /// Semantic hit.
    SemanticHit,
    /// Semantic miss.
    SemanticMiss,
    /// The client bypassed the cache.
    Refresh,
}

impl CacheStatus {
    /// Value of the header `cache-status` and of the request log, in Portkey's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::SemanticHit => "SEMANTIC HIT",
            Self::SemanticMiss => "SEMANTIC MISS",
            Self::Refresh => "REFRESH",
        }
    }
}

/// Cost of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Computed from the catalog's prices.
    Known(PicoUsd),
    /// Reported by the vendor.
    Reported(PicoUsd),
    /// Unknown: the catalog has no price.
    Unknown,
}

impl Cost {
    /// The amount, if it is known.
    #[must_use]
    pub fn amount(self) -> Option<PicoUsd> {
        match self {
            Self::Known(amount) | Self::Reported(amount) => Some(amount),
            Self::Unknown => None,
        }
    }

    /// Its source, as written to the request log.
    #[must_use]
    pub fn source(self) -> Option<&'static str> {
        match self {
            Self::Known(_) => Some("catalogue"),
            Self::Reported(_) => Some("provider"),
            Self::Unknown => None,
        }
    }
}

/// Where a model name is known from, which decides whether it becomes a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelOrigin {
    /// The settings.
    Settings,
    /// The catalog.
    Catalog,
    /// The request only.
    Request,
}

/// As a number of dollars with all decimals, which a float would not keep; null if unknown.
impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dollars = self.amount().map(|amount| RawValue::from_string(amount.to_string()));
        dollars.transpose().map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// One attempt of a request, in the gateway's attempt log and in the event. It is serialized as a
/// member of `tried` in the request log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AttemptRecord {
    /// Path of the target, such as `config.targets[0]`; `None` without a route. Not set in an
    /// event.
    pub target: Option<Arc<str>>,
    /// `gen_ai.provider.name`: the provider, if one was selected.
    #[serde(rename = "provider")]
    pub provider_name: Option<Arc<str>>,
    /// `gen_ai.request.model`: the requested model.
    #[serde(rename = "model")]
    pub request_model: Option<String>,
    /// `http.response.status_code` of the provider, or of the gateway; 0: the attempt was canceled.
    #[serde(rename = "status")]
    pub response_status_code: u16,
    /// From the start of the attempt to its end, or to the first content of its response.
    #[serde(rename = "ms", serialize_with = "serialize_millis")]
    pub duration: Duration,
    /// The system's error if the call failed.
    #[serde(rename = "cause", skip_serializing_if = "Option::is_none")]
    pub error_cause: Option<Box<str>>,
    /// Estimated usage of a canceled attempt; none for others.
    #[serde(skip)]
    pub usage: Option<Box<Usage>>,
    /// Cost of that usage.
    #[serde(rename = "cost_usd", skip_serializing_if = "is_unpriced")]
    pub cost: Option<Cost>,
}

/// One finished exchange, reported once by the last pipeline stage.
///
/// A field with an attribute in OpenTelemetry's conventions has the attribute's name, without the
/// namespace and with underscores for dots.
#[derive(Clone, Debug, Default)]
pub struct RequestEvent {
    /// Request id.
    pub id: RequestId,
    /// Wall clock at receipt, since the Unix epoch.
    pub at_unix: Duration,
    /// Shard that served the request.
    pub shard: u16,
    /// Endpoint: an index into the endpoint names of the metrics.
    pub endpoint: u8,
    /// Name of the virtual key.
    pub key: Option<Arc<str>>,
    /// `gen_ai.provider.name`: the provider that was selected.
    pub provider_name: Option<Arc<str>>,
    /// `gen_ai.request.model`: as sent to the provider; client-controlled text.
    pub request_model: Option<String>,
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// `http.response.status_code`: sent to the client; 0: no response was sent.
    pub response_status_code: u16,
    /// How the exchange ended.
    pub outcome: RequestOutcome,
    /// `error.type`: the gateway's error code.
    pub error_type: Option<&'static str>,
    /// The system's error if a provider failed.
    pub error_cause: Option<Box<str>>,
    /// `gen_ai.request.stream`: true for an event stream.
    pub request_stream: bool,
    /// Cache result.
    pub cache_status: CacheStatus,
    /// Cosine similarity of the nearest stored question, if a semantic lookup found one.
    pub cache_similarity: Option<f32>,
    /// Token usage, if the endpoint has any: `gen_ai.usage.input_tokens` and so on.
    pub usage: Option<Usage>,
    /// Cost of the usage; none if nothing billable was requested.
    pub cost: Option<Cost>,
    /// Losses in translation, as in the header `warnings`.
    pub warnings: Option<Arc<str>>,
    /// From the first byte of the request head to the last byte of the response.
    pub latency: Duration,
    /// From the first byte of the request head to the first byte of the response.
    pub first_byte: Option<Duration>,
    /// Time spent waiting for the provider.
    pub upstream: Duration,
    /// `http.request.body.size`: body bytes received.
    pub request_body_size: u64,
    /// `http.response.size`: bytes sent, including heads and framing.
    pub response_size: u64,
    /// Calls to providers.
    pub calls: u32,
    /// Attempts of a route, in the order of their start.
    pub attempts: Vec<AttemptRecord>,
    /// Id of the original request, if this is a mirrored copy.
    pub mirror_of: Option<RequestId>,
    /// True if the last call reused a connection.
    pub reused_connection: bool,
    /// Labels of the key.
    pub metadata: Option<Arc<BTreeMap<String, String>>>,
    /// Trace id from the client.
    pub trace_id: Option<String>,
}

/// Longest client text kept while an event waits for an exporter: a body may be one long model
/// name, and a queue holds thousands of events.
const TEXT_BYTES_MAX: usize = 256;

impl RequestEvent {
    /// Memory of the event in bytes, including texts shared with the settings or the exchange.
    pub(super) fn size(&self) -> usize {
        let text = |it: &Option<String>| it.as_ref().map_or(0, String::capacity);
        let cause = |it: &Option<Box<str>>| it.as_ref().map_or(0, |it| it.len());
        let attempt = |it: &AttemptRecord| {
            text(&it.request_model)
                + cause(&it.error_cause)
                + it.usage.as_deref().map_or(0, size_of_val)
        };
        let members = self.metadata.iter().flat_map(|metadata| metadata.iter());
        size_of::<Self>()
            + text(&self.request_model)
            + text(&self.trace_id)
            + cause(&self.error_cause)
            + self.warnings.as_ref().map_or(0, |it| it.len())
            + self.attempts.capacity() * size_of::<AttemptRecord>()
            + self.attempts.iter().map(attempt).sum::<usize>()
            + members.map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }

    /// Truncates each client text to 256 bytes and releases the rest.
    pub(super) fn truncate_texts(&mut self) {
        let attempts = self.attempts.iter_mut().map(|it| &mut it.request_model);
        let texts = [&mut self.request_model, &mut self.trace_id].into_iter().chain(attempts);
        for text in texts.flatten() {
            if text.len() > TEXT_BYTES_MAX {
                text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
                text.shrink_to_fit();
            }
        }
    }
}

/// Milliseconds with three decimals.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn serialize_millis<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(millis(*duration))
}

fn is_unpriced(cost: &Option<Cost>) -> bool {
    cost.and_then(Cost::amount).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_plain_decimals() {
        for (pico, expected) in
            [(0, "0"), (1, "0.000000000001"), (12_500_000, "0.0000125"), (3_000_000_000_000, "3")]
        {
            let amount = Cost::Known(PicoUsd::new(pico));
            assert_eq!(serde_json::to_string(&amount).expect("JSON"), expected);
        }
    }
}
