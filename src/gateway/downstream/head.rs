//! The head of a response: status line, the gateway's own fields, framing.

use crate::gateway::context::Exchange;
use crate::http::{Framing, Version, end_head, write_field, write_length, write_status_line};

/// A usual head fits into this.
pub(crate) const HEAD_BYTES: usize = 1024;

/// How the body of a response is delimited on the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// Announced length.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until we close, for HTTP/1.0, or framed by a WebSocket.
    UntilClose,
    /// No body at all.
    None,
}

/// How a body of that framing goes to this client.
pub(crate) fn body_framing(exchange: &mut Exchange<'_>, framing: Framing) -> BodyFraming {
    match framing {
        Framing::None => BodyFraming::None,
        Framing::Length(length) => BodyFraming::Length(length),
        // Messages have borders of their own.
        _ if exchange.client.framing.is_some() => BodyFraming::UntilClose,
        _ if exchange.head.version() == Version::Http10 => {
            exchange.record.client.close = true;
            BodyFraming::UntilClose
        }
        _ => BodyFraming::Chunked,
    }
}

/// Status line and the gateway's own fields.
pub(crate) fn begin_head(exchange: &mut Exchange<'_>, status: u16) -> Vec<u8> {
    exchange.record.client.status = status;
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
    if exchange.record.routing.provider.is_some() || exchange.context.attempts.has_targets() {
        write_attempts(exchange, &mut out);
    }
    if let Some(provider) = exchange.record.routing.provider.clone() {
        write_gateway_header(exchange, &mut out, "provider", provider.as_bytes());
        write_gateway_header(
            exchange,
            &mut out,
            "cache-status",
            exchange.record.cache.status.name().as_bytes(),
        );
        if let Some(similarity) = exchange.record.cache.similarity {
            let text = format!("{similarity:.4}");
            write_gateway_header(exchange, &mut out, "cache-similarity", text.as_bytes());
        }
        if let Some(warnings) = exchange.record.routing.warnings.clone() {
            write_gateway_header(exchange, &mut out, "warnings", warnings.as_bytes());
        }
    }
    out
}

/// The head of a stream of events that the gateway writes itself, up to its framing.
pub(crate) fn begin_event_stream(exchange: &mut Exchange<'_>, content_type: &str) -> Vec<u8> {
    let mut out = begin_head(exchange, 200);
    write_field(&mut out, "content-type", content_type.as_bytes());
    write_field(&mut out, "cache-control", b"no-cache");
    // Reverse proxies in front of us would hold events back without it.
    write_field(&mut out, "x-accel-buffering", b"no");
    out
}

/// The attempts, and the target that answered.
fn write_attempts(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let record = &exchange.record;
    let option = record.routing.target.as_deref().unwrap_or("config");
    match record.routing.retries {
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

/// Framing, fate of the connection, end of the head.
pub(crate) fn finish_head(exchange: &Exchange<'_>, out: &mut Vec<u8>, framing: BodyFraming) {
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

pub(crate) fn write_gateway_header(
    exchange: &Exchange<'_>,
    out: &mut Vec<u8>,
    name: &str,
    value: &[u8],
) {
    out.extend_from_slice(b"x-ringgate-");
    write_field(out, name, value);
    if exchange.record.client_format.portkey {
        out.extend_from_slice(b"x-portkey-");
        write_field(out, name, value);
    }
}
