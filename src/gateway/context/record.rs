//! What is recorded of a request on its way, for its event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::fields::ClientFormat;
use crate::base::{Instant, RequestId};
use crate::llm::{Tier, Usage};
use crate::telemetry::CacheStatus;

/// What is noted on the way.
pub(crate) struct RequestRecord {
    pub id: RequestId,
    /// Wall clock at receipt, for labels.
    pub at_unix: Duration,
    pub started: Instant,
    pub endpoint: Option<Endpoint>,
    pub client_format: ClientFormat,
    pub key: Option<Arc<str>>,
    pub metadata: Option<Arc<BTreeMap<String, String>>>,
    pub provider: Option<Arc<str>>,
    pub model: Option<String>,
    pub route: Option<Arc<str>>,
    pub trace_id: Option<String>,
    pub stream: bool,
    /// The stream goes to the client as one JSON array.
    pub as_array: bool,
    pub cache: CacheStatus,
    /// Cosine of the nearest stored question.
    pub similarity: Option<f32>,
    /// What was lost in translation, as the header has it.
    pub warnings: Option<Arc<str>>,
    pub status: u16,
    pub usage: Option<Usage>,
    /// The tier that the vendor reports.
    pub tier: Tier,
    /// The request wants Anthropic's inference in the United States only.
    pub wants_us_inference: bool,
    /// Content events of a stream: the estimate of its tokens where the provider reports none.
    pub content_events: u64,
    pub request_bytes: u64,
    pub answer_bytes: u64,
    pub first_byte: Option<Duration>,
    /// Time spent waiting for the provider.
    pub upstream: Duration,
    pub attempts: u32,
    /// Retries at the last target of a plan; none where its provider wants too long a wait.
    pub retries: Option<u32>,
    /// The target that answered, as `config.targets[0]`.
    pub option: Option<Arc<str>>,
    pub reused_connection: bool,
    /// True once the whole request has gone to a provider: tokens may have been spent.
    pub sent_upstream: bool,
    /// True if the provider reported an error inside its stream.
    pub stream_error: bool,
    /// True once the head of a response has gone out: no other head may follow.
    pub answer_begun: bool,
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
