//! Classes of service in answers of OpenAI's imitators that are forwarded as they are. Strictly typed
//! clients take OpenAI's words only; words of the provider that OpenAI does not use are replaced or left out.

use crate::dialects::with_openais_tier;
use crate::gateway::context::{Endpoint, Exchange};
use crate::gateway::upstream::request::UpstreamRequest;
use crate::llm::Dialect;

/// The dialect of clients that take OpenAI's words only, where an imitator answers them in it.
fn strict_dialect(exchange: &Exchange<'_>, upstream_request: &UpstreamRequest) -> Option<Dialect> {
    let endpoint = exchange.record.endpoint?;
    let is_strict = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Responses);
    let is_imitator = !upstream_request.upstream.provider.is_original();
    endpoint.chat_dialect().filter(|_| is_strict && is_imitator)
}

/// A whole response that has a foreign word, in OpenAI's words. None where there is nothing to change.
pub(crate) fn whole(
    exchange: &Exchange<'_>,
    upstream_request: &UpstreamRequest,
    body: &[u8],
) -> Option<Vec<u8>> {
    with_openais_tier(strict_dialect(exchange, upstream_request)?, body)
}

/// Which events of a stream are looked at: its first one, and those that end a choice or report usage.
/// Once one of them had a foreign word, all are.
pub(crate) struct TierRewriter {
    dialect: Dialect,
    looks_at_all: bool,
}

impl TierRewriter {
    /// None where nothing has to be rewritten.
    pub(crate) fn new(exchange: &Exchange<'_>, upstream_request: &UpstreamRequest) -> Option<Self> {
        let dialect = strict_dialect(exchange, upstream_request)?;
        Some(Self { dialect, looks_at_all: true })
    }

    /// Whether the next event is looked at. `is_telling`: it ends a choice or reports usage.
    pub(crate) fn looks_at(&self, ends_or_reports: bool) -> bool {
        self.looks_at_all || ends_or_reports
    }

    /// The data of an event that is looked at, in OpenAI's words. None where there is nothing to change.
    pub(crate) fn replace(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let replaced = with_openais_tier(self.dialect, data);
        self.looks_at_all = replaced.is_some();
        replaced
    }
}
