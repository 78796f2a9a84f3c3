//! What attempts need of the exchange they are made for. They do not touch the client, so that several may
//! be under way at once.

use std::cell::Cell;
use std::rc::Rc;

use super::attempt_log::AttemptLog;
use super::error::GatewayError;
use super::fields::{ClientFormat, gateway_header};
use crate::base::RequestId;
use crate::gateway::worker::{Snapshot, Worker};
use crate::http::RequestHead;
use crate::llm::{Dialect, ModelRules};
use crate::providers::Provider;

/// The shard, its settings, and the head of the request.
pub(crate) struct RequestContext<'a> {
    pub worker: &'a Rc<Worker>,
    pub snapshot: Rc<Snapshot>,
    pub head: &'a RequestHead,
    pub client_format: ClientFormat,
    /// The request's own.
    pub id: RequestId,
    /// The attempts of a plan.
    pub attempts: AttemptLog,
    /// An empty allocation for the next request to a provider.
    pub spare: Cell<Vec<u8>>,
    /// Bytes counted against `server.buffered_bytes_max` of this shard.
    reserved: Cell<usize>,
}

impl<'a> RequestContext<'a> {
    pub(crate) fn new(worker: &'a Rc<Worker>, head: &'a RequestHead) -> Self {
        Self {
            worker,
            snapshot: worker.snapshot(),
            head,
            client_format: ClientFormat::of(head),
            id: worker.next_id(),
            attempts: AttemptLog::default(),
            spare: Cell::default(),
            reserved: Cell::new(0),
        }
    }

    /// A gateway field by its short name, such as `config`.
    pub(crate) fn gateway_header(&self, name: &str) -> Option<&'a str> {
        if self.client_format.has_gateway_headers { gateway_header(self.head, name) } else { None }
    }

    /// What the model accepts at a provider that is called in `dialect`.
    pub(crate) fn rules(
        &self,
        provider: &Provider,
        dialect: Dialect,
        model: &str,
    ) -> Rc<ModelRules> {
        self.snapshot.model_info.rules(&self.snapshot.settings.providers, provider, dialect, model)
    }

    /// Counts `bytes` that are about to be kept in memory.
    pub(crate) fn reserve_memory(&self, bytes: usize) -> Result<(), GatewayError> {
        if !self.worker.reserve_memory(bytes, self.snapshot.settings.server.buffered_bytes_max) {
            return Err(GatewayError::Overloaded("buffered bytes"));
        }
        self.reserved.set(self.reserved.get() + bytes);
        Ok(())
    }

    /// Counts `bytes` that one attempt keeps in memory, for as long as what it gives lives.
    pub(crate) fn reserve_for_attempt(
        &self,
        bytes: usize,
    ) -> Result<MemoryReservation, GatewayError> {
        if !self.worker.reserve_memory(bytes, self.snapshot.settings.server.buffered_bytes_max) {
            return Err(GatewayError::Overloaded("buffered bytes"));
        }
        Ok(MemoryReservation { worker: Rc::clone(self.worker), bytes })
    }
}

/// Bytes counted against `server.buffered_bytes_max`, until it is dropped.
pub(crate) struct MemoryReservation {
    worker: Rc<Worker>,
    bytes: usize,
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.worker.release_memory(self.bytes);
    }
}

impl Drop for RequestContext<'_> {
    fn drop(&mut self) {
        self.worker.release_memory(self.reserved.get());
    }
}
