//! A response from the cache goes to the client: in its dialect, under an id of its own.

use super::lookup::Hit;
use super::{format, shared_stream};
use crate::cache::Entry;
use crate::dialects::{ClientCodec, Frame, client_codec};
use crate::gateway::context::{Exchange, GatewayError, Request};
use crate::gateway::downstream::events;
use crate::gateway::downstream::head::{BodyFraming, begin_head, body_framing, finish_head};
use crate::http::{Framing, write_data, write_field};
use crate::llm::replay;

/// Answers with what was found, in the client's format and under a new id.
pub(crate) async fn deliver(
    exchange: &mut Exchange<'_>,
    request: &Request,
    hit: Hit,
) -> Result<(), GatewayError> {
    let entry = match hit {
        Hit::Stored(entry) => entry,
        Hit::Shared(follower, origin) => {
            return shared_stream::relay(exchange, request, (follower, origin)).await;
        }
    };
    exchange.record.routing.provider.clone_from(&entry.labels.provider);
    exchange.record.routing.model.clone_from(&entry.labels.model);
    let id = format!("{}-{}", request.endpoint.id_prefix(), exchange.record.id);
    let is_stream = exchange.record.client.stream && request.endpoint.is_text();
    let foreign = format::foreign_dialect(request.endpoint).map(client_codec);
    let written =
        foreign.and_then(|it| format::from_stored(exchange, request, it, (&entry.body, &id)));
    let out = match written {
        Some(events) if is_stream => {
            let frame = foreign.map_or(Frame::Events, ClientCodec::frame);
            as_events(exchange, &entry, (frame, &events))
        }
        Some(body) => as_json(exchange, &entry, [&body, b"", b""]),
        None if is_stream => stream(exchange, request, &entry, &id),
        None => whole(exchange, &entry, &id),
    };
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}

fn whole(exchange: &mut Exchange<'_>, entry: &Entry, id: &str) -> Vec<u8> {
    let id = format!("\"{id}\"");
    let span = entry.id_at.clone().unwrap_or_default();
    let id = if span.is_empty() { "" } else { &id };
    let before = entry.body.get(..span.start).unwrap_or_default();
    let after = entry.body.get(span.end..).unwrap_or_default();
    as_json(exchange, entry, [before, id.as_bytes(), after])
}

fn as_json(exchange: &mut Exchange<'_>, entry: &Entry, body: [&[u8]; 3]) -> Vec<u8> {
    let length: usize = body.iter().map(|piece| piece.len()).sum();
    let mut out = begin_response(exchange, entry, "application/json");
    finish_head(exchange, &mut out, BodyFraming::Length(length as u64));
    out.reserve(length);
    body.iter().for_each(|piece| out.extend_from_slice(piece));
    out
}

fn stream(exchange: &mut Exchange<'_>, request: &Request, entry: &Entry, id: &str) -> Vec<u8> {
    let mut events = Vec::with_capacity(entry.body.len() * 2);
    replay(&entry.body, id, request.include_usage(), |data| write_data(&mut events, data));
    write_data(&mut events, b"[DONE]");
    as_events(exchange, entry, (Frame::Events, &events))
}

/// Events with their terminator, so that all goes in one chunk.
fn as_events(
    exchange: &mut Exchange<'_>,
    entry: &Entry,
    (frame, events): (Frame, &[u8]),
) -> Vec<u8> {
    let mut out = begin_response(exchange, entry, frame.media_type());
    let framing = body_framing(exchange, Framing::Chunked);
    finish_head(exchange, &mut out, framing);
    events::append(&mut out, events, framing);
    events::end(&mut out, false, framing);
    out
}

fn begin_response(exchange: &mut Exchange<'_>, entry: &Entry, content_type: &str) -> Vec<u8> {
    let age = entry.age(exchange.record.at_unix).as_secs();
    let mut out = begin_head(exchange, 200);
    write_field(&mut out, "content-type", content_type.as_bytes());
    write_field(&mut out, "age", itoa::Buffer::new().format(age).as_bytes());
    out
}
