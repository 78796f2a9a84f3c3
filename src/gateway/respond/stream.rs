//! Event streams to the client: every event is decoded, looked at, and encoded again.
//!
//! All events that one read of the provider brought go out in one write, at once; nothing waits
//! for more. A stream is complete when the provider ends it (`[DONE]`, or a finish reason before
//! the end of its body); one that ends otherwise gets an error event and no terminator.
//!
//! Long because the loop over the events and what is decided for each of them share one state.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::body::tier_of;
use super::tap::{PieceSource, ResponseTap, StreamPiece};
use crate::dialects::{
    client_codec, overflow_in_event, provider_codec, with_overflow, write_last_error,
};
use crate::gateway::context::{Endpoint, Exchange, GatewayError};
use crate::gateway::downstream::disconnect::send_shared;
use crate::gateway::downstream::events::{DONE, append, end};
use crate::gateway::downstream::head::{BodyFraming, begin_head, body_framing, finish_head};
use crate::gateway::upstream::peek::NO_CONTENT;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::{EVENT_BYTES_MAX, UpstreamResponse};
use crate::gateway::upstream::response_fields::write_provider_fields;
use crate::gateway::worker::Scrutiny;
use crate::http::{EventReader, EventTooLarge, Framing, SseEvent, write_event, write_field};
use crate::llm::{ChatRequest, Chunk, ChunkOutline, Dialect, hide_usage, may_carry_usage};

/// Where an event of OpenAI's responses has its number.
const NUMBER: &[u8] = b"\"sequence_number\":";

/// What the stream has shown so far.
struct StreamProgress<'t> {
    tap: &'t mut ResponseTap,
    dialect: Dialect,
    /// The terminator has come.
    done: bool,
    /// A finish reason has come.
    finished: bool,
    /// How closely what the last read brought is looked at for credentials.
    scrutiny: Scrutiny,
}

/// The events of the last two reads that brought some, as they went to the client.
#[derive(Default)]
struct SentEvents {
    events: Vec<u8>,
    before: Vec<u8>,
}

impl SentEvents {
    /// Makes room for the events of another read.
    fn rotate(&mut self) {
        if !self.events.is_empty() {
            std::mem::swap(&mut self.events, &mut self.before);
        }
        self.events.clear();
    }

    /// The number after the last that an event had; 0 if none had one.
    fn next_number(&self) -> u64 {
        let last = last_number(&self.events).or_else(|| last_number(&self.before));
        last.map_or(0, |last| last.saturating_add(1))
    }
}

/// The number of the last event that has one.
fn last_number(events: &[u8]) -> Option<u64> {
    let at = memchr::memmem::rfind(events, NUMBER)?;
    let digits = events.get(at + NUMBER.len()..)?.trim_ascii_start();
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(digits.get(..length)?).ok()?.parse().ok()
}

/// Relays the stream to its end.
pub(crate) async fn relay(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
    tap: &mut ResponseTap,
) -> Result<(), GatewayError> {
    let mut sent = SentEvents::default();
    let relayed = relay_all(exchange, upstream_request, (response, tap), &mut sent).await;
    if relayed.is_err() {
        exchange.record.client.next_event = sent.next_number();
    }
    relayed
}

async fn relay_all(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    (response, tap): (&mut UpstreamResponse, &mut ResponseTap),
    sent: &mut SentEvents,
) -> Result<(), GatewayError> {
    exchange.record.client.stream = true;
    let framing = body_framing(exchange, Framing::Chunked);
    let mut head = begin_head(exchange, response.head.status());
    write_provider_fields(&mut head, upstream_request, &response.head);
    // Reverse proxies in front of us would hold events back without it.
    write_field(&mut head, "x-accel-buffering", b"no");
    finish_head(exchange, &mut head, framing);
    let mut out = head;
    let mut reader = EventReader::new(EVENT_BYTES_MAX);
    let dialect = exchange.record.endpoint.and_then(Endpoint::chat_dialect);
    let dialect = dialect.unwrap_or(Dialect::OpenaiChat);
    tap.expect_events(exchange, upstream_request, response);
    let mut progress =
        StreamProgress { tap, dialect, done: false, finished: false, scrutiny: Scrutiny::Usual };
    loop {
        let ended = receive(upstream_request, response, &mut reader)?;
        sent.rotate();
        let events = &mut sent.events;
        progress.scrutiny = Scrutiny::Usual;
        drain_events(exchange, (upstream_request, response), &mut reader, &mut progress, events)?;
        upstream_request.mask(events, progress.scrutiny);
        append(&mut out, events, framing);
        if ended {
            break;
        }
        progress.tap.bound_hold(exchange, out.len());
        if !progress.tap.is_holding() && !out.is_empty() {
            out = send_shared(exchange, out).await?;
        }
        if progress.tap.fill(exchange, upstream_request, response).await? == Some(0) {
            // The framing shows whether this is the end; without one, only the events can.
            let cut = response.body_reader.finish().is_err();
            let is_complete =
                progress.done || progress.finished || exchange.record.metering.stream_error;
            if cut || !is_complete {
                return Err(upstream_request.invalid("its stream is cut off"));
            }
            break;
        }
    }
    finish(exchange, upstream_request, &reader, &mut progress, out, framing).await
}

async fn finish(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    reader: &EventReader,
    progress: &mut StreamProgress<'_>,
    mut out: Vec<u8>,
    framing: BodyFraming,
) -> Result<(), GatewayError> {
    if progress.tap.is_holding() {
        return Err(upstream_request.invalid(NO_CONTENT));
    }
    let complete = progress.done || progress.finished && !reader.has_partial();
    if !complete && !exchange.record.metering.stream_error {
        if !out.is_empty() {
            exchange.client.out = exchange.send(out).await?;
        }
        return Err(upstream_request.invalid("its stream ends without a terminator"));
    }
    if complete {
        progress.tap.complete(exchange);
    }
    // Some providers leave the terminator out; clients wait for it.
    let has_done = progress.dialect == Dialect::OpenaiChat;
    end(&mut out, has_done && complete && !progress.done, framing);
    if !out.is_empty() {
        out = exchange.send(out).await?;
    }
    exchange.client.out = out;
    Ok(())
}

/// Takes in what the provider's connection holds; true at the end of the body.
fn receive(
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
    events: &mut EventReader,
) -> Result<bool, GatewayError> {
    response
        .drain(|run| events.push(run))
        .map_err(|error| upstream_request.invalid_because("its stream is malformed", error))
}

/// Inspects each complete event and encodes the client's events.
fn drain_events(
    exchange: &mut Exchange<'_>,
    (upstream_request, response): (&UpstreamRequest, &UpstreamResponse),
    reader: &mut EventReader,
    progress: &mut StreamProgress<'_>,
    out: &mut Vec<u8>,
) -> Result<(), GatewayError> {
    loop {
        let event = reader.next().map_err(|EventTooLarge { .. }| {
            upstream_request.invalid("one event of its stream is too large")
        })?;
        let Some(event) = event else { return Ok(()) };
        if progress.done {
            // Nothing after the terminator is part of the response.
            continue;
        }
        let source = PieceSource { upstream_request, head: &response.head };
        if event.data == DONE {
            let dialect = progress.dialect;
            let piece = StreamPiece::Event { event, dialect, ends_choice: true };
            progress.tap.inspect(exchange, source, piece)?;
            progress.done = true;
            write_event(out, &event);
            // All is there, whatever its provider does with the connection now.
            progress.tap.complete(exchange);
            continue;
        }
        inspect_event(exchange, source, &event, progress, out)?;
        if is_last(progress.dialect, event.name) {
            progress.done = true;
            progress.tap.complete(exchange);
        }
    }
}

fn inspect_event(
    exchange: &mut Exchange<'_>,
    source: PieceSource<'_>,
    event: &SseEvent<'_>,
    progress: &mut StreamProgress<'_>,
    out: &mut Vec<u8>,
) -> Result<(), GatewayError> {
    if event.data.is_empty() {
        write_event(out, event);
        return Ok(());
    }
    let finish = finish_of(progress.dialect, event.data);
    let is_decoded = matches!(progress.dialect, Dialect::Gemini | Dialect::CohereChat);
    let with_usage = !is_decoded && may_carry_usage(event.data);
    let scrutiny = Scrutiny::of_event(event.name, event.data);
    let ends_choice = with_usage || finish != Finish::None;
    let is_tapped = progress.tap.wants(ends_choice);
    let mut replaced = None;
    if is_tapped {
        let piece = StreamPiece::Event { event: *event, dialect: progress.dialect, ends_choice };
        replaced = progress.tap.inspect(exchange, source, piece)?;
    }
    progress.finished |= finish != Finish::None;
    exchange.record.metering.stream_error |=
        finish == Finish::Failed || matches!(event.name, Some("error" | "response.failed"));
    let is_usual = scrutiny == Scrutiny::Usual && !with_usage && !is_decoded;
    if is_usual && !is_tapped {
        exchange.record.metering.content_events += 1;
        write_event(out, event);
        return Ok(());
    }
    // What the provider sends is metered; what goes on has the values that its clients know.
    let shown = SseEvent { data: replaced.as_deref().unwrap_or(event.data), ..*event };
    let scan = EventScan { scrutiny, with_usage };
    inspect_closely(exchange, source.upstream_request, (event, &shown, scan), progress, out);
    Ok(())
}

/// What a first look at an event has shown.
struct EventScan {
    scrutiny: Scrutiny,
    with_usage: bool,
}

/// What is rare, or done for others than the client.
#[inline(never)]
fn inspect_closely(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    (event, shown, scan): (&SseEvent<'_>, &SseEvent<'_>, EventScan),
    progress: &mut StreamProgress<'_>,
    out: &mut Vec<u8>,
) {
    if scan.scrutiny == Scrutiny::Close {
        progress.scrutiny = scan.scrutiny;
        if write_full_context(exchange, upstream_request, progress.dialect, event, out) {
            progress.finished = false;
            return;
        }
    }
    if matches!(progress.dialect, Dialect::Gemini | Dialect::CohereChat) {
        meter_decoded(exchange, progress.dialect, event);
        write_event(out, event);
        return;
    }
    if scan.scrutiny == Scrutiny::Usual && !scan.with_usage {
        exchange.record.metering.content_events += 1;
        write_event(out, shown);
        return;
    }
    meter(exchange, upstream_request, (event, shown), progress.dialect, out);
}

/// Writes the event of a full context in the words of the client's vendor, where a provider that imitates
/// the vendor has others; false for any other event.
fn write_full_context(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    dialect: Dialect,
    event: &SseEvent<'_>,
    out: &mut Vec<u8>,
) -> bool {
    if upstream_request.upstream.provider.is_original() {
        return false;
    }
    let scanner = &mut exchange.worker.scanner();
    let Some(error) = overflow_in_event(dialect, event.name, event.data, scanner) else {
        return false;
    };
    exchange.record.metering.stream_error = true;
    if dialect == Dialect::OpenaiResponses {
        match with_overflow(event.data, &error) {
            Some(data) => write_event(out, &SseEvent { data: &data, ..*event }),
            None => {
                let before = || last_number(out).map(|number| number.saturating_add(1));
                let number = last_number(event.data).or_else(before).unwrap_or_default();
                write_last_error(&error, number, out);
            }
        }
    } else {
        let mut encoder = client_codec(dialect).stream_encoder(&ChatRequest::default(), 0);
        encoder.push(&Chunk::Error(error), out);
    }
    true
}

/// Meters an event, and writes it as it is `shown`, without the usage that its client did not
/// request.
fn meter(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    (event, shown): (&SseEvent<'_>, &SseEvent<'_>),
    dialect: Dialect,
    out: &mut Vec<u8>,
) {
    let chunk = ChunkOutline::read(event.data);
    let Ok(chunk) = chunk else {
        // Not JSON: the client gets what the provider sent.
        write_event(out, event);
        return;
    };
    exchange.record.metering.stream_error |= chunk.is_error;
    exchange.record.metering.content_events += u64::from(chunk.has_content);
    exchange.record.metering.tier = chunk.tier.unwrap_or(exchange.record.metering.tier);
    let Some(usage) = chunk.usage else {
        write_event(out, shown);
        return;
    };
    // The last report wins: some providers send a running total, Anthropic reports the input first.
    let before = exchange.record.metering.usage.filter(|_| dialect != Dialect::OpenaiChat);
    exchange.record.metering.usage = Some(before.map_or(usage, |before| before.then(usage)));
    if !upstream_request.hide_usage {
        write_event(out, shown);
    } else if !chunk.choices_empty {
        let mut hidden = Vec::with_capacity(shown.data.len());
        hide_usage(shown.data, &mut hidden);
        write_event(out, &SseEvent { data: &hidden, ..*shown });
    }
}

/// True for the event that ends a response, in dialects that have one.
fn is_last(dialect: Dialect, name: Option<&str>) -> bool {
    match dialect {
        Dialect::AnthropicMessages => name == Some("message_stop"),
        Dialect::OpenaiResponses => {
            matches!(name, Some("response.completed" | "response.incomplete" | "response.failed"))
        }
        _ => false,
    }
}

/// Meters an event that has its usage where its dialect has it: each piece of Google's has
/// the usage so far, and the last event of Cohere's has all of it.
fn meter_decoded(exchange: &mut Exchange<'_>, dialect: Dialect, event: &SseEvent<'_>) {
    let Some(codec) = provider_codec(dialect) else { return };
    let mut chunks = Vec::new();
    let scanner = &mut exchange.worker.scanner();
    // What makes no sense to us may make sense to the client, who gets it as it is.
    let _ = codec.stream_decoder().event(event.name, event.data, scanner, &mut chunks);
    if matches!(event.name, Some("content-delta" | "tool-call-delta")) {
        exchange.record.metering.content_events += 1;
    }
    for chunk in chunks {
        match chunk {
            Chunk::Usage(usage) => exchange.record.metering.usage = Some(usage),
            Chunk::Start(start) if start.service_tier.is_some() => {
                exchange.record.metering.tier = tier_of(start.service_tier.as_deref());
            }
            Chunk::BlockDelta { .. } => exchange.record.metering.content_events += 1,
            Chunk::Error(_) => exchange.record.metering.stream_error = true,
            _ => {}
        }
    }
}

/// Whether a chunk ends its choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    None,
    /// One has a reason to end.
    Complete,
    /// The reason is an error.
    Failed,
}

/// Looks for the finish reason of a choice: a string, where `null` means none.
fn finish_of(dialect: Dialect, data: &[u8]) -> Finish {
    const OPENAI: &[u8] = b"\"finish_reason\"";
    const GEMINI: &[u8] = b"\"finishReason\"";
    static OPENAI_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(OPENAI));
    static GEMINI_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(GEMINI));
    let (finder, key) = match dialect {
        Dialect::Gemini => (&GEMINI_FINDER, GEMINI),
        Dialect::OpenaiChat | Dialect::CohereChat => (&OPENAI_FINDER, OPENAI),
        _ => return Finish::None,
    };
    let mut finish = Finish::None;
    for at in finder.find_iter(data) {
        let rest = data.get(at + key.len()..).unwrap_or_default();
        let value = rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        match value.and_then(|value| value.strip_prefix(b"\"")) {
            Some(reason) if is_failure(reason) => return Finish::Failed,
            Some(_) => finish = Finish::Complete,
            None => {}
        }
    }
    finish
}

/// True for what begins with a reason to end that is a failure, as in whole responses.
fn is_failure(reason: &[u8]) -> bool {
    let words: [&[u8]; 5] = [b"error\"", b"network_error\"", b"abort\"", b"ERROR\"", b"TIMEOUT\""];
    words.iter().any(|word| reason.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finish_reasons_are_detected() {
        for (data, expected) in [
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Finish::Complete),
            (r#"{"choices":[{"delta":{},"finish_reason" : "length"}]}"#, Finish::Complete),
            (r#"{"choices":[{"delta":{},"finish_reason":null}]}"#, Finish::None),
            (r#"{"choices":[{"finish_reason":null},{"finish_reason":"stop"}]}"#, Finish::Complete),
            (
                r#"{"choices":[{"finish_reason":"stop"},{"finish_reason": "error"}]}"#,
                Finish::Failed,
            ),
            (r#"{"choices":[]}"#, Finish::None),
            (r#"{"finish_reason""#, Finish::None),
        ] {
            assert_eq!(finish_of(Dialect::OpenaiChat, data.as_bytes()), expected, "{data}");
        }
        let cohere = |reason: &str| {
            let data =
                format!(r#"{{"type":"message-end","delta":{{"finish_reason":"{reason}"}}}}"#);
            finish_of(Dialect::CohereChat, data.as_bytes())
        };
        assert_eq!(cohere("COMPLETE"), Finish::Complete);
        assert_eq!(cohere("ERROR_TOXIC"), Finish::Complete);
        assert_eq!(cohere("TIMEOUT"), Finish::Failed);
        let google = br#"{"candidates":[{"finishReason": "STOP"}]}"#;
        assert_eq!(finish_of(Dialect::Gemini, google), Finish::Complete);
        assert_eq!(finish_of(Dialect::OpenaiChat, google), Finish::None);
    }
}
