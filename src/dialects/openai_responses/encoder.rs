//! A client's stream: numbered events, the last of which repeats the whole response.
//!
//! An item is written once, when it is complete, and its bytes are kept for the last event; until then
//! its text is buffered. The cost of a delta therefore does not grow with the stream. The buffer is
//! limited by [`ANSWER_BYTES_MAX`]; a larger response ends with an error.
//!
//! Text stays open until something else begins, since more parts of the same message or reasoning may
//! follow.

mod calls;

use std::collections::BTreeMap;

use super::answer::{Envelope, echo, status_of};
use super::item_buffer::{ItemBuffer, PartBuffer, write_begun};
use super::{identity, output};
use crate::dialects::codec::StreamEncoder;
use crate::dialects::openai_chat::write_tokens;
use crate::dialects::openai_tools::{CallForms, InputReader};
use crate::dialects::{service_tier, sse};
use crate::llm::{
    ApiError, ChatRequest, Chunk, Content, Delta, ObjectWriter, Start, StopReason, TokenLogprob,
    Usage, deltas_of, write_array,
};

/// Maximum size of a response, which is buffered for the last event. The longest texts have a megabyte,
/// generated images a few.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The assumed size of an item, a part or a citation besides its text.
const ITEM_BYTES: usize = 256;

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The members that repeat the request.
    echo: Vec<u8>,
    forms: CallForms,
    start: Start,
    created: u64,
    /// The start time of the stream; at the end, its completion time.
    now: u64,
    /// The response's id for the client; empty until the stream begins.
    id: String,
    sequence: u64,
    /// By `output_index`.
    items: Vec<ItemBuffer>,
    /// The item of each open part, and its index in that item.
    parts: BTreeMap<u32, (usize, usize)>,
    /// The item whose text is open.
    open_message: Option<usize>,
    /// Log probabilities that arrived before their text.
    early: Vec<TokenLogprob>,
    bytes: usize,
    stop: StopReason,
    usage: Option<Usage>,
    has_ended: bool,
}

impl Encoder {
    /// An encoder that only writes an error event, with number `sequence`.
    pub(super) fn of_error(sequence: u64) -> Self {
        Self { sequence, ..Self::new(&ChatRequest::default(), 0) }
    }

    pub(super) fn new(request: &ChatRequest, now_unix: u64) -> Self {
        Self {
            echo: echo(request),
            forms: CallForms::of(request),
            start: Start::default(),
            created: now_unix,
            now: now_unix,
            id: String::new(),
            sequence: 0,
            items: Vec::new(),
            parts: BTreeMap::new(),
            open_message: None,
            early: Vec::new(),
            bytes: 0,
            stop: StopReason::Stop,
            usage: None,
            has_ended: false,
        }
    }

    fn begin(&mut self, start: &Start, out: &mut Vec<u8>) {
        if !self.id.is_empty() {
            return;
        }
        self.start.clone_from(start);
        self.created = start.created.unwrap_or(self.created);
        self.id = identity::of_answer(&start.id, self.created);
        self.envelope("created", "in_progress", None, None, out);
        self.envelope("in_progress", "in_progress", None, None, out);
    }

    /// Appends an event with the whole response.
    fn envelope(
        &mut self,
        kind: &str,
        status: &str,
        incomplete: Option<&str>,
        error: Option<&ApiError>,
        out: &mut Vec<u8>,
    ) {
        let Self { start, id, echo, items, sequence, .. } = self;
        let envelope = Envelope {
            id,
            created: self.created,
            now: self.now,
            model: &start.model,
            service_tier: start.service_tier.as_deref().and_then(service_tier::of_answer),
            status,
            incomplete,
            error,
            usage: self.usage,
            echo,
        };
        write_numbered(sequence, &format!("response.{kind}"), out, |root| {
            root.object("response", |response| {
                envelope.write(response, |out| {
                    write_array(out, |array| {
                        for item in items.iter().filter(|item| !item.written.is_empty()) {
                            array.item().extend_from_slice(&item.written);
                        }
                    });
                });
            });
        });
    }

    fn open(&mut self, part: u32, content: &Content, out: &mut Vec<u8>) {
        let shown = output::shown(content);
        let content = shown.as_ref();
        let Some(kind) = output::kind_of(content, &self.forms) else { return };
        self.begin(&Start::default(), out);
        let (begun, grown) = deltas_of(content);
        let joined = self.open_message.filter(|index| {
            let last = self.items.get(*index).and_then(|item| item.parts.last());
            last.is_some_and(|last| output::is_one_item(&last.content, content))
        });
        let index = match joined {
            Some(index) => {
                // The part before it has ended, even without an event that says so.
                self.close_parts(index, out);
                index
            }
            None => self.open_item(kind, &begun, out),
        };
        let Some(item) = self.items.get_mut(index) else { return };
        let summary = item.summaries();
        let place = item.parts.len();
        let logprobs = Vec::new();
        let input = InputReader::default();
        let gathered = PartBuffer { content: begun, logprobs, summary, is_closed: false, input };
        item.parts.push(gathered);
        self.parts.insert(part, (index, place));
        self.keep(ITEM_BYTES);
        if kind == "msg" {
            self.border("content_part.added", index, place, out);
        }
        for delta in &grown {
            self.grow(part, delta, out);
        }
        if matches!(content, Content::Text(_)) && !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            self.tokens(early, out);
        }
        if kind == "ig" || kind.is_empty() {
            self.parts.remove(&part);
            self.finish_item(index, "completed", out);
            let written = self.items.get(index).map_or(0, |item| item.written.len());
            self.keep(written);
        }
    }

    /// Begins an item, and ends the open text.
    fn open_item(&mut self, kind: &'static str, content: &Content, out: &mut Vec<u8>) -> usize {
        if let Some(before) = self.open_message.take() {
            self.finish_item(before, "completed", out);
        }
        let index = self.items.len();
        let id = output::id_of(content, kind, index, &self.id);
        let mut begun = Vec::with_capacity(256);
        write_begun(&mut begun, &id, content, &self.forms);
        self.keep(ITEM_BYTES + begun.len());
        write_numbered(&mut self.sequence, "response.output_item.added", out, |root| {
            root.number("output_index", index as u64);
            root.key("item").extend_from_slice(&begun);
        });
        if matches!(kind, "msg" | "rs") {
            self.open_message = Some(index);
        }
        self.items.push(ItemBuffer { id, parts: Vec::new(), written: Vec::new() });
        index
    }

    /// Appends the event at the start or the end of a message part, with the part.
    fn border(&mut self, kind: &str, index: usize, place: usize, out: &mut Vec<u8>) {
        self.part_event(kind, index, place, out, |root, part| {
            root.object("part", |object| output::write_output_part(object, part.output_part()));
        });
    }

    /// Appends an event about one part of a message.
    fn part_event(
        &mut self,
        kind: &str,
        index: usize,
        place: usize,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut ObjectWriter<'_>, &PartBuffer),
    ) {
        let Some(item) = self.items.get(index) else { return };
        let Some(part) = item.parts.get(place) else { return };
        write_numbered(&mut self.sequence, &format!("response.{kind}"), out, |root| {
            root.text("item_id", &item.id);
            root.number("output_index", index as u64);
            if let Some((name, number)) = part.place(place) {
                root.number(name, number);
            }
            fill(root, part);
        });
    }

    fn keep(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn part_mut(&mut self, index: usize, place: usize) -> Option<&mut PartBuffer> {
        self.items.get_mut(index)?.parts.get_mut(place)
    }

    fn grow(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some((index, place)) = self.parts.get(&part).copied() else { return };
        let Some(gathered) = self.part_mut(index, place) else { return };
        let was_shown = gathered.has_reasoning();
        match (&mut gathered.content, delta) {
            (Content::Text(text), Delta::Text(piece)) => {
                text.text.push_str(piece);
                self.delta("output_text.delta", index, place, piece, out);
            }
            (Content::Refusal(text), Delta::Text(piece)) => {
                text.push_str(piece);
                self.delta("refusal.delta", index, place, piece, out);
            }
            (Content::Reasoning(reasoning), Delta::Text(piece)) => {
                reasoning.text.push_str(piece);
                if !was_shown && !piece.is_empty() {
                    self.part_event(
                        "reasoning_summary_part.added",
                        index,
                        place,
                        out,
                        |root, _| {
                            root.object("part", |part| output::write_summary(part, ""));
                        },
                    );
                }
                self.delta("reasoning_summary_text.delta", index, place, piece, out);
            }
            (Content::Text(text), Delta::Citation(citation)) => {
                let at = text.citations.len() as u64;
                text.citations.push(citation.clone());
                let kind = "output_text.annotation.added";
                self.part_event(kind, index, place, out, |root, _| {
                    root.number("annotation_index", at);
                    output::write_citation(root.key("annotation"), citation);
                });
                self.keep(ITEM_BYTES);
            }
            (Content::ToolCall(_), Delta::Arguments(piece)) => {
                self.grow_call(index, place, piece, out);
            }
            (Content::Reasoning(reasoning), Delta::Signature(signature)) => {
                reasoning.signature = Some(signature.clone());
                self.keep(signature.text.len());
            }
            (Content::ToolCall(call), Delta::Signature(signature)) => {
                call.signature = Some(signature.clone());
                self.keep(signature.text.len());
            }
            _ => {}
        }
    }

    fn delta(&mut self, kind: &str, index: usize, place: usize, piece: &str, out: &mut Vec<u8>) {
        self.keep(piece.len());
        if !piece.is_empty() {
            self.part_event(kind, index, place, out, |root, part| {
                root.text("delta", piece);
                if matches!(part.content, Content::Text(_)) {
                    root.array("logprobs", |_| {});
                }
            });
        }
    }

    /// Appends log probabilities, with a delta without text.
    fn tokens(&mut self, tokens: Vec<TokenLogprob>, out: &mut Vec<u8>) {
        self.keep(tokens.iter().map(|token| 64 * (1 + token.top.len())).sum());
        let open = self.open_message.and_then(|index| {
            let place = self.items.get(index)?.parts.len().checked_sub(1)?;
            let part = self.part_mut(index, place)?;
            let is_text = matches!(part.content, Content::Text(_)) && !part.is_closed;
            is_text.then_some((index, place))
        });
        let Some((index, place)) = open else {
            self.early.extend(tokens);
            return;
        };
        self.part_event("output_text.delta", index, place, out, |root, _| {
            root.text("delta", "");
            root.array("logprobs", |array| write_tokens(array, &tokens));
        });
        if let Some(part) = self.part_mut(index, place) {
            part.logprobs.extend(tokens);
        }
    }

    fn close(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some((index, place)) = self.parts.remove(&part) else { return };
        self.close_part(index, place, out);
        let part = self.items.get(index).and_then(|item| item.parts.get(place));
        if part.is_some_and(|part| matches!(part.content, Content::ToolCall(_))) {
            self.finish_item(index, "completed", out);
        }
    }

    fn close_part(&mut self, index: usize, place: usize, out: &mut Vec<u8>) {
        let Some(part) = self.part_mut(index, place) else { return };
        if std::mem::replace(&mut part.is_closed, true) {
            return;
        }
        match &part.content {
            Content::Text(_) => {
                self.part_event("output_text.done", index, place, out, |root, part| {
                    part.write_text_of(root);
                    root.array("logprobs", |array| write_tokens(array, &part.logprobs));
                });
                self.border("content_part.done", index, place, out);
            }
            Content::Refusal(_) => {
                self.part_event("refusal.done", index, place, out, write_text_of);
                self.border("content_part.done", index, place, out);
            }
            Content::Reasoning(reasoning) if !reasoning.text.is_empty() => {
                self.part_event("reasoning_summary_text.done", index, place, out, write_text_of);
                self.part_event("reasoning_summary_part.done", index, place, out, |root, part| {
                    root.object("part", |object| {
                        object.text("type", "summary_text");
                        part.write_text_of(object);
                    });
                });
            }
            Content::ToolCall(_) => self.close_call(index, place, out),
            _ => {}
        }
    }

    fn close_parts(&mut self, index: usize, out: &mut Vec<u8>) {
        let places = self.items.get(index).map_or(0, |item| item.parts.len());
        (0..places).for_each(|place| self.close_part(index, place, out));
    }

    /// Ends an item, with the parts that are open.
    fn finish_item(&mut self, index: usize, status: &str, out: &mut Vec<u8>) {
        self.close_parts(index, out);
        let Some(item) = self.items.get_mut(index).filter(|it| it.written.is_empty()) else {
            return;
        };
        let parts = item.complete(status, &self.forms);
        self.emit_done(index, out);
        if let Some(Content::ToolCall(call)) = parts.first().map(|part| &part.content) {
            self.prove_call(call, out);
        }
    }

    fn emit_done(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(item) = self.items.get(index) else { return };
        write_numbered(&mut self.sequence, "response.output_item.done", out, |root| {
            root.number("output_index", index as u64);
            root.key("item").extend_from_slice(&item.written);
        });
    }

    fn stop(&mut self, reason: &StopReason, out: &mut Vec<u8>) {
        self.begin(&Start::default(), out);
        self.stop = reason.clone();
        let (status, _) = status_of(reason);
        // Only the last item is incomplete.
        let last = self.items.len().checked_sub(1);
        let cut = self.open_message.take().filter(|index| Some(*index) == last);
        for index in 0..self.items.len() {
            let is_cut = cut == Some(index);
            self.finish_item(index, if is_cut { status } else { "completed" }, out);
        }
        self.parts.clear();
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let stop = self.stop.clone();
        self.stop(&stop, out);
        let (status, incomplete) = status_of(&stop);
        self.envelope(status, status, incomplete, None, out);
        self.has_ended = true;
    }

    /// Appends the error event, and ends a response that has begun with a failure. The reference has
    /// the error's members at the top level of the event, the vendor an object, and libraries look for
    /// either.
    fn fail(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        let mut inner = Vec::new();
        super::openai_chat::write_error(error, &mut inner);
        let inner = inner.strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}"));
        write_numbered(&mut self.sequence, "error", out, |root| {
            match &error.code {
                Some(code) => root.text("code", code),
                None => root.null("code"),
            }
            root.text("message", &error.message);
            match &error.param {
                Some(param) => root.text("param", param),
                None => root.null("param"),
            }
            root.raw_members(inner.unwrap_or_default());
        });
        if !self.id.is_empty() {
            self.envelope("failed", "failed", None, Some(error), out);
        }
        self.has_ended = true;
    }
}

/// Appends one event of that type with the next sequence number.
fn write_numbered(
    sequence: &mut u64,
    kind: &str,
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut ObjectWriter<'_>),
) {
    let number = *sequence;
    *sequence += 1;
    sse::write(out, Some(kind), |root| {
        root.text("type", kind);
        root.number("sequence_number", number);
        fill(root);
    });
}

fn write_text_of(root: &mut ObjectWriter<'_>, part: &PartBuffer) {
    part.write_text_of(root);
}

impl StreamEncoder for Encoder {
    fn complete_at(&mut self, unix: u64) {
        self.now = unix;
    }

    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        if self.has_ended {
            return;
        }
        match chunk {
            Chunk::Start(start) => self.begin(start, out),
            Chunk::BlockStart { choice: 0, part, content } => self.open(*part, content, out),
            Chunk::BlockDelta { choice: 0, part, delta } => self.grow(*part, delta, out),
            Chunk::BlockStop { choice: 0, part } => self.close(*part, out),
            Chunk::Logprobs { choice: 0, tokens } => self.tokens(tokens.clone(), out),
            Chunk::Finish { choice: 0, reason } => self.stop(reason, out),
            Chunk::Usage(usage) => {
                self.usage = Some(self.usage.map_or(*usage, |before| before.then(*usage)));
            }
            Chunk::Ping => out.extend_from_slice(b": ping\n\n"),
            Chunk::Error(error) => self.fail(error, out),
            Chunk::Done => self.end(out),
            // The dialect has one choice only.
            Chunk::BlockStart { .. }
            | Chunk::BlockDelta { .. }
            | Chunk::BlockStop { .. }
            | Chunk::Logprobs { .. }
            | Chunk::Finish { .. } => {}
        }
        if self.bytes > ANSWER_BYTES_MAX && !self.has_ended {
            let error = ApiError {
                status: 502,
                message: "the answer is longer than the gateway can repeat at its end".to_owned(),
                kind: "server_error".to_owned(),
                code: None,
                param: None,
            };
            self.fail(&error, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::openai_responses::answer;
    use crate::llm::{
        Answer, Citation, Dialect, Part, Reasoning, Signature, Text, ToolCall, chunks_of,
    };
    use serde_json::Value;

    fn encode(chunks: &[Chunk]) -> Vec<Value> {
        let mut encoder = Encoder::new(&ChatRequest::default(), 7);
        let mut out = Vec::new();
        chunks.iter().for_each(|chunk| encoder.push(chunk, &mut out));
        let text = String::from_utf8(out).expect("UTF-8");
        let data = |event: &str| {
            let (name, data) = event.split_once('\n')?;
            let data: Value = serde_json::from_str(data.strip_prefix("data: ")?).expect("JSON");
            assert_eq!(name, format!("event: {}", data["type"].as_str().expect("a type")));
            Some(data)
        };
        text.split("\n\n").filter_map(data).collect()
    }

    fn kinds(events: &[Value]) -> Vec<&str> {
        let kind = |event: &Value| event["type"].as_str().map(str::len);
        assert!(events.iter().all(|event| kind(event).is_some()));
        events
            .iter()
            .filter_map(|event| event["type"].as_str())
            .map(|kind| kind.strip_prefix("response.").unwrap_or(kind))
            .collect()
    }

    fn grow(part: u32, delta: Delta) -> Chunk {
        Chunk::BlockDelta { choice: 0, part, delta }
    }

    fn text_delta(part: u32, text: &str) -> Chunk {
        grow(part, Delta::Text(text.to_owned()))
    }

    fn open(part: u32, content: Content) -> Chunk {
        Chunk::BlockStart { choice: 0, part, content }
    }

    fn start() -> Chunk {
        Chunk::Start(Start { id: "answer-1".to_owned(), ..Start::default() })
    }

    fn stop() -> Chunk {
        Chunk::Finish { choice: 0, reason: StopReason::Stop }
    }

    fn rich_answer() -> Answer {
        let signature = |dialect| Some(Signature { dialect, text: "s".to_owned() });
        let reasoning_part = |id: Option<&str>, text: &str, signature| {
            let id = id.map(str::to_owned);
            Part::new(Content::Reasoning(Reasoning {
                id,
                text: text.to_owned(),
                signature,
                sealed: None,
            }))
        };
        let citation = Citation { title: Some("t".to_owned()), ..Citation::default() };
        let call = |id: &str, arguments: &str, signature| {
            Part::new(Content::ToolCall(ToolCall {
                id: id.to_owned(),
                name: "f".to_owned(),
                arguments: arguments.to_owned(),
                signature,
            }))
        };
        let foreign = crate::llm::Json::parse(r#"{"type":"web_search_call","id":"ws_1"}"#);
        let json = foreign.expect("JSON");
        let elsewhere = crate::llm::DialectJson { dialect: Dialect::Gemini, json: json.clone() };
        let own = crate::llm::DialectJson { dialect: Dialect::OpenaiResponses, json };
        let image = crate::llm::Image {
            media: crate::llm::Media::base64("image/png", "AAAA"),
            detail: None,
        };
        let parts = vec![
            reasoning_part(Some("rs_1"), "a", None),
            reasoning_part(Some("rs_1"), "b", signature(Dialect::OpenaiResponses)),
            reasoning_part(None, "c", signature(Dialect::AnthropicMessages)),
            reasoning_part(None, "", signature(Dialect::AnthropicMessages)),
            Part::new(Content::Raw(own)),
            Part::new(Content::Raw(elsewhere)),
            Part::new(Content::Text(Text { text: "d".to_owned(), citations: vec![citation] })),
            Part::text("e"),
            call("call_1", "", signature(Dialect::Gemini)),
            call("call_2", r#"{"x":1}"#, None),
            Part::new(Content::Image(image)),
            Part::text("f"),
            Part::new(Content::Refusal("g".to_owned())),
        ];
        let token = TokenLogprob { token: "d".to_owned(), logprob: -0.5, top: Vec::new() };
        let choice = crate::llm::Choice { parts, stop: StopReason::Length, logprobs: vec![token] };
        let usage = Usage { input_tokens: 3, output_tokens: 4, ..Usage::default() };
        Answer {
            id: "answer-1".to_owned(),
            model: "m".to_owned(),
            created: Some(5),
            choices: vec![choice],
            usage: Some(usage),
            service_tier: None,
            system_fingerprint: None,
        }
    }

    #[test]
    fn last_event_holds_the_complete_response() {
        let answer = rich_answer();
        let events = encode(&chunks_of(&answer));
        let mut whole = Vec::new();
        answer::write(&answer, &ChatRequest::default(), 7, &mut whole);
        let whole: Value = serde_json::from_slice(&whole).expect("JSON");
        let last = events.last().expect("events");
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"], whole);
        assert_eq!(whole["output"].as_array().map(Vec::len), Some(10));
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number, "{event}");
        }
        // Each final item was sent before, at its index.
        let done: Vec<&Value> =
            events.iter().filter(|it| it["type"] == "response.output_item.done").collect();
        assert_eq!(done.len(), 10);
        for event in done {
            let index = event["output_index"].as_u64().expect("a place") as usize;
            assert_eq!(event["item"], whole["output"][index]);
        }
    }

    #[test]
    fn events_are_ordered() {
        let events = encode(&[
            start(),
            open(0, Content::Reasoning(Reasoning::default())),
            text_delta(0, "hm"),
            Chunk::BlockStop { choice: 0, part: 0 },
            open(1, Content::Text(Text::default())),
            text_delta(1, "Hi"),
            grow(1, Delta::Citation(Citation::default())),
            Chunk::Ping,
            text_delta(1, ""),
            Chunk::BlockStop { choice: 0, part: 1 },
            open(2, Content::ToolCall(ToolCall::default())),
            grow(2, Delta::Arguments("{}".to_owned())),
            Chunk::BlockStop { choice: 0, part: 2 },
            stop(),
            Chunk::Done,
        ]);
        let expected = [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.annotation.added",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ];
        assert_eq!(kinds(&events), expected);
    }

    #[test]
    fn interleaved_calls_are_encoded() {
        let call =
            |id: &str| Content::ToolCall(ToolCall { id: id.to_owned(), ..ToolCall::default() });
        let piece = |part, text: &str| grow(part, Delta::Arguments(text.to_owned()));
        let events = encode(&[
            start(),
            open(0, call("a")),
            open(1, call("b")),
            piece(0, "{\"x\""),
            piece(1, "{\"y\""),
            piece(0, ":1}"),
            piece(1, ":2}"),
            stop(),
            Chunk::Done,
        ]);
        let output = &events.last().expect("events")["response"]["output"];
        for (index, id, arguments) in [(0, "a", "{\"x\":1}"), (1, "b", "{\"y\":2}")] {
            assert_eq!(output[index]["call_id"], id);
            assert_eq!(output[index]["arguments"], arguments);
        }
    }

    #[test]
    fn failed_stream_does_not_look_complete() {
        let error = ApiError {
            status: 429,
            message: "too many".to_owned(),
            kind: "rate_limit_error".to_owned(),
            code: None,
            param: None,
        };
        let begun = [start(), open(0, Content::Text(Text::default())), text_delta(0, "Hi")];
        let mut chunks = begun.to_vec();
        chunks.extend([Chunk::Error(error.clone()), text_delta(0, "x"), stop(), Chunk::Done]);
        let events = encode(&chunks);
        let [.., event, last] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((&event["type"], &event["message"]), (&"error".into(), &"too many".into()));
        assert_eq!(event["error"]["type"], "rate_limit_error");
        assert_eq!(
            (&last["type"], &last["response"]["status"]),
            (&"response.failed".into(), &"failed".into())
        );
        assert_eq!(last["response"]["error"]["code"], "rate_limit_exceeded");
        // Without a start there is no response that could fail.
        assert_eq!(kinds(&encode(&[Chunk::Error(error)])), ["error"]);
        // A truncated stream has neither.
        let kinds = encode(&begun);
        let is_end = |event: &Value| event["response"]["status"].as_str() == Some("completed");
        assert!(!kinds.iter().any(is_end));
    }

    #[test]
    fn unbounded_response_is_ended() {
        let mut encoder = Encoder::new(&ChatRequest::default(), 7);
        let mut out = Vec::new();
        encoder.push(&open(0, Content::Text(Text::default())), &mut out);
        let piece = text_delta(0, &"x".repeat(1 << 20));
        for _ in 0..40 {
            out.clear();
            encoder.push(&piece, &mut out);
            if encoder.has_ended {
                break;
            }
        }
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(encoder.has_ended && text.contains("event: error\n"));
        let mut later = Vec::new();
        encoder.push(&Chunk::Done, &mut later);
        assert!(later.is_empty());
    }

    #[test]
    fn event_cost_is_constant() {
        let mut encoder = Encoder::new(&ChatRequest::default(), 7);
        let mut out = Vec::new();
        encoder.push(&open(0, Content::Text(Text::default())), &mut out);
        let mut sizes = Vec::new();
        for _ in 0..2000 {
            out.clear();
            encoder.push(&text_delta(0, "word "), &mut out);
            sizes.push(out.len());
        }
        let (first, last) = (sizes[0], sizes[1999]);
        assert!(last <= first + 4, "{first} and {last} bytes");
    }

    #[test]
    fn stray_chunks_are_dropped() {
        let token = TokenLogprob { token: "x".to_owned(), logprob: -0.5, top: Vec::new() };
        let events = encode(&[
            text_delta(9, "x"),
            Chunk::BlockStop { choice: 0, part: 9 },
            Chunk::Logprobs { choice: 0, tokens: vec![token] },
            Chunk::BlockStart { choice: 1, part: 0, content: Content::Text(Text::default()) },
            Chunk::Finish { choice: 1, reason: StopReason::Length },
            open(0, Content::Text(Text { text: "Hi".to_owned(), citations: Vec::new() })),
            stop(),
            Chunk::Done,
        ]);
        let response = &events.last().expect("events")["response"];
        assert_eq!(response["status"], "completed");
        assert_eq!(response["output"][0]["content"][0]["text"], "Hi");
        // Log probabilities that arrived early are sent with the text.
        assert_eq!(response["output"][0]["content"][0]["logprobs"][0]["token"], "x");
    }
}
