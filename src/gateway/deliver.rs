//! Stage `deliver`: the response goes to the client.
//!
//! A JSON response is read whole before its first byte is sent, so that a provider that breaks off
//! gives a clean 502. Event streams go through `deliver_stream`; answers of the pass-through are
//! relayed piece by piece. Output guardrails will stand here by later work.
//!
//! Long because the stage is one: the ways of a response to the client, and the head that they share.

use std::pin::pin;

use super::cache_lookup;
use super::deliver_stream;
use super::deliver_translated;
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::fields::goes_downstream;
use super::forward::Response;
use super::peek;
use super::prepare::UpstreamRequest;
use super::realtime;
use super::receive::media_type_is;
use super::record::Exchange;
use super::redact::{Redaction, Scrutiny};
use super::service_tiers;
use super::upstream_response::UpstreamResponse;
use super::vectors;
use crate::base::Instant;
use crate::dialects::codec;
use crate::http::{
    Framing, LAST_CHUNK, Method, ResponseHead, Version, end_head, write_chunk, write_field,
    write_length, write_status_line,
};
use crate::llm::{Chunk, Dialect, Tier};

/// A usual head fits into this.
const HEAD_BYTES: usize = 1024;

/// A response that is complete in memory and did not come from a provider.
#[derive(Default)]
pub(super) struct LocalResponse {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    warning: Option<&'static str>,
}

impl LocalResponse {
    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", body, warning: None }
    }

    /// With a word for the head of the response.
    pub(super) fn with_warning(self, warning: &'static str) -> Self {
        Self { warning: Some(warning), ..self }
    }
}

/// How the body of a response is delimited on the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// Announced length.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until we close, for HTTP/1.0, or by whoever frames the response.
    UntilClose,
    /// No body at all.
    None,
}

/// Sends a response of the gateway's own.
pub(super) async fn send_local(
    exchange: &mut Exchange<'_>,
    response: LocalResponse,
) -> Result<(), GatewayError> {
    if let Some(warning) = response.warning {
        exchange.record.warnings = Some(warning.into());
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

/// Sends what is ready.
#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds what it is given by value twice, which here is 600 bytes"
)]
pub(super) fn deliver(
    exchange: &mut Exchange<'_>,
    mut response: Response,
) -> impl Future<Output = Result<(), GatewayError>> {
    async move {
        let outcome = match &mut response {
            Response::Local(local) => Box::pin(send_local(exchange, std::mem::take(local))).await,
            Response::Upstream(upstream_request, response, selected) => {
                let outcome = send_upstream(exchange, upstream_request, response).await;
                selected.record_delivery(exchange, outcome.as_ref().err());
                outcome
            }
        };
        if let Response::Upstream(upstream_request, response, _) = response {
            end(response, &upstream_request, &outcome);
        }
        outcome
    }
}

/// Ends a provider's response, which was delivered or not.
pub(super) fn end(
    response: Box<UpstreamResponse>,
    upstream_request: &UpstreamRequest,
    outcome: &Result<(), GatewayError>,
) {
    match outcome {
        Ok(()) => response.done(upstream_request),
        Err(failure) => response.end_with(failure, upstream_request),
    }
}

/// Sends a provider's response; [`end`] is owed afterwards.
pub(super) async fn send_upstream(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
) -> Result<(), GatewayError> {
    let metered = exchange.is_metered();
    let content_type = response.head.get("content-type").unwrap_or_default();
    let is_events = media_type_is(content_type, b"text/event-stream");
    if let Some(translation) = &upstream_request.translation {
        Box::pin(deliver_translated::deliver(exchange, upstream_request, translation, response))
            .await
    } else if metered && is_events && (200..300).contains(&response.head.status()) {
        Box::pin(deliver_stream::relay(exchange, upstream_request, response)).await
    } else if metered {
        json(exchange, upstream_request, response).await
    } else {
        Box::pin(relay(exchange, upstream_request, response)).await
    }
}

/// Reads a JSON response whole, meters it, sends it.
async fn json(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
) -> Result<(), GatewayError> {
    let status = response.head.status();
    if (300..400).contains(&status) {
        return Err(invalid(upstream_request, "it redirects, which is not followed"));
    }
    let mut body = keep_whole(exchange, upstream_request, response).await?;
    if (200..300).contains(&status) {
        body = metered(exchange, upstream_request, response, body)?;
    } else if let Some(error) =
        deliver_translated::overflow_of(exchange, upstream_request, status, &body)
    {
        return Box::pin(deliver_translated::rewritten(
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
        cache_lookup::store_whole(exchange, body);
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
        None => exchange.worker.scanner().answer(&body),
    };
    let Ok(outline) = outline else {
        let is_coded = response.head.get("content-encoding").is_some();
        return if is_coded {
            Ok(body)
        } else {
            Err(invalid(upstream_request, "its body is not JSON"))
        };
    };
    exchange.record.usage = outline.usage;
    exchange.record.tier = outline.tier.unwrap_or_default();
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

fn invalid(upstream_request: &UpstreamRequest, reason: &'static str) -> GatewayError {
    GatewayError::InvalidAnswer {
        provider: upstream_request.upstream.provider.name.clone(),
        reason,
    }
}

/// Takes the usage of a response of a dialect that has it elsewhere.
fn meter_by_dialect(exchange: &mut Exchange<'_>, body: &[u8]) {
    if exchange.record.endpoint == Some(Endpoint::Rerank) {
        exchange.record.usage = vectors::rerank_usage(exchange.context, body);
        return;
    }
    let dialect = match exchange.record.endpoint {
        // Its counts lie where those of conversations do.
        Some(Endpoint::EmbedContent) => Some(Dialect::Gemini),
        endpoint => endpoint.and_then(Endpoint::chat_dialect),
    };
    let Some(codec) = dialect.and_then(codec) else { return };
    if dialect == Some(Dialect::CohereChat) {
        let read = exchange.worker.scanner().read(body, |root| codec.read_answer(root));
        exchange.record.usage = read.ok().flatten().and_then(|answer| answer.usage);
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
            Chunk::Usage(usage) => exchange.record.usage = Some(usage),
            Chunk::Start(start) => {
                exchange.record.tier = tier_of(start.service_tier.as_deref());
            }
            _ => {}
        }
    }
}

/// The tier that a response names.
pub(super) fn tier_of(service_tier: Option<&str>) -> Tier {
    service_tier.map_or(Tier::default(), Tier::of_answer)
}

/// Reads the body to its end, for as long as the client is there; credentials in it are masked.
pub(super) async fn keep_whole(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
) -> Result<Vec<u8>, GatewayError> {
    let begun = Instant::now();
    let context = exchange.context;
    let kept =
        cache_lookup::or_abandoned(exchange, pin!(response.keep_whole(context, upstream_request)))
            .await;
    exchange.record.upstream += begun.elapsed();
    let mut body = kept??;
    let status = response.head.status();
    let scrutiny = match upstream_request.translation {
        None => Scrutiny::of_body(status, &body),
        Some(_) => Scrutiny::of_decoded_body(status, &body),
    };
    upstream_request.mask(&mut body, scrutiny);
    Ok(body)
}

/// Relays a response piece by piece, keeping none of it.
async fn relay(
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
            .map_err(|_| invalid(upstream_request, "its body is malformed"));
        let mut done = done?;
        if !done && !out.is_empty() {
            out = exchange.send(out).await?;
        }
        if !done && response.fill(exchange, upstream_request).await? == 0 {
            let ended = response.body_reader.finish();
            ended.map_err(|_| invalid(upstream_request, "its body is cut off"))?;
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

/// How a body of that framing goes to this client.
pub(super) fn body_framing(exchange: &mut Exchange<'_>, framing: Framing) -> BodyFraming {
    match framing {
        Framing::None => BodyFraming::None,
        Framing::Length(length) => BodyFraming::Length(length),
        // Messages have borders of their own.
        _ if exchange.client.framing.is_some() => BodyFraming::UntilClose,
        _ if exchange.head.version() == Version::Http10 => {
            exchange.record.close = true;
            BodyFraming::UntilClose
        }
        _ => BodyFraming::Chunked,
    }
}

/// Sends an error to the client, if it can still be sent.
pub(super) async fn send_error(exchange: &mut Exchange<'_>, failure: &GatewayError) {
    let spec = failure.spec();
    if spec.status == 0 {
        exchange.record.close = true;
        return;
    }
    if exchange.record.answer_begun {
        // Half a response has gone out: an event stream ends with an error event, and none ends as
        // if it were complete.
        exchange.record.close = true;
        if exchange.record.stream {
            let dialect = exchange.record.client_format.dialect;
            let last_events = std::mem::take(&mut exchange.record.last_events);
            let events = if exchange.record.as_array {
                [b",\r\n", failure.to_json(dialect).as_slice()].concat()
            } else if last_events.is_empty() {
                failure.to_events(stream_dialect(exchange), exchange.record.next_event)
            } else {
                last_events
            };
            deliver_stream::send_events(exchange, events).await;
        }
        return;
    }
    if exchange.record.body_unread {
        exchange.record.close = true;
    }
    let body = failure.to_json(exchange.record.client_format.dialect);
    let mut out = begin_head(exchange, spec.status);
    write_field(&mut out, "content-type", b"application/json");
    if let Some(wait) = failure.retry_after() {
        let seconds = wait.as_millis().div_ceil(1_000).to_string();
        write_field(&mut out, "retry-after", seconds.as_bytes());
    }
    // An error in a provider's words is the provider's.
    if spec.status >= 500 && !matches!(failure, GatewayError::ProviderError { .. }) {
        write_gateway_header(exchange, &mut out, "gateway-exception", b"true");
    }
    if spec.status == 405 {
        write_field(&mut out, "allow", Endpoint::allowed(exchange.head.path()).as_bytes());
    }
    if spec.status == 426 {
        realtime::write_upgrade_fields(&mut out);
    }
    finish_head(exchange, &mut out, BodyFraming::Length(body.len() as u64));
    if exchange.head.method() != Method::Head {
        out.extend_from_slice(&body);
    }
    // A client that is gone gets no more.
    if let Ok(out) = exchange.send(out).await {
        exchange.client.out = out;
    }
}

/// The dialect of a stream's events.
fn stream_dialect(exchange: &Exchange<'_>) -> Dialect {
    let dialect = exchange.record.endpoint.and_then(Endpoint::chat_dialect);
    dialect.unwrap_or(exchange.record.client_format.dialect)
}

/// Status line and the gateway's own fields.
pub(super) fn begin_head(exchange: &mut Exchange<'_>, status: u16) -> Vec<u8> {
    exchange.record.status = status;
    let mut out = std::mem::take(&mut exchange.client.out);
    out.clear();
    out.reserve(HEAD_BYTES);
    write_status_line(&mut out, status);
    let id = exchange.record.id.hex();
    write_gateway_header(exchange, &mut out, "request-id", &id);
    match exchange.record.trace_id.clone() {
        Some(trace_id) => write_gateway_header(exchange, &mut out, "trace-id", trace_id.as_bytes()),
        None => write_gateway_header(exchange, &mut out, "trace-id", &id),
    }
    if exchange.record.provider.is_some() || exchange.context.attempts.has_targets() {
        write_attempts(exchange, &mut out);
    }
    if let Some(provider) = exchange.record.provider.clone() {
        write_gateway_header(exchange, &mut out, "provider", provider.as_bytes());
        write_gateway_header(
            exchange,
            &mut out,
            "cache-status",
            exchange.record.cache.name().as_bytes(),
        );
        if let Some(similarity) = exchange.record.similarity {
            let text = format!("{similarity:.4}");
            write_gateway_header(exchange, &mut out, "cache-similarity", text.as_bytes());
        }
        if let Some(warnings) = exchange.record.warnings.clone() {
            write_gateway_header(exchange, &mut out, "warnings", warnings.as_bytes());
        }
    }
    out
}

/// The attempts, and the target that answered.
fn write_attempts(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let record = &exchange.record;
    let option = record.option.as_deref().unwrap_or("config");
    match record.retries {
        Some(retries) => {
            let mut digits = itoa::Buffer::new();
            write_gateway_header(
                exchange,
                out,
                "retry-attempt-count",
                digits.format(retries).as_bytes(),
            );
        }
        // Portkey's word for retries without success, and for a provider that wants too long a wait.
        None => write_gateway_header(exchange, out, "retry-attempt-count", b"-1"),
    }
    write_gateway_header(exchange, out, "last-used-option-index", option.as_bytes());
    let attempts = exchange.context.attempts.header();
    if !attempts.is_empty() {
        write_gateway_header(exchange, out, "attempts", attempts.as_bytes());
    }
}

/// The provider's fields that travel on; credentials in them are masked.
pub(super) fn write_provider_fields(
    out: &mut Vec<u8>,
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
) {
    let begin = out.len();
    for (name, value) in head.fields() {
        if goes_downstream(name) && !head.is_hop_by_hop(name) {
            write_field(out, name, value);
        }
    }
    mask_fields(out, begin, (upstream_request, head));
}

fn mask_fields(
    out: &mut [u8],
    begin: usize,
    (upstream_request, head): (&UpstreamRequest, &ResponseHead),
) {
    let written = out.get_mut(begin..).unwrap_or_default();
    upstream_request.mask(written, Scrutiny::of_status(head.status()));
}

/// The same without those that describe the content of its body, which is written anew.
pub(super) fn write_provider_fields_without_content(
    out: &mut Vec<u8>,
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
) {
    const FORM: [&str; 9] = [
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
    ];
    let begin = out.len();
    for (name, value) in head.fields() {
        if goes_downstream(name) && !head.is_hop_by_hop(name) && !FORM.contains(&name) {
            write_field(out, name, value);
        }
    }
    mask_fields(out, begin, (upstream_request, head));
}

/// Framing, fate of the connection, end of the head.
pub(super) fn finish_head(exchange: &Exchange<'_>, out: &mut Vec<u8>, framing: BodyFraming) {
    match framing {
        BodyFraming::Length(length) => write_length(out, length),
        BodyFraming::Chunked => write_field(out, "transfer-encoding", b"chunked"),
        BodyFraming::UntilClose | BodyFraming::None => {}
    }
    if exchange.must_close() {
        write_field(out, "connection", b"close");
    } else if exchange.head.version() == Version::Http10 {
        write_field(out, "connection", b"keep-alive");
    }
    end_head(out);
}

fn write_gateway_header(exchange: &Exchange<'_>, out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b"x-ringgate-");
    write_field(out, name, value);
    if exchange.record.client_format.portkey {
        out.extend_from_slice(b"x-portkey-");
        write_field(out, name, value);
    }
}
