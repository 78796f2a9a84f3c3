//! A client's stream: numbered events, of which the last one repeats the whole answer.
//!
//! An item is written out once, when it is complete, and its bytes are kept for the last event; until
//! then its words gather beside it. So an event costs the same early and late in a stream, but for
//! those that end something. What is kept is bounded by [`ANSWER_BYTES_MAX`]: an answer beyond it ends
//! with an error.
//!
//! The model's words stay open until something else begins, since more parts of the same message or
//! thought may follow.

use std::collections::BTreeMap;

use super::answer::{Envelope, echo, status_of};
use super::output::{self, Said};
use super::{identity, proof};
use crate::dialects::codec::StreamEncoder;
use crate::dialects::openai_chat::write_tokens;
use crate::dialects::sse;
use crate::llm::{
    ApiError, ChatRequest, Chunk, Content, Growth, ObjectWriter, Reasoning, Start, StopReason,
    Text, TokenLogprob, ToolCall, Usage, write_array, write_object,
};

/// Most bytes of an answer that are kept for the last event. The longest texts have a megabyte,
/// generated pictures a few.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// What an item is reckoned to cost beside its words.
const ITEM_BYTES: usize = 256;

/// What is known of one client's stream.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The members that repeat the request.
    echo: Vec<u8>,
    start: Start,
    created: u64,
    /// The answer's id for the client; empty until the stream has begun.
    id: String,
    sequence: u64,
    /// By `output_index`.
    items: Vec<Item>,
    /// Where each open part is: its item and place there.
    parts: BTreeMap<u32, (usize, usize)>,
    /// The item whose words are open.
    speaking: Option<usize>,
    /// Tokens that came before the text they belong to.
    early: Vec<TokenLogprob>,
    bytes: usize,
    stop: StopReason,
    usage: Option<Usage>,
    has_ended: bool,
}

/// One item, as far as it has come.
#[derive(Debug)]
struct Item {
    id: String,
    parts: Vec<Gathered>,
    /// Itself, once it is complete. Its parts are gone then.
    written: Vec<u8>,
}

/// One part of an item.
#[derive(Debug)]
struct Gathered {
    content: Content,
    logprobs: Vec<TokenLogprob>,
    /// Its number in a summary.
    summary: u64,
    is_closed: bool,
}

impl Encoder {
    pub(super) fn new(request: &ChatRequest, now_unix: u64) -> Self {
        Self {
            echo: echo(request),
            start: Start::default(),
            created: now_unix,
            id: String::new(),
            sequence: 0,
            items: Vec::new(),
            parts: BTreeMap::new(),
            speaking: None,
            early: Vec::new(),
            bytes: 0,
            stop: StopReason::Stop,
            usage: None,
            has_ended: false,
        }
    }

    /// Appends one event; `kind` is its type behind `response.`.
    fn event(&mut self, kind: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        write_numbered(&mut self.sequence, &format!("response.{kind}"), out, fill);
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

    /// Appends an event that has the whole answer in it.
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
            model: &start.model,
            service_tier: start.service_tier.as_deref(),
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
        let Some(kind) = output::kind_of(content) else { return };
        self.begin(&Start::default(), out);
        let (begun, grown) = taken_apart(content);
        let joined = self.speaking.filter(|index| {
            let last = self.items.get(*index).and_then(|item| item.parts.last());
            last.is_some_and(|last| output::is_one_item(&last.content, content))
        });
        let index = match joined {
            Some(index) => {
                // The part before it is over, whether that was said or not.
                self.close_parts(index, out);
                index
            }
            None => self.open_item(kind, &begun, out),
        };
        let Some(item) = self.items.get_mut(index) else { return };
        let summary = item.parts.iter().filter(|part| has_words(&part.content)).count() as u64;
        let place = item.parts.len();
        let logprobs = Vec::new();
        let gathered = Gathered { content: begun, logprobs, summary, is_closed: false };
        item.parts.push(gathered);
        self.parts.insert(part, (index, place));
        if kind == "msg" {
            self.open_said(index, place, out);
        }
        for growth in &grown {
            self.grow(part, growth, out);
        }
        if matches!(content, Content::Text(_)) && !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            self.tokens(early, out);
        }
        if kind == "ig" || kind.is_empty() {
            self.parts.remove(&part);
            self.finish_item(index, "completed", out);
        }
    }

    /// Begins an item, and ends the words that were open.
    fn open_item(&mut self, kind: &'static str, content: &Content, out: &mut Vec<u8>) -> usize {
        if let Some(before) = self.speaking.take() {
            self.finish_item(before, "completed", out);
        }
        let index = self.items.len();
        let id = output::id_of(content, kind, index, &self.id);
        self.keep(ITEM_BYTES + id.len());
        let mut begun = Vec::with_capacity(256);
        write_begun(&mut begun, &id, content);
        self.event("output_item.added", out, |root| {
            root.number("output_index", index as u64);
            root.key("item").extend_from_slice(&begun);
        });
        if matches!(kind, "msg" | "rs") {
            self.speaking = Some(index);
        }
        self.items.push(Item { id, parts: Vec::new(), written: Vec::new() });
        index
    }

    fn open_said(&mut self, index: usize, place: usize, out: &mut Vec<u8>) {
        self.part_event("content_part.added", index, place, out, |root, part| {
            root.object("part", |object| output::write_said(object, part.said()));
        });
    }

    /// Appends an event on one part of a message.
    fn part_event(
        &mut self,
        kind: &str,
        index: usize,
        place: usize,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut ObjectWriter<'_>, &Gathered),
    ) {
        let Some(item) = self.items.get(index) else { return };
        let Some(part) = item.parts.get(place) else { return };
        let (place_name, place) = match part.content {
            Content::Reasoning(_) => ("summary_index", Some(part.summary)),
            Content::ToolCall(_) => ("", None),
            _ => ("content_index", Some(place as u64)),
        };
        write_numbered(&mut self.sequence, &format!("response.{kind}"), out, |root| {
            root.text("item_id", &item.id);
            root.number("output_index", index as u64);
            if let Some(place) = place {
                root.number(place_name, place);
            }
            fill(root, part);
        });
    }

    fn keep(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn part_mut(&mut self, index: usize, place: usize) -> Option<&mut Gathered> {
        self.items.get_mut(index)?.parts.get_mut(place)
    }

    fn grow(&mut self, part: u32, growth: &Growth, out: &mut Vec<u8>) {
        let Some((index, place)) = self.parts.get(&part).copied() else { return };
        let Some(gathered) = self.part_mut(index, place) else { return };
        let had_words = has_words(&gathered.content);
        match (&mut gathered.content, growth) {
            (Content::Text(text), Growth::Text(piece)) => {
                text.text.push_str(piece);
                self.delta("output_text.delta", index, place, piece, out);
            }
            (Content::Refusal(text), Growth::Text(piece)) => {
                text.push_str(piece);
                self.delta("refusal.delta", index, place, piece, out);
            }
            (Content::Reasoning(thought), Growth::Text(piece)) => {
                thought.text.push_str(piece);
                if !had_words && !piece.is_empty() {
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
            (Content::Text(text), Growth::Citation(citation)) => {
                let at = text.citations.len() as u64;
                text.citations.push(citation.clone());
                let kind = "output_text.annotation.added";
                self.part_event(kind, index, place, out, |root, _| {
                    root.number("annotation_index", at);
                    output::write_citation(root.key("annotation"), citation);
                });
                self.keep(ITEM_BYTES);
            }
            (Content::ToolCall(call), Growth::Arguments(piece)) => {
                call.arguments.push_str(piece);
                self.delta("function_call_arguments.delta", index, place, piece, out);
            }
            (Content::Reasoning(thought), Growth::Signature(signature)) => {
                thought.signature = Some(signature.clone());
                self.keep(signature.text.len());
            }
            (Content::ToolCall(call), Growth::Signature(signature)) => {
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

    /// Tells how likely the latest tokens were: with a delta that adds no words.
    fn tokens(&mut self, tokens: Vec<TokenLogprob>, out: &mut Vec<u8>) {
        self.keep(tokens.iter().map(|token| 64 * (1 + token.top.len())).sum());
        let open = self.speaking.and_then(|index| {
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
        match &mut part.content {
            Content::Text(_) => {
                self.part_event("output_text.done", index, place, out, |root, part| {
                    if let Content::Text(text) = &part.content {
                        root.text("text", &text.text);
                    }
                    root.array("logprobs", |array| write_tokens(array, &part.logprobs));
                });
                self.close_said(index, place, out);
            }
            Content::Refusal(_) => {
                self.part_event("refusal.done", index, place, out, |root, part| {
                    if let Content::Refusal(text) = &part.content {
                        root.text("refusal", text);
                    }
                });
                self.close_said(index, place, out);
            }
            Content::Reasoning(thought) if !thought.text.is_empty() => {
                self.part_event("reasoning_summary_text.done", index, place, out, thought_text);
                self.part_event("reasoning_summary_part.done", index, place, out, |root, part| {
                    root.object("part", |object| {
                        object.text("type", "summary_text");
                        thought_text(object, part);
                    });
                });
            }
            Content::ToolCall(call) => {
                if call.arguments.is_empty() {
                    let empty = output::all_arguments(call).to_owned();
                    call.arguments.clone_from(&empty);
                    self.delta("function_call_arguments.delta", index, place, &empty, out);
                }
                let kind = "function_call_arguments.done";
                self.part_event(kind, index, place, out, |root, part| {
                    if let Content::ToolCall(call) = &part.content {
                        root.text("name", &call.name);
                        root.text("arguments", &call.arguments);
                    }
                });
            }
            _ => {}
        }
    }

    fn close_said(&mut self, index: usize, place: usize, out: &mut Vec<u8>) {
        self.part_event("content_part.done", index, place, out, |root, part| {
            root.object("part", |object| output::write_said(object, part.said()));
        });
    }

    fn close_parts(&mut self, index: usize, out: &mut Vec<u8>) {
        let places = self.items.get(index).map_or(0, |item| item.parts.len());
        (0..places).for_each(|place| self.close_part(index, place, out));
    }

    /// Ends an item with what is still open of it.
    fn finish_item(&mut self, index: usize, status: &str, out: &mut Vec<u8>) {
        self.close_parts(index, out);
        let Some(item) = self.items.get_mut(index).filter(|it| it.written.is_empty()) else {
            return;
        };
        let parts = std::mem::take(&mut item.parts);
        let said: Vec<Said<'_>> = parts.iter().map(Gathered::said).collect();
        output::write_item(&mut item.written, &item.id, status, &said);
        self.tell_done(index, out);
        if let Some(Content::ToolCall(call)) = parts.first().map(|part| &part.content) {
            self.prove_call(call, out);
        }
    }

    fn tell_done(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(item) = self.items.get(index) else { return };
        write_numbered(&mut self.sequence, "response.output_item.done", out, |root| {
            root.number("output_index", index as u64);
            root.key("item").extend_from_slice(&item.written);
        });
    }

    /// Tells the proof of a call in an item behind it.
    fn prove_call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        let Some(signature) = &call.signature else { return };
        let index = self.open_item("rs", &Content::Reasoning(Reasoning::default()), out);
        self.speaking = None;
        if let Some(item) = self.items.get_mut(index) {
            output::write_proof_of_call(&mut item.written, &item.id, &call.id, signature);
        }
        self.tell_done(index, out);
    }

    fn stop(&mut self, reason: &StopReason, out: &mut Vec<u8>) {
        self.begin(&Start::default(), out);
        self.stop = reason.clone();
        let (status, _) = status_of(reason);
        // What was cut is the last thing said.
        let last = self.items.len().checked_sub(1);
        let cut = self.speaking.take().filter(|index| Some(*index) == last);
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

    /// The reference has the error's members at the top of its event, the vendor sends an object, and
    /// libraries look for either. An answer that has begun fails too.
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

/// Appends one event of that type with the next number.
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

fn thought_text(root: &mut ObjectWriter<'_>, part: &Gathered) {
    if let Content::Reasoning(thought) = &part.content {
        root.text("text", &thought.text);
    }
}

/// True for a thought that says something.
fn has_words(content: &Content) -> bool {
    matches!(content, Content::Reasoning(thought) if !thought.text.is_empty())
}

/// A part as it begins, and how it grows to what it is.
fn taken_apart(content: &Content) -> (Content, Vec<Growth>) {
    let words = |text: &String| Growth::Text(text.clone());
    match content {
        Content::Text(text) => {
            let citations = text.citations.iter().cloned().map(Growth::Citation);
            let grown = std::iter::once(words(&text.text)).chain(citations).collect();
            (Content::Text(Text::default()), grown)
        }
        Content::Refusal(text) => (Content::Refusal(String::new()), vec![words(text)]),
        Content::Reasoning(thought) => {
            let begun = Reasoning { text: String::new(), ..thought.clone() };
            (Content::Reasoning(begun), vec![words(&thought.text)])
        }
        Content::ToolCall(call) => {
            let begun = ToolCall { arguments: String::new(), ..call.clone() };
            (Content::ToolCall(begun), vec![Growth::Arguments(call.arguments.clone())])
        }
        other => (other.clone(), Vec::new()),
    }
}

/// Writes an item as it begins.
fn write_begun(out: &mut Vec<u8>, id: &str, content: &Content) {
    if let Content::Foreign(_) = content {
        let said = Said { content, logprobs: &[] };
        output::write_item(out, id, "in_progress", &[said]);
        return;
    }
    write_object(out, |item| {
        item.text("id", id);
        match content {
            Content::ToolCall(call) => output::call_members(item, call, "in_progress", ""),
            Content::Image(_) => output::picture_members(item, None, "in_progress"),
            Content::Reasoning(thought) => {
                item.text("type", "reasoning");
                item.array("summary", |_| {});
                item.optional_text("encrypted_content", proof::write(thought).as_deref());
            }
            _ => {
                item.text("type", "message");
                item.text("status", "in_progress");
                item.text("role", "assistant");
                item.array("content", |_| {});
            }
        }
    });
}

impl Gathered {
    fn said(&self) -> Said<'_> {
        Said { content: &self.content, logprobs: &self.logprobs }
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        if self.has_ended {
            return;
        }
        match chunk {
            Chunk::Start(start) => self.begin(start, out),
            Chunk::Open { choice: 0, part, content } => self.open(*part, content, out),
            Chunk::Grow { choice: 0, part, growth } => self.grow(*part, growth, out),
            Chunk::Close { choice: 0, part } => self.close(*part, out),
            Chunk::Logprobs { choice: 0, tokens } => self.tokens(tokens.clone(), out),
            Chunk::Stop { choice: 0, reason } => self.stop(reason, out),
            Chunk::Usage(usage) => {
                self.usage = Some(self.usage.map_or(*usage, |before| before.then(*usage)));
            }
            Chunk::Ping => out.extend_from_slice(b": ping\n\n"),
            Chunk::Error(error) => self.fail(error, out),
            Chunk::End => self.end(out),
            // The dialect has one answer only.
            Chunk::Open { .. }
            | Chunk::Grow { .. }
            | Chunk::Close { .. }
            | Chunk::Logprobs { .. }
            | Chunk::Stop { .. } => {}
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
