//! One exchange while it is in the pipeline, and the notes that `settle` turns into an event.

use std::rc::Rc;

use super::client::Client;
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::record::{CacheRecord, ClientRecord, MeteringRecord, RequestRecord, RoutingRecord};
use super::request_context::RequestContext;
use crate::base::Instant;
use crate::cache::Leader;
use crate::gateway::worker::{Snapshot, Worker};
use crate::http::RequestHead;
use crate::telemetry::Gauge;

/// A request and its response in the pipeline. The settings it began with stay with it.
pub(crate) struct Exchange<'a> {
    /// What it shares with its attempts.
    pub context: &'a RequestContext<'a>,
    pub worker: &'a Rc<Worker>,
    pub snapshot: Rc<Snapshot>,
    pub client: &'a mut Client,
    pub head: &'a RequestHead,
    pub record: RequestRecord,
    /// Identical requests follow this one and share its answer.
    pub flight: Option<Leader>,
}

/// Whether the client's connection serves another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionReuse {
    /// The next request may follow.
    KeepAlive,
    /// It is closed, after a grace for the client to read what we sent.
    Close,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
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
            route: None,
            trace_id: None,
            client: ClientRecord::default(),
            routing: RoutingRecord::default(),
            metering: MeteringRecord::default(),
            cache: CacheRecord::default(),
        };
        let (snapshot, head) = (Rc::clone(&context.snapshot), context.head);
        Self { context, worker, snapshot, client, head, record, flight: None }
    }

    /// A gateway field by its short name, such as `config`.
    pub(crate) fn gateway_header(&self, name: &str) -> Option<&'a str> {
        self.context.gateway_header(name)
    }

    /// True where the gateway reads the JSON of request and answer.
    pub(crate) fn is_metered(&self) -> bool {
        self.record.endpoint.is_some_and(Endpoint::is_metered)
    }

    /// What becomes of the connection.
    pub(crate) fn connection_reuse(&self) -> ConnectionReuse {
        if self.must_close() { ConnectionReuse::Close } else { ConnectionReuse::KeepAlive }
    }

    /// True if the response has to carry `connection: close`.
    pub(crate) fn must_close(&self) -> bool {
        self.record.client.close
            || self.record.client.body_unread
            || !self.head.keep_alive()
            || self.worker.is_draining()
    }

    /// True if another target may do better after `failure`, and the client has seen nothing yet.
    pub(crate) fn may_retry(&self, failure: &GatewayError) -> bool {
        failure.is_of_provider() && !self.record.client.has_begun
    }

    /// Counts `bytes` that this exchange is about to keep in memory.
    pub(crate) fn reserve_memory(&self, bytes: usize) -> Result<(), GatewayError> {
        self.context.reserve_memory(bytes)
    }

    /// Asks a client that waits for leave (`expect: 100-continue`) to send its body.
    pub(crate) async fn invite_body(&mut self) -> Result<(), GatewayError> {
        if self.head.expects_continue() && self.client.connection.reader.bytes().is_empty() {
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await?;
        }
        Ok(())
    }

    /// Sends bytes of the response and counts them.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, GatewayError> {
        self.record.client.has_begun = true;
        if self.client.lost.is_some() {
            return Ok(Vec::new());
        }
        let started = self.record.started;
        self.record.client.add_sent(bytes.len(), || started.elapsed());
        self.client.send(bytes).await
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.worker.recorder().add(Gauge::RequestsInFlight, -1);
        self.worker.end_exchange();
    }
}

/// An id for an answer that has none.
pub(crate) fn own_id(exchange: &Exchange<'_>) -> String {
    let prefix = exchange.record.endpoint.map_or("chatcmpl", |endpoint| endpoint.id_prefix());
    format!("{prefix}-{}", exchange.record.id)
}
