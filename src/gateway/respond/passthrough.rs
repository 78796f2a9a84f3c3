//! A response that the gateway does not read is relayed piece by piece.

use crate::gateway::context::{Exchange, GatewayError};
use crate::gateway::downstream::head::{BodyFraming, begin_head, body_framing, finish_head};
use crate::gateway::upstream::redact::Redaction;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;
use crate::gateway::upstream::response_fields::write_provider_fields;
use crate::gateway::worker::Scrutiny;
use crate::http::{LAST_CHUNK, write_chunk};

/// Relays a response piece by piece, keeping none of it.
pub(crate) async fn relay(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
) -> Result<(), GatewayError> {
    let framing = body_framing(exchange, response.head.framing());
    let mut out = begin_head(exchange, response.head.status());
    write_provider_fields(&mut out, upstream_request, &response.head);
    finish_head(exchange, &mut out, framing);
    let write = |out: &mut Vec<u8>, run: &[u8]| match framing {
        BodyFraming::Chunked => write_chunk(out, run),
        _ => out.extend_from_slice(run),
    };
    let mut redaction =
        Redaction::new(upstream_request, Scrutiny::of_status(response.head.status()));
    loop {
        let done = response
            .drain(|run| redaction.push(run, |run| write(&mut out, run)))
            .map_err(|error| upstream_request.invalid_because("its body is malformed", error));
        let mut done = done?;
        if !done && !out.is_empty() {
            out = exchange.send(out).await?;
        }
        if !done && response.fill(exchange, upstream_request).await? == 0 {
            let ended = response.body_reader.finish();
            ended.map_err(|_| upstream_request.invalid("its body is cut off"))?;
            done = true;
        }
        if done {
            break;
        }
    }
    redaction.finish(|run| write(&mut out, run));
    if framing == BodyFraming::Chunked {
        out.extend_from_slice(LAST_CHUNK);
    }
    if !out.is_empty() {
        out = exchange.send(out).await?;
    }
    exchange.client.out = out;
    Ok(())
}
