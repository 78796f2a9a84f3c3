//! What is reported of one exchange that has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::base::RequestId;
use crate::llm::{PicoUsd, Usage};

/// How an exchange ended, and whose fault it was if it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestOutcome {
    /// The client has its response.
    #[default]
    Success,
    /// The request could not be served as it was.
    ClientError,
    /// The gateway could not serve it.
    GatewayError,
    /// The provider could not.
    UpstreamError,
    /// The client did not wait for the end.
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

/// What the cache had to do with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheStatus {
    /// Nothing.
    #[default]
    Disabled,
    /// It answered.
    Hit,
    /// It had no response.
    Miss,
    /// It answered a question of the same meaning.
    SemanticHit,
    /// It had no response, and none to a question of the same meaning.
    SemanticMiss,
    /// The client bypassed it.
    Refresh,
}

impl CacheStatus {
    /// As the header `cache-status` and the request log spell it, which is Portkey's way.
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

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// So much, by the prices of the catalogue.
    Known(PicoUsd),
    /// So much, as its vendor reports.
    Reported(PicoUsd),
    /// The price is not known.
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

    /// Its source, as the request log has it.
    #[must_use]
    pub fn source(self) -> Option<&'static str> {
        match self {
            Self::Known(_) => Some("catalogue"),
            Self::Reported(_) => Some("provider"),
            Self::Unknown => None,
        }
    }
}

/// Who knows the name of a model, which decides whether it becomes a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelOrigin {
    /// The settings name it.
    Settings,
    /// The catalogue does.
    Catalog,
    /// Only the request does.
    Request,
}

/// As a number of dollars with all its decimals, which a float would not keep; null: not known.
impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dollars = self.amount().map(|amount| RawValue::from_string(amount.to_string()));
        dollars.transpose().map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// One attempt of a request, in the gateway's log of attempts and in the event. Serialized, it is a
/// member of `tried` in the request log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AttemptRecord {
    /// Its target, as `config.targets[0]`; none without a route. An event has none of these.
    pub target: Option<Arc<str>>,
    /// `gen_ai.provider.name`: the provider, if it came to one.
    #[serde(rename = "provider")]
    pub provider_name: Option<Arc<str>>,
    /// `gen_ai.request.model`: the model that was requested.
    #[serde(rename = "model")]
    pub request_model: Option<String>,
    /// `http.response.status_code` of the provider, or of the gateway; 0: it was cut off.
    #[serde(rename = "status")]
    pub response_status_code: u16,
    /// From its beginning to its end, or to the first content of its response.
    #[serde(rename = "ms", serialize_with = "serialize_millis")]
    pub duration: Duration,
    /// What the system reported where the call failed.
    #[serde(rename = "cause", skip_serializing_if = "Option::is_none")]
    pub error_cause: Option<Box<str>>,
    /// What one that was cut off had used, by our estimate; none for the others.
    #[serde(skip)]
    pub usage: Option<Box<Usage>>,
    /// What that cost.
    #[serde(rename = "cost_usd", skip_serializing_if = "is_unpriced")]
    pub cost: Option<Cost>,
}

/// One finished exchange, reported once by the last stage of the pipeline.
///
/// A field that OpenTelemetry's conventions have an attribute for bears its name: without the
/// namespace, the dots as underscores.
#[derive(Clone, Debug, Default)]
pub struct RequestEvent {
    /// Name of the request.
    pub id: RequestId,
    /// Wall clock at receipt, since the Unix epoch.
    pub at_unix: Duration,
    /// Shard that served it.
    pub shard: u16,
    /// Endpoint: an index into the names that the metrics were made with.
    pub endpoint: u8,
    /// Name of the virtual key.
    pub key: Option<Arc<str>>,
    /// `gen_ai.provider.name`: the provider that was selected.
    pub provider_name: Option<Arc<str>>,
    /// `gen_ai.request.model`: as sent to the provider; text of the client.
    pub request_model: Option<String>,
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// `http.response.status_code`: sent to the client; 0: none was sent.
    pub response_status_code: u16,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// `error.type`: the gateway's error code.
    pub error_type: Option<&'static str>,
    /// What the system reported where a provider failed.
    pub error_cause: Option<Box<str>>,
    /// `gen_ai.request.stream`: true for an event stream.
    pub request_stream: bool,
    /// What the cache had to do with it.
    pub cache_status: CacheStatus,
    /// Cosine of the nearest stored question, where one was looked for and there is one.
    pub cache_similarity: Option<f32>,
    /// Tokens, if the endpoint has any: `gen_ai.usage.input_tokens` and so on.
    pub usage: Option<Usage>,
    /// What they cost, if anything was requested that does.
    pub cost: Option<Cost>,
    /// What was lost in translation, in the words of the header `warnings`.
    pub warnings: Option<Arc<str>>,
    /// From the first byte of the head to the last of the response.
    pub latency: Duration,
    /// From the first byte of the head to the first of the response.
    pub first_byte: Option<Duration>,
    /// Time spent waiting for the provider.
    pub upstream: Duration,
    /// `http.request.body.size`: body bytes received.
    pub request_body_size: u64,
    /// `http.response.size`: bytes sent, heads and framing included.
    pub response_size: u64,
    /// Calls made to providers.
    pub calls: u32,
    /// The attempts of a route, in the order of their beginning.
    pub attempts: Vec<AttemptRecord>,
    /// The request of which this is a copy.
    pub mirror_of: Option<RequestId>,
    /// True if the last call went over a connection that had served before.
    pub reused_connection: bool,
    /// Labels of the key.
    pub metadata: Option<Arc<BTreeMap<String, String>>>,
    /// Trace id of the client.
    pub trace_id: Option<String>,
}

/// Longest client text that waits for an exporter: a body may be one long model name, and a queue
/// holds thousands of events.
const TEXT_BYTES_MAX: usize = 256;

impl RequestEvent {
    /// Bytes of memory that it holds, with those of texts that it shares with settings or exchange.
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

    /// Holds each text of the client to 256 bytes, and gives the rest of its memory back.
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
