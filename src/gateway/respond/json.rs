//! A JSON response is read whole, metered, and sent.

use super::body::{keep_whole, tier_of};
use super::tap::ResponseTap;
use super::{provider_error, service_tiers};
use crate::dialects::provider_codec;
use crate::gateway::context::{Endpoint, Exchange, GatewayError};
use crate::gateway::downstream::head::{BodyFraming, HEAD_BYTES, begin_head, finish_head};
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;
use crate::gateway::upstream::response_fields::write_provider_fields;
use crate::gateway::upstream::{peek, vectors};
use crate::llm::{AnswerOutline, Chunk, Dialect};

/// Reads a JSON response whole, meters it, sends it.
pub(crate) async fn json(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
    tap: &mut ResponseTap,
) -> Result<(), GatewayError> {
    let status = response.head.status();
    if (300..400).contains(&status) {
        return Err(upstream_request.invalid("it redirects, which is not followed"));
    }
    let mut body = keep_whole(exchange, upstream_request, response).await?;
    if response.head.is_success() {
        body = metered(exchange, upstream_request, response, body)?;
    } else if let Some(error) =
        provider_error::overflow_of(exchange, upstream_request, status, &body)
    {
        return Box::pin(provider_error::send_rewritten(
            exchange,
            upstream_request,
            response,
            &error,
        ))
        .await;
    }
    exchange.client.out.reserve(HEAD_BYTES + body.len());
    let mut out = begin_head(exchange, status);
    write_provider_fields(&mut out, upstream_request, &response.head);
    finish_head(exchange, &mut out, BodyFraming::Length(body.len() as u64));
    out.extend_from_slice(&body);
    if status == 200 {
        tap.complete_whole(exchange, body);
    }
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}

/// Meters the body of a successful response, and gives it as it goes to the client.
fn metered(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
    body: Vec<u8>,
) -> Result<Vec<u8>, GatewayError> {
    let outline = match response.outline.take() {
        Some(outline) => Ok(*outline),
        None => AnswerOutline::read(&body),
    };
    let Ok(outline) = outline else {
        let is_coded = response.head.get("content-encoding").is_some();
        return if is_coded {
            Ok(body)
        } else {
            Err(upstream_request.invalid("its body is not JSON"))
        };
    };
    exchange.record.metering.usage = outline.usage;
    exchange.record.metering.tier = outline.tier.unwrap_or_default();
    if outline.is_error {
        return Err(peek::error_in_body(exchange.context, upstream_request, &response.head, &body));
    }
    if outline.has_no_choices {
        peek::check_choices(exchange.context, upstream_request, &response.head, &body)?;
    }
    if outline.usage.is_none() {
        meter_by_dialect(exchange, &body);
    }
    if !outline.has_foreign_tier {
        return Ok(body);
    }
    Ok(service_tiers::whole(exchange, upstream_request, &body).unwrap_or(body))
}

/// Takes the usage of a response of a dialect that has it elsewhere.
fn meter_by_dialect(exchange: &mut Exchange<'_>, body: &[u8]) {
    if exchange.record.endpoint == Some(Endpoint::Rerank) {
        exchange.record.metering.usage = vectors::rerank_usage(exchange.context, body);
        return;
    }
    let dialect = match exchange.record.endpoint {
        // Its counts lie where those of conversations do.
        Some(Endpoint::EmbedContent) => Some(Dialect::Gemini),
        endpoint => endpoint.and_then(Endpoint::chat_dialect),
    };
    let Some(codec) = dialect.and_then(provider_codec) else { return };
    if dialect == Some(Dialect::CohereChat) {
        let read = exchange.worker.scanner().read(body, |root| codec.read_answer(root));
        exchange.record.metering.usage = read.ok().flatten().and_then(|answer| answer.usage);
    }
    if dialect != Some(Dialect::Gemini) {
        return;
    }
    // A response is a stream of one event there; one that failed has used tokens too.
    let mut chunks = Vec::new();
    let mut decoder = codec.stream_decoder();
    // What makes no sense to us may make sense to the client, who gets it as it is.
    let _ = decoder.event(None, body, &mut exchange.worker.scanner(), &mut chunks);
    for chunk in chunks {
        match chunk {
            Chunk::Usage(usage) => exchange.record.metering.usage = Some(usage),
            Chunk::Start(start) => {
                exchange.record.metering.tier = tier_of(start.service_tier.as_deref());
            }
            _ => {}
        }
    }
}
