//! The opening of a stream is held back until it shows that the stream is good.

use crate::base::Instant;
use crate::gateway::cache::write;
use crate::gateway::context::{Exchange, GatewayError};
use crate::gateway::upstream::peek::{HOLD_BYTES_MAX, HOLD_MAX};
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;

/// Whether the opening of a stream is held back from its client.
pub(crate) struct ResponseHold {
    is_on: bool,
    /// Set when it is first waited for more.
    until: Option<Instant>,
}

impl ResponseHold {
    /// At the start of a stream that goes to the client.
    pub(crate) fn new(exchange: &Exchange<'_>, response: &UpstreamResponse) -> Self {
        let mut hold = Self { is_on: true, until: None };
        if response.is_good {
            hold.end(exchange);
        }
        hold
    }

    /// True while nothing may be sent.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// The stream begins for its client, and for those who share it.
    pub(crate) fn end(&mut self, exchange: &Exchange<'_>) {
        self.is_on = false;
        write::begin_stream(exchange);
    }

    /// Ends for an opening of so many bytes that it has become too large to be held back.
    pub(crate) fn bound(&mut self, exchange: &Exchange<'_>, bytes: usize) {
        if self.is_on && bytes > HOLD_BYTES_MAX {
            self.end(exchange);
        }
    }

    /// Waits for more of the response, 0 at its end; none once it is held back for too long, which ends
    /// with this.
    pub(crate) async fn fill(
        &mut self,
        exchange: &mut Exchange<'_>,
        (upstream_request, response): (&UpstreamRequest, &mut UpstreamResponse),
    ) -> Result<Option<usize>, GatewayError> {
        let limit = || Instant::now().after(HOLD_MAX);
        let until = self.is_on.then(|| *self.until.get_or_insert_with(limit));
        let filled = response.fill_until(exchange, upstream_request, until).await?;
        if filled.is_none() {
            self.end(exchange);
        }
        Ok(filled)
    }
}
