//! A provider's error goes to the client in the words of its dialect.

use std::time::Duration;

use crate::dialects::{ClientCodec, ProviderCodec, client_codec, overflow_of_imitator};
use crate::gateway::context::{Endpoint, Exchange, GatewayError};
use crate::gateway::downstream::head::{BodyFraming, begin_head, finish_head};
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;
use crate::gateway::upstream::response_fields::write_provider_fields_without_content;
use crate::http::write_field;
use crate::llm::{ApiError, Node};

/// Sends the provider's error in the client's dialect, under the status that its kind has there.
pub(crate) async fn send(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    (client, provider): (&dyn ClientCodec, &dyn ProviderCodec),
    (response, body): (&UpstreamResponse, &[u8]),
) -> Result<(), GatewayError> {
    let status = response.head.status();
    let read = |body: &[u8]| {
        let mut scanner = exchange.worker.scanner();
        let read = scanner.read(body, |root| {
            (provider.read_error(status, Some(root)), provider.retry_delay(root))
        });
        read.ok()
    };
    // Google wraps some of its errors in an array.
    let inner = body.trim_ascii().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let error = read(body).or_else(|| inner.and_then(read));
    let (error, delay) = error.unwrap_or_else(|| (provider.read_error(status, None), None));
    let mut written = Vec::new();
    client.write_error(&error, &mut written);
    // A field of the provider's own travels on by itself.
    let delay = delay.filter(|_| response.head.get("retry-after").is_none());
    send_json(exchange, upstream_request, (response, error.status), (&written, delay)).await
}

/// The error of a provider that imitates the vendor of the client's dialect, where it reports a full
/// context in words that the vendor's clients do not know. The vendor's own bytes stay as they are.
pub(crate) fn overflow_of(
    exchange: &Exchange<'_>,
    upstream_request: &UpstreamRequest,
    status: u16,
    body: &[u8],
) -> Option<ApiError> {
    let dialect = exchange.record.endpoint.and_then(Endpoint::chat_dialect)?;
    if status < 400 || upstream_request.upstream.provider.is_original() {
        return None;
    }
    let read = |root: Node<'_>| overflow_of_imitator(dialect, status, root);
    exchange.worker.scanner().read(body, read).ok().flatten()
}

/// Sends an error of the provider in the words of the client's dialect.
pub(crate) async fn send_rewritten(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &UpstreamResponse,
    error: &ApiError,
) -> Result<(), GatewayError> {
    let mut body = Vec::new();
    client_codec(exchange.record.client_format.dialect).write_error(error, &mut body);
    send_json(exchange, upstream_request, (response, error.status), (&body, None)).await
}

async fn send_json(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    (response, status): (&UpstreamResponse, u16),
    (body, retry_after): (&[u8], Option<Duration>),
) -> Result<(), GatewayError> {
    let out = json_response(exchange, upstream_request, (response, status), (body, retry_after));
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}

/// A JSON response that is encoded again.
pub(crate) fn json_response(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    (response, status): (&UpstreamResponse, u16),
    (body, retry_after): (&[u8], Option<Duration>),
) -> Vec<u8> {
    exchange.client.out.reserve(body.len());
    let mut out = begin_head(exchange, status);
    write_field(&mut out, "content-type", b"application/json");
    if let Some(wait) = retry_after {
        let seconds = wait.as_millis().div_ceil(1_000).to_string();
        write_field(&mut out, "retry-after", seconds.as_bytes());
    }
    write_provider_fields_without_content(&mut out, upstream_request, &response.head);
    finish_head(exchange, &mut out, BodyFraming::Length(body.len() as u64));
    out.extend_from_slice(body);
    out
}
