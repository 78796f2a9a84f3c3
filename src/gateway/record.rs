//! One exchange while it is in the pipeline, and the notes that `settle` turns into an event.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::cache_lookup::CacheWrite;
use super::connection::Client;
use super::context::RequestContext;
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::fields::ClientFormat;
use super::pipeline::ConnectionReuse;
use super::upstream::Snapshot;
use super::worker::Worker;
use crate::base::{Instant, RequestId};
use crate::http::RequestHead;
use crate::llm::{Tier, Usage};
use crate::telemetry::Gauge;

/// A request and its response in the pipeline. The settings it began with stay with it.
pub(super) struct Exchange<'a> {
    /// What it shares with its attempts.
    pub context: &'a RequestContext<'a>,
    pub worker: &'a Rc<Worker>,
    pub snapshot: Rc<Snapshot>,
    pub client: &'a mut Client,
    pub head: &'a RequestHead,
    pub record: RequestRecord,
    /// The write to the cache that is due.
    pub cache_write: Option<Box<CacheWrite>>,
}

/// What the cache had to do with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CacheStatus {
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
    /// As Portkey spells it.
    pub(super) fn name(self) -> &'static str {
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

/// What is noted on the way.
pub(super) struct RequestRecord {
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

impl<'a> Exchange<'a> {
    pub(super) fn new(
        context: &'a RequestContext<'a>,
        client: &'a mut Client,
        started: Instant,
    ) -> Self {
        let worker = context.worker;
        worker.recorder().add(Gauge::RequestsInFlight, 1);
        worker.begin_exchange();
        let record = RequestRecord {
            id: context.id,
            at_unix: crate::base::unix_now(),
            started,
            endpoint: None,
            client_format: context.client_format,
            key: None,
            metadata: None,
            provider: None,
            model: None,
            route: None,
            trace_id: None,
            stream: false,
            as_array: false,
            cache: CacheStatus::default(),
            similarity: None,
            warnings: None,
            status: 0,
            usage: None,
            tier: Tier::default(),
            wants_us_inference: false,
            content_events: 0,
            request_bytes: 0,
            answer_bytes: 0,
            first_byte: None,
            upstream: Duration::ZERO,
            attempts: 0,
            retries: Some(0),
            option: None,
            reused_connection: false,
            sent_upstream: false,
            stream_error: false,
            answer_begun: false,
            next_event: 0,
            last_events: Vec::new(),
            body_unread: false,
            close: false,
        };
        let (snapshot, head) = (Rc::clone(&context.snapshot), context.head);
        Self { context, worker, snapshot, client, head, record, cache_write: None }
    }

    /// A gateway field by its short name, such as `config`.
    pub(super) fn gateway_header(&self, name: &str) -> Option<&'a str> {
        self.context.gateway_header(name)
    }

    /// True where the gateway reads the JSON of request and answer.
    pub(super) fn is_metered(&self) -> bool {
        self.record.endpoint.is_some_and(Endpoint::is_metered)
    }

    /// What becomes of the connection.
    pub(super) fn connection_reuse(&self) -> ConnectionReuse {
        if self.must_close() { ConnectionReuse::Close } else { ConnectionReuse::KeepAlive }
    }

    /// True if the response has to say `connection: close`.
    pub(super) fn must_close(&self) -> bool {
        self.record.close
            || self.record.body_unread
            || !self.head.keep_alive()
            || self.worker.is_draining()
    }

    /// Counts `bytes` that this exchange is about to keep in memory.
    pub(super) fn reserve_memory(&self, bytes: usize) -> Result<(), GatewayError> {
        self.context.reserve_memory(bytes)
    }

    /// Asks a client that waits for leave (`expect: 100-continue`) to send its body.
    pub(super) async fn invite_body(&mut self) -> Result<(), GatewayError> {
        if self.head.expects_continue() && self.client.connection.reader.bytes().is_empty() {
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await?;
        }
        Ok(())
    }

    /// Sends bytes of the response and counts them.
    pub(super) async fn send(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, GatewayError> {
        self.record.answer_begun = true;
        if self.client.lost.is_some() {
            return Ok(Vec::new());
        }
        self.record.answer_bytes += bytes.len() as u64;
        if self.record.first_byte.is_none() {
            self.record.first_byte = Some(self.record.started.elapsed());
        }
        self.client.send(bytes).await
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.worker.recorder().add(Gauge::RequestsInFlight, -1);
        self.worker.end_exchange();
    }
}
