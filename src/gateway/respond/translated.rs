//! Stage `respond` where client and provider have different dialects.
//!
//! JSON responses are read whole and encoded again. Streams are translated incrementally:
//! everything from one read of the provider is sent in one write. The client's stream ends as its
//! dialect requires, and only if the provider's response was complete.

use super::body::{keep_whole, tier_of};
use super::provider_error;
use super::tap::{PieceSource, ResponseTap, StreamPiece};
use crate::base::unix_now;
use crate::dialects::{Cutter, StreamDecodeError, StreamDecoder, StreamEncoder};
use crate::gateway::context::{Exchange, GatewayError, own_id};
use crate::gateway::downstream::disconnect::send_shared;
use crate::gateway::downstream::events::{append, end};
use crate::gateway::downstream::head::{
    BodyFraming, begin_event_stream, body_framing, finish_head,
};
use crate::gateway::upstream::peek::NO_CONTENT;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::{EVENT_BYTES_MAX, UpstreamResponse};
use crate::gateway::upstream::response_fields::write_provider_fields_without_content;
use crate::gateway::upstream::translation::{
    ChatTranslation, ResponseFormat, ResponseTranslation, Translation,
};
use crate::gateway::upstream::vectors::VectorTranslation;
use crate::gateway::upstream::{peek, stored_responses};
use crate::gateway::worker::Scrutiny;
use crate::http::Framing;
use crate::llm::{Answer, ApiError, Chunk, Content, chunks_of_known, is_error_answer};

/// Sends a provider's answer in the client's dialect.
pub(crate) async fn deliver(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    translation: &Translation,
    response: &mut UpstreamResponse,
    tap: &mut ResponseTap,
) -> Result<(), GatewayError> {
    if (300..400).contains(&response.head.status()) {
        return Err(upstream_request.invalid("it redirects, which is not followed"));
    }
    match &translation.response {
        ResponseTranslation::Chat(translation) => {
            chat(exchange, upstream_request, translation, (response, tap)).await
        }
        ResponseTranslation::Vectors(translation) => {
            vectors(exchange, upstream_request, translation, (response, tap)).await
        }
    }
}

async fn chat(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    translation: &ChatTranslation,
    (response, tap): (&mut UpstreamResponse, &mut ResponseTap),
) -> Result<(), GatewayError> {
    let is_success = response.head.is_success();
    if is_success && response.is_stream() {
        return TranslatedStream::new(exchange, (upstream_request, translation), (response, tap))
            .relay(exchange, response)
            .await;
    }
    let body = keep_whole(exchange, upstream_request, response).await?;
    if !is_success {
        let dialects = (translation.client, translation.provider);
        return provider_error::send(exchange, upstream_request, dialects, (response, &body)).await;
    }
    if !response.is_good {
        peek::check(exchange.context, upstream_request, &response.head, &body)?;
    }
    let id = own_id(exchange);
    let read = exchange
        .worker
        .scanner()
        .read(&body, |root| translation.provider.read_answer_named(root, &id));
    let read = read.ok().flatten();
    let mut answer =
        read.ok_or_else(|| upstream_request.invalid("its body is no answer in its dialect"))?;
    translation.tool_names.restore_answer(&mut answer);
    complete(exchange, translation, &mut answer);
    exchange.record.metering.usage = answer.usage;
    exchange.record.metering.tier = tier_of(answer.service_tier.as_deref());
    if translation.request.stream {
        // The provider did not stream, and the client waits for one.
        let stream =
            TranslatedStream::new(exchange, (upstream_request, translation), (response, tap));
        return stream.replay(exchange, response, &answer).await;
    }
    let mut written = Vec::with_capacity(body.len() + 256);
    translation.write_answer(&answer, unix_now().as_secs(), &mut written);
    stored_responses::keep_whole(exchange, translation, &written);
    send_answer(exchange, upstream_request, (response, tap), written).await
}

async fn vectors(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    translation: &VectorTranslation,
    (response, tap): (&mut UpstreamResponse, &mut ResponseTap),
) -> Result<(), GatewayError> {
    let body = keep_whole(exchange, upstream_request, response).await?;
    if !response.head.is_success() {
        let dialects = (translation.client, translation.provider);
        return provider_error::send(exchange, upstream_request, dialects, (response, &body)).await;
    }
    check_no_error(exchange, upstream_request, response, &body)?;
    let written = translation.translate_response(exchange, (&response.head, &body));
    let written =
        written.ok_or_else(|| upstream_request.invalid("its body is no answer in its dialect"))?;
    send_answer(exchange, upstream_request, (response, tap), written).await
}

/// Refuses a whole answer that is an error, unless its opening has been looked at.
fn check_no_error(
    exchange: &Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &UpstreamResponse,
    body: &[u8],
) -> Result<(), GatewayError> {
    let is_error = || exchange.worker.scanner().read(body, is_error_answer);
    if !response.is_good && is_error() == Ok(true) {
        return Err(peek::error_in_body(exchange.context, upstream_request, &response.head, body));
    }
    Ok(())
}

/// Fills in what some providers leave out: the id, the model, and when the answer was made.
fn complete(exchange: &Exchange<'_>, translation: &ChatTranslation, answer: &mut Answer) {
    if answer.id.is_empty() {
        answer.id = own_id(exchange);
    }
    if answer.model.is_empty() {
        answer.model.clone_from(&translation.request.model);
    }
    answer.created.get_or_insert(exchange.record.at_unix.as_secs());
    for (index, choice) in (0_u32..).zip(&mut answer.choices) {
        for (place, part) in (0_u32..).zip(&mut choice.parts) {
            set_call_id(exchange, (index, place), &mut part.content);
        }
    }
}

/// Gives an id to a call that has none: clients send it back with the result.
fn set_call_id(exchange: &Exchange<'_>, (choice, part): (u32, u32), content: &mut Content) {
    if let Content::ToolCall(call) = content
        && call.id.is_empty()
    {
        call.id = format!("call_{}_{choice}_{part}", exchange.record.id);
    }
}

async fn send_answer(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    (response, tap): (&UpstreamResponse, &mut ResponseTap),
    body: Vec<u8>,
) -> Result<(), GatewayError> {
    let status = response.head.status();
    let out = provider_error::json_response(
        exchange,
        upstream_request,
        (response, status),
        (&body, None),
    );
    tap.complete_whole(exchange, body);
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}

/// A stream on its way from one dialect to the other.
struct TranslatedStream<'p> {
    upstream_request: &'p UpstreamRequest,
    translation: &'p ChatTranslation,
    decoder: Box<dyn StreamDecoder>,
    encoder: Box<dyn StreamEncoder>,
    chunks: Vec<Chunk>,
    tap: &'p mut ResponseTap,
    /// The answer is complete, or has ended with an error that the client has got.
    has_ended: bool,
}

impl<'p> TranslatedStream<'p> {
    fn new(
        exchange: &Exchange<'_>,
        (upstream_request, translation): (&'p UpstreamRequest, &'p ChatTranslation),
        (response, tap): (&UpstreamResponse, &'p mut ResponseTap),
    ) -> Self {
        tap.expect_chunks(exchange, response);
        let now = exchange.record.at_unix.as_secs();
        let mut decoder = translation.provider.stream_decoder();
        decoder.name_answer(&own_id(exchange));
        Self {
            upstream_request,
            translation,
            decoder,
            encoder: translation.stream_encoder(now),
            chunks: Vec::new(),
            tap,
            has_ended: false,
        }
    }

    /// Relays the provider's stream to its end.
    async fn relay(
        mut self,
        exchange: &mut Exchange<'_>,
        response: &mut UpstreamResponse,
    ) -> Result<(), GatewayError> {
        let relayed = self.relay_all(exchange, response).await;
        if let Err(failure) = &relayed
            && exchange.record.client.has_begun
            && !self.has_ended
        {
            // It knows what has been sent, and how the next event is numbered.
            let error = Chunk::Error(failure.to_api_error());
            self.encoder.push(&error, &mut exchange.record.client.last_events);
        }
        relayed
    }

    async fn relay_all(
        &mut self,
        exchange: &mut Exchange<'_>,
        response: &mut UpstreamResponse,
    ) -> Result<(), GatewayError> {
        let (mut out, framing) = begin(exchange, self.upstream_request, response, self.translation);
        let mut cutter = Cutter::new(self.translation.provider.frame(), EVENT_BYTES_MAX);
        let mut events = Vec::new();
        loop {
            let received = response.drain(|run| cutter.push(run));
            let mut ended = received.map_err(|_| self.invalid("its stream is malformed"))?;
            let (upstream_request, decoder, chunks) =
                (self.upstream_request, &mut self.decoder, &mut self.chunks);
            cutter
                .each(|name, data| {
                    let scrutiny = Scrutiny::of_decoded_event(name, data);
                    let data = upstream_request.masked(data, scrutiny);
                    decoder.event(name, &data, &mut exchange.worker.scanner(), chunks)
                })
                .map_err(|StreamDecodeError| {
                    self.invalid("an event of its stream makes no sense")
                })?;
            self.encode(exchange, response, &mut events)?;
            append(&mut out, &events, framing);
            if !ended {
                self.tap.bound_hold(exchange, out.len());
                if !self.tap.is_holding() && !out.is_empty() {
                    out = send_shared(exchange, out).await?;
                }
                let upstream_request = self.upstream_request;
                ended = self.tap.fill(exchange, upstream_request, response).await? == Some(0);
                if ended && response.body_reader.finish().is_err() && !self.has_ended {
                    return Err(self.invalid("its stream is cut off"));
                }
                if !ended {
                    continue;
                }
            }
            events.clear();
            self.decoder.finish(&mut self.chunks);
            self.encode(exchange, response, &mut events)?;
            append(&mut out, &events, framing);
            break;
        }
        if !self.has_ended {
            let is_empty = self.tap.is_holding();
            let reason =
                if is_empty { NO_CONTENT } else { "its stream ended before its answer did" };
            return Err(self.invalid(reason));
        }
        end(&mut out, false, framing);
        exchange.client.out = exchange.send(out).await?;
        Ok(())
    }

    /// Sends a whole answer as a stream.
    async fn replay(
        mut self,
        exchange: &mut Exchange<'_>,
        response: &mut UpstreamResponse,
        answer: &Answer,
    ) -> Result<(), GatewayError> {
        let (mut out, framing) = begin(exchange, self.upstream_request, response, self.translation);
        self.tap.release(exchange);
        self.chunks = chunks_of_known(answer);
        let mut events = Vec::new();
        self.encode(exchange, response, &mut events)?;
        append(&mut out, &events, framing);
        end(&mut out, false, framing);
        exchange.client.out = exchange.send(out).await?;
        Ok(())
    }

    /// Appends the chunks at hand in the client's dialect, and meters them.
    fn encode(
        &mut self,
        exchange: &mut Exchange<'_>,
        response: &UpstreamResponse,
        out: &mut Vec<u8>,
    ) -> Result<(), GatewayError> {
        out.clear();
        let mut chunks = std::mem::take(&mut self.chunks);
        for mut chunk in chunks.drain(..) {
            if self.has_ended {
                break;
            }
            self.complete_chunk(exchange, &mut chunk);
            let source =
                PieceSource { upstream_request: self.upstream_request, head: &response.head };
            self.tap.inspect(exchange, source, StreamPiece::Chunk(&chunk))?;
            self.meter_chunk(exchange, &chunk);
            if matches!(chunk, Chunk::Done) {
                self.encoder.complete_at(unix_now().as_secs());
            }
            self.encoder.push(&chunk, out);
        }
        self.chunks = chunks;
        if self.has_ended && !exchange.record.metering.stream_error {
            stored_responses::keep_streamed(exchange, self.translation, out);
            self.tap.complete(exchange);
        }
        Ok(())
    }

    /// Fills in what some providers leave out.
    fn complete_chunk(&self, exchange: &Exchange<'_>, chunk: &mut Chunk) {
        self.translation.tool_names.restore_chunk(chunk);
        match chunk {
            Chunk::Start(start) => {
                if start.id.is_empty() {
                    start.id = own_id(exchange);
                }
                if start.model.is_empty() {
                    start.model.clone_from(&self.translation.request.model);
                }
            }
            Chunk::BlockStart { choice, part, content } => {
                set_call_id(exchange, (*choice, *part), content);
            }
            _ => {}
        }
    }

    fn meter_chunk(&mut self, exchange: &mut Exchange<'_>, chunk: &Chunk) {
        match chunk {
            Chunk::Start(start) => {
                exchange.record.metering.tier = tier_of(start.service_tier.as_deref());
            }
            Chunk::BlockDelta { .. } => exchange.record.metering.content_events += 1,
            Chunk::Usage(usage) => {
                let before = exchange.record.metering.usage.unwrap_or_default();
                exchange.record.metering.usage = Some(before.then(*usage));
            }
            Chunk::Error(ApiError { .. }) => {
                exchange.record.metering.stream_error = true;
                self.has_ended = true;
            }
            Chunk::Done => self.has_ended = true,
            _ => {}
        }
    }

    fn invalid(&self, reason: &'static str) -> GatewayError {
        self.upstream_request.invalid(reason)
    }
}

fn begin(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &UpstreamResponse,
    translation: &ChatTranslation,
) -> (Vec<u8>, BodyFraming) {
    exchange.record.client.stream = true;
    let as_array = translation.format == ResponseFormat::Array;
    exchange.record.client.as_array = as_array;
    let events = translation.client.frame().media_type();
    let content_type = if as_array { "application/json" } else { events };
    let framing = body_framing(exchange, Framing::Chunked);
    let mut out = begin_event_stream(exchange, content_type);
    write_provider_fields_without_content(&mut out, upstream_request, &response.head);
    finish_head(exchange, &mut out, framing);
    (out, framing)
}
