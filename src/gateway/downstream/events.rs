//! Events of a stream on the client's connection.

use super::head::{BodyFraming, body_framing};
use crate::gateway::context::Exchange;
use crate::http::{Framing, LAST_CHUNK, write_chunk, write_data};

pub(crate) const DONE: &[u8] = b"[DONE]";

/// Appends encoded events to the response's bytes.
pub(crate) fn append(out: &mut Vec<u8>, events: &[u8], framing: BodyFraming) {
    match framing {
        _ if events.is_empty() => {}
        BodyFraming::Chunked => write_chunk(out, events),
        _ => out.extend_from_slice(events),
    }
}

/// Appends the end of a body of events, with a terminator if it is wanted.
pub(crate) fn end(out: &mut Vec<u8>, with_terminator: bool, framing: BodyFraming) {
    if with_terminator {
        let mut event = Vec::new();
        write_data(&mut event, DONE);
        append(out, &event, framing);
    }
    if framing == BodyFraming::Chunked {
        out.extend_from_slice(LAST_CHUNK);
    }
}

/// Sends encoded events in a stream that has begun; whether they arrive no longer matters.
pub(crate) async fn send_events(exchange: &mut Exchange<'_>, events: Vec<u8>) {
    let framing = body_framing(exchange, Framing::Chunked);
    let mut out = Vec::with_capacity(events.len() + 16);
    append(&mut out, &events, framing);
    // A client that is gone gets no more.
    let _ = exchange.send(out).await;
}
