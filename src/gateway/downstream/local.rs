//! Responses that the gateway gives itself.

use super::head::{BodyFraming, begin_head, finish_head};
use crate::gateway::context::{Exchange, GatewayError};
use crate::http::{Method, write_field};

/// A response that is complete in memory and did not come from a provider.
#[derive(Default)]
pub(crate) struct LocalResponse {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    warning: Option<&'static str>,
}

impl LocalResponse {
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", body, warning: None }
    }

    /// With a word for the head of the response.
    pub(crate) fn with_warning(self, warning: &'static str) -> Self {
        Self { warning: Some(warning), ..self }
    }
}

/// Sends a response of the gateway's own.
pub(crate) async fn send_local(
    exchange: &mut Exchange<'_>,
    response: LocalResponse,
) -> Result<(), GatewayError> {
    if let Some(warning) = response.warning {
        exchange.record.routing.warnings = Some(warning.into());
    }
    let mut out = begin_head(exchange, response.status);
    write_field(&mut out, "content-type", response.content_type.as_bytes());
    finish_head(exchange, &mut out, BodyFraming::Length(response.body.len() as u64));
    if exchange.head.method() != Method::Head {
        out.extend_from_slice(&response.body);
    }
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}
