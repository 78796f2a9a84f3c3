//! A stream that another request leads: its events go to this client too, as they come.

use std::pin::pin;

use super::format;
use crate::base::{Instant, unix_now};
use crate::cache::{AnswerOrigin, Follower, SharedChunk};
use crate::dialects::{Frame, StreamDecoder, StreamEncoder, client_codec, provider_codec};
use crate::gateway::context::{Exchange, GatewayError, Request};
use crate::gateway::downstream::disconnect::or_disconnect;
use crate::gateway::downstream::events::{append, end};
use crate::gateway::downstream::head::{begin_event_stream, body_framing, finish_head};
use crate::gateway::upstream::client_request;
use crate::http::{Framing, write_data};
use crate::llm::{
    Chunk, ChunkOutline, Dialect, Outline, hide_usage, may_carry_error, may_carry_usage,
};

/// Relays the stream to its end, under an id of its own.
pub(crate) async fn relay(
    exchange: &mut Exchange<'_>,
    request: &Request,
    (mut follower, origin): (Follower, AnswerOrigin),
) -> Result<(), GatewayError> {
    let include_usage = request.include_usage();
    exchange.record.routing.provider.clone_from(&origin.provider);
    exchange.record.routing.model = origin.model;
    let id = format!("\"{}-{}\"", request.endpoint.id_prefix(), exchange.record.id);
    let framing = body_framing(exchange, Framing::Chunked);
    let foreign = format::foreign_dialect(request.endpoint);
    let frame = foreign.map_or(Frame::Events, |dialect| client_codec(dialect).frame());
    let mut out = begin_event_stream(exchange, frame.media_type());
    finish_head(exchange, &mut out, framing);
    let mut events = Vec::new();
    let mut transcoder = Transcoder::new(exchange, request);
    // Before the first event, which may take its time.
    out = exchange.send(out).await?;
    let is_complete = loop {
        let begun = Instant::now();
        let reader = &mut exchange.client.connection.reader;
        let chunk = or_disconnect(reader, pin!(follower.recv())).await;
        exchange.record.routing.upstream_time += begun.elapsed();
        match chunk? {
            SharedChunk::Events(fresh) => {
                events.clear();
                for data in fresh {
                    match &mut transcoder {
                        Some(transcoder) => transcoder.encode(exchange, &data, &mut events),
                        None => encode(
                            exchange,
                            &data,
                            ClientView { id: &id, include_usage },
                            &mut events,
                        ),
                    }
                }
                append(&mut out, &events, framing);
                out = exchange.send(out).await?;
            }
            SharedChunk::Whole => break true,
            // The error event was the end.
            SharedChunk::Broken if exchange.record.metering.stream_error => break false,
            SharedChunk::Broken => {
                let provider = origin.provider.as_deref().unwrap_or("none").to_owned();
                let reason = "its stream, which another request had asked for, is cut off";
                return Err(GatewayError::InvalidAnswer { provider, reason, source: None });
            }
        }
    };
    if let Some(transcoder) = &mut transcoder {
        events.clear();
        transcoder.finish(is_complete, &mut events);
        append(&mut out, &events, framing);
    }
    end(&mut out, is_complete && transcoder.is_none(), framing);
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}

/// For a client whose dialect is not that of the shared events.
struct Transcoder {
    decoder: Box<dyn StreamDecoder>,
    encoder: Box<dyn StreamEncoder>,
    id: String,
    chunks: Vec<Chunk>,
}

impl Transcoder {
    fn new(exchange: &Exchange<'_>, request: &Request) -> Option<Self> {
        let client = client_codec(format::foreign_dialect(request.endpoint)?);
        let chat_request = client_request::read(exchange.context, request, &[], client).ok()?;
        Some(Self {
            decoder: provider_codec(Dialect::OpenaiChat)?.stream_decoder(),
            encoder: client.stream_encoder(&chat_request, exchange.record.at_unix.as_secs()),
            id: format!("{}-{}", request.endpoint.id_prefix(), exchange.record.id),
            chunks: Vec::new(),
        })
    }

    fn encode(&mut self, exchange: &mut Exchange<'_>, data: &[u8], out: &mut Vec<u8>) {
        let scanner = &mut exchange.worker.scanner();
        // Our own encoder wrote it.
        let _ = self.decoder.event(None, data, scanner, &mut self.chunks);
        for mut chunk in self.chunks.drain(..) {
            match &mut chunk {
                Chunk::Start(start) => start.id.clone_from(&self.id),
                Chunk::Error(_) => exchange.record.metering.stream_error = true,
                Chunk::Done => self.encoder.complete_at(unix_now().as_secs()),
                _ => {}
            }
            self.encoder.push(&chunk, out);
        }
    }

    fn finish(&mut self, is_complete: bool, out: &mut Vec<u8>) {
        if is_complete {
            self.decoder.finish(&mut self.chunks);
            self.encoder.complete_at(unix_now().as_secs());
            self.chunks.drain(..).for_each(|chunk| self.encoder.push(&chunk, out));
        }
    }
}

/// What differs between the clients of one stream.
struct ClientView<'v> {
    /// JSON of the response's id.
    id: &'v str,
    include_usage: bool,
}

/// Appends an event with the id of this client's response, and with its usage only if requested.
fn encode(exchange: &mut Exchange<'_>, data: &[u8], view: ClientView<'_>, out: &mut Vec<u8>) {
    let mut hidden = Vec::new();
    let mut data = data;
    if may_carry_usage(data) || may_carry_error(data) {
        let chunk = ChunkOutline::read(data).unwrap_or_default();
        exchange.record.metering.stream_error |= chunk.is_error;
        if chunk.usage.is_some() && !view.include_usage {
            if chunk.choices_empty {
                return;
            }
            hide_usage(data, &mut hidden);
            data = &hidden;
        }
    }
    let outline = Outline::read(data);
    let span = outline.ok().and_then(|outline| outline.span(data, "id"));
    match span {
        Some(span) => {
            let parts = [data.get(..span.start), Some(view.id.as_bytes()), data.get(span.end..)];
            write_data(out, &parts.map(Option::unwrap_or_default).concat());
        }
        None => write_data(out, data),
    }
}
