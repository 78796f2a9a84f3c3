//! The request to one target, which is not sent yet.

use std::error::Error;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::edits::BodyEdit;
use super::translation::Translation;
use crate::gateway::context::{GatewayError, MemoryReservation};
use crate::gateway::worker::{Redactor, Upstream};
use crate::llm::Dialect;
use crate::providers::{ProviderField, Timeouts};

/// A request to one target, which is not sent yet.
pub(crate) struct UpstreamRequest {
    pub upstream: Rc<Upstream>,
    /// As sent to the provider.
    pub model: Option<String>,
    pub edits: Vec<BodyEdit>,
    /// Usage was requested by the gateway and not by the client.
    pub hide_usage: bool,
    /// The provider's dialect.
    pub dialect: Dialect,
    /// Where the provider has another dialect than the client.
    pub translation: Option<Box<Translation>>,
    /// Behind the provider's base URL, where it is not the client's own path.
    pub path: Option<String>,
    /// Instead of the provider's own fields, where the client brings the credential.
    pub credential: Option<Vec<ProviderField>>,
    /// No credential of the operator is sent: the client may name the account.
    pub is_clients_account: bool,
    /// Of that credential.
    pub redactor: Option<Redactor>,
    pub timeouts: Timeouts,
    pub forward_headers: Vec<String>,
    /// What it keeps in memory beside the request.
    #[expect(dead_code, reason = "it counts until the request is dropped")]
    pub held: Option<MemoryReservation>,
    /// Edits of the target that the body does not take.
    pub warnings: Option<Arc<str>>,
}

impl UpstreamRequest {
    /// The error of a response that makes no sense.
    pub(crate) fn invalid(&self, reason: &'static str) -> GatewayError {
        let provider = self.upstream.provider.name.clone();
        GatewayError::InvalidAnswer { provider, reason, source: None }
    }

    /// The same, with what the system or a reader of the response reported.
    pub(crate) fn invalid_because(
        &self,
        reason: &'static str,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> GatewayError {
        let provider = self.upstream.provider.name.clone();
        GatewayError::InvalidAnswer { provider, reason, source: Some(io::Error::other(cause)) }
    }

    /// True if other calls follow the one at hand.
    pub(crate) fn has_more_batches(&self) -> bool {
        self.translation.as_ref().is_some_and(|translation| translation.has_more_batches())
    }
}
