//! What is recorded of a request on its way, for its event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::fields::ClientFormat;
use crate::base::{Instant, RequestId};
use crate::llm::{Tier, Usage};
use crate::telemetry::CacheStatus;

/// What is recorded of one request: its client, its endpoint, and what each stage adds.
pub(crate) struct RequestRecord {
    pub id: RequestId,
    /// Wall clock at receipt, for labels.
    pub at_unix: Duration,
    pub started: Instant,
    pub endpoint: Option<Endpoint>,
    pub client_format: ClientFormat,
    pub key: Option<Arc<str>>,
    pub metadata: Option<Arc<BTreeMap<String, String>>>,
    pub route: Option<Arc<str>>,
    pub trace_id: Option<String>,
    pub client: ClientRecord,
    pub routing: RoutingRecord,
    pub metering: MeteringRecord,
    pub cache: CacheRecord,
}

/// The client's side: the bytes in and out, and what its connection is good for.
#[derive(Default)]
pub(crate) struct ClientRecord {
    /// Of the response; 0 before its head is written.
    pub status: u16,
    pub stream: bool,
    /// The stream goes to the client as one JSON array.
    pub as_array: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub first_byte: Option<Duration>,
    /// True once the head of a response has gone out: no other head may follow.
    pub has_begun: bool,
    /// The number of the next event, where the events of a stream are numbered and it failed.
    pub next_event: u64,
    /// The events that end a stream which failed, where its writer knows them.
    pub last_events: Vec<u8>,
    /// True while the request's body has not been read to its end, so that what follows on the
    /// connection is not the next request.
    pub body_unread: bool,
    /// True if the connection cannot serve another request.
    pub close: bool,
}

impl ClientRecord {
    /// Bytes of the response go out, so long after the request began.
    pub(crate) fn add_sent(&mut self, bytes: usize, since_start: impl FnOnce() -> Duration) {
        self.response_bytes += bytes as u64;
        self.first_byte.get_or_insert_with(since_start);
    }
}

/// Who answered, and after how many attempts.
pub(crate) struct RoutingRecord {
    pub provider: Option<Arc<str>>,
    pub model: Option<String>,
    /// The target that answered, as `config.targets[0]`.
    pub target: Option<Arc<str>>,
    /// Attempts that called a provider.
    pub calls: u32,
    /// Retries at the last target of a plan; none where its provider wants too long a wait.
    pub retries: Option<u32>,
    /// What was lost in translation, as the header has it.
    pub warnings: Option<Arc<str>>,
    pub reused_connection: bool,
    /// True once the whole request has gone to a provider: tokens may have been spent.
    pub sent_upstream: bool,
    /// Time spent waiting for the provider.
    pub upstream_time: Duration,
}

impl Default for RoutingRecord {
    fn default() -> Self {
        Self {
            provider: None,
            model: None,
            target: None,
            calls: 0,
            retries: Some(0),
            warnings: None,
            reused_connection: false,
            sent_upstream: false,
            upstream_time: Duration::ZERO,
        }
    }
}

/// What was used, as reported in the response.
#[derive(Default)]
pub(crate) struct MeteringRecord {
    pub usage: Option<Usage>,
    /// The tier that the vendor reports.
    pub tier: Tier,
    /// The request wants Anthropic's inference in the United States only.
    pub wants_us_inference: bool,
    /// Content events of a stream: the estimate of its tokens where the provider reports none.
    pub content_events: u64,
    /// True if the provider reported an error inside its stream.
    pub stream_error: bool,
}

/// What the cache did.
#[derive(Default)]
pub(crate) struct CacheRecord {
    pub status: CacheStatus,
    /// Cosine of the nearest stored question.
    pub similarity: Option<f32>,
}
