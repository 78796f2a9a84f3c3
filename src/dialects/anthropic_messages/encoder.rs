//! A client's stream: `message_start`, the blocks, `message_delta` with the stop reason and the usage,
//! `message_stop`.
//!
//! Clients expect one block at a time, numbered in order; `part_order.rs` puts the parts in order. A
//! text or reasoning block begins with its first text, since the vendor rejects an empty block when the
//! client sends it back.

use std::collections::BTreeMap;

use super::answer::{Ending, ID_PREFIX, call_id, redacted, write_citation};
use super::write_block::text_block;
use super::{error, name, signature, usage};
use crate::dialects::codec::StreamEncoder;
use crate::dialects::{answer_id, media_link, sse};
use crate::http::{SseEvent, write_event};
use crate::llm::{
    ChatRequest, Chunk, Content, Delta, Dialect, Json, ObjectWriter, Reasoning, Signature, Start,
    Text, ToolCall, Usage, estimate_request_tokens,
};

/// Maximum number of parts.
const PARTS_MAX: usize = 4096;

/// Maximum size of a refusal, which is buffered until the end.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    now_unix: u64,
    /// Held back until the next chunk, which may have the usage.
    start: Option<Start>,
    has_begun: bool,
    /// Estimated tokens of the request: most providers report them at the end of the stream only.
    estimate: u64,
    usage: Option<Usage>,
    ending: Ending,
    /// Number of the next block.
    next: u64,
    /// The block that is open.
    open: Option<u64>,
    /// Parts that are open.
    parts: BTreeMap<u32, Part>,
    /// Signatures without text, which wait for another block: see [`signature::is_for_words_before`].
    waiting: Vec<Reasoning>,
}

#[derive(Debug)]
struct Part {
    /// Number of its block, once that has begun.
    block: Option<u64>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    /// As it was opened.
    Thought(Reasoning),
    /// With the signature that came after it opened.
    Call {
        id: String,
        proof: Option<Signature>,
    },
    Refusal,
    /// A block that only this dialect has.
    Whole,
    Silent,
}

impl Encoder {
    pub(super) fn new(request: &ChatRequest, now_unix: u64) -> Self {
        Self {
            now_unix,
            start: None,
            has_begun: false,
            estimate: estimate_request_tokens(request),
            usage: None,
            ending: Ending::default(),
            next: 0,
            open: None,
            parts: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Writes `message_start`, once.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let start = self.start.take().unwrap_or_default();
        let estimate = Usage { input_tokens: self.estimate, ..Usage::default() };
        let counts = self.usage.unwrap_or(estimate);
        event(out, "message_start", |root| {
            root.object("message", |message| {
                message.text("id", &answer_id::for_client(ID_PREFIX, &start.id));
                message.text("type", "message");
                message.text("role", "assistant");
                message.text("model", &start.model);
                message.array("content", |_| {});
                message.null("stop_reason");
                message.null("stop_sequence");
                message.null("stop_details");
                let tier = start.service_tier.as_deref();
                message.object("usage", |object| usage::write(object, &counts, tier));
            });
        });
    }

    /// Begins a block; `fill` writes its first members.
    fn begin_block(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) -> u64 {
        self.begin_raw(out, |root| root.object("content_block", fill))
    }

    fn begin_raw(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) -> u64 {
        self.end_block(out);
        for reasoning in std::mem::take(&mut self.waiting) {
            self.emit_reasoning(&reasoning, out);
        }
        let index = self.next;
        self.next += 1;
        self.open = Some(index);
        event(out, "content_block_start", |root| {
            root.number("index", index);
            fill(root);
        });
        index
    }

    /// Ends the open block.
    fn end_block(&mut self, out: &mut Vec<u8>) {
        if let Some(index) = self.open.take() {
            event(out, "content_block_stop", |root| root.number("index", index));
        }
    }

    fn open(&mut self, part: u32, content: &Content, out: &mut Vec<u8>) {
        if self.parts.len() >= PARTS_MAX {
            return;
        }
        if let Some(link) = media_link::link(content) {
            return self.open(
                part,
                &Content::Text(Text { text: link, citations: Vec::new() }),
                out,
            );
        }
        let (block, kind) = match content {
            Content::Text(_) => (None, Kind::Text),
            Content::Reasoning(reasoning) => {
                let begun = Reasoning { text: String::new(), ..reasoning.clone() };
                (None, Kind::Thought(begun))
            }
            Content::ToolCall(call) => {
                let (block, id) = self.open_call(part, call, out);
                (Some(block), Kind::Call { id, proof: None })
            }
            Content::Refusal(_) => (None, Kind::Refusal),
            Content::Raw(foreign) if foreign.dialect == Dialect::AnthropicMessages => {
                let json: &Json = &foreign.json;
                (Some(self.begin_raw(out, |root| root.raw("content_block", json))), Kind::Whole)
            }
            _ => (None, Kind::Silent),
        };
        self.parts.insert(part, Part { block, kind });
        let grown = match content {
            Content::Text(text) => Some(&text.text),
            Content::Reasoning(reasoning) => Some(&reasoning.text),
            Content::Refusal(text) => Some(text),
            _ => None,
        };
        if let Some(text) = grown.filter(|text| !text.is_empty()) {
            self.grow(part, &Delta::Text(text.clone()), out);
        }
        if let Content::Text(text) = content {
            for citation in &text.citations {
                self.grow(part, &Delta::Citation(citation.clone()), out);
            }
        }
    }

    /// Begins the block of a call, with what is known so far. Returns the block's number and the call's
    /// id.
    fn open_call(&mut self, part: u32, call: &ToolCall, out: &mut Vec<u8>) -> (u64, String) {
        self.ending.has_calls = true;
        let id = call_id(call, self.now_unix, part);
        if let Some(signature) = &call.signature {
            self.emit_signature(&id, signature, out);
        }
        let block = self.begin_block(out, |block| {
            block.text("type", "tool_use");
            block.text("id", &name::write(&id));
            block.text("name", &name::write(&call.name));
            block.object("input", |_| {});
        });
        if !call.arguments.is_empty() {
            input(out, block, &call.arguments);
        }
        (block, id)
    }

    fn emit_signature(&mut self, id: &str, signature: &Signature, out: &mut Vec<u8>) {
        let data = signature::data_of_call(id, signature);
        self.begin_block(out, |block| redacted(block, &data));
        self.end_block(out);
    }

    fn grow(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(Part { block, kind }) = self.parts.get_mut(&part) else { return };
        match (delta, kind) {
            (Delta::Text(text), Kind::Refusal) => {
                let room = REFUSAL_BYTES_MAX.saturating_sub(self.ending.refusal.len());
                self.ending.refusal.extend(text.chars().take(room / 4));
            }
            (Delta::Text(text), Kind::Text) => {
                let index = self.block_of_words(part, out);
                write_delta(out, index, "text_delta", |delta| delta.text("text", text));
            }
            (Delta::Citation(citation), Kind::Text) => {
                let index = self.block_of_words(part, out);
                write_delta(out, index, "citations_delta", |delta| {
                    write_citation(delta.key("citation"), citation);
                });
            }
            (Delta::Text(text), Kind::Thought(_)) => {
                let index = self.block_of_words(part, out);
                write_delta(out, index, "thinking_delta", |delta| delta.text("thinking", text));
            }
            (Delta::Signature(signature), Kind::Thought(reasoning)) => {
                reasoning.signature = Some(signature.clone());
                if block.is_none() && signature::is_for_words_before(reasoning) {
                    return;
                }
                let text = signature::signature(reasoning).into_owned();
                let index = self.block_of_words(part, out);
                write_delta(out, index, "signature_delta", |delta| delta.text("signature", &text));
            }
            (Delta::Signature(signature), Kind::Call { proof, .. }) => {
                *proof = Some(signature.clone());
            }
            (Delta::Arguments(piece), Kind::Call { .. }) => {
                if let Some(index) = *block {
                    input(out, index, piece);
                }
            }
            _ => {}
        }
    }

    /// The block of a text or reasoning part, begun if necessary.
    fn block_of_words(&mut self, part: u32, out: &mut Vec<u8>) -> u64 {
        let known = self.parts.get(&part).and_then(|part| part.block);
        if let Some(index) = known {
            return index;
        }
        // What the start of the reasoning part had; a signature may follow the text.
        let proof = self.parts.get(&part).and_then(|part| match &part.kind {
            Kind::Thought(reasoning) => {
                let begun = Reasoning { signature: None, ..reasoning.clone() };
                Some(signature::signature(&begun).into_owned())
            }
            _ => None,
        });
        let index = self.begin_block(out, |block| match &proof {
            None => text_block(block, ""),
            Some(proof) => {
                block.text("type", "thinking");
                block.text("thinking", "");
                block.text("signature", proof);
            }
        });
        if let Some(part) = self.parts.get_mut(&part) {
            part.block = Some(index);
        }
        index
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(part) = self.parts.remove(&number) else { return };
        let is_open = part.block.is_some() && part.block == self.open;
        match part.kind {
            Kind::Thought(reasoning) => self.close_reasoning(&reasoning, part.block, out),
            Kind::Call { id, proof: Some(proof) } => self.emit_signature(&id, &proof, out),
            _ => {}
        }
        if is_open {
            self.end_block(out);
        }
    }

    fn close_reasoning(&mut self, reasoning: &Reasoning, block: Option<u64>, out: &mut Vec<u8>) {
        match (block, &reasoning.sealed) {
            (Some(index), Some(_)) if reasoning.signature.is_none() => {
                // Repeats the signature of the start, which some clients drop.
                let text = signature::signature(reasoning);
                write_delta(out, index, "signature_delta", |delta| delta.text("signature", &text));
            }
            (None, Some(sealed)) => {
                let data = signature::data(reasoning, sealed);
                self.begin_block(out, |block| redacted(block, &data));
                self.end_block(out);
            }
            (None, None) if self.next > 0 && signature::is_for_words_before(reasoning) => {
                self.waiting.push(reasoning.clone());
            }
            (None, None) if reasoning.id.is_some() || reasoning.signature.is_some() => {
                self.emit_reasoning(reasoning, out);
            }
            _ => {}
        }
    }

    /// Writes a complete block of reasoning without text.
    fn emit_reasoning(&mut self, reasoning: &Reasoning, out: &mut Vec<u8>) {
        self.begin_block(out, |block| {
            block.text("type", "thinking");
            block.text("thinking", "");
            block.text("signature", &signature::signature(reasoning));
        });
        self.end_block(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        while let Some(number) = self.parts.keys().next().copied() {
            self.close(number, out);
        }
        self.end_block(out);
        event(out, "message_delta", |root| {
            root.object("delta", |delta| self.ending.write(delta));
            root.object("usage", |object| match &self.usage {
                Some(counts) => usage::write_last(object, counts),
                // The usage in `message_start` remains valid.
                None => object.number("output_tokens", 0),
            });
        });
        event(out, "message_stop", |_| {});
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        match chunk {
            Chunk::Start(start) => {
                self.start = Some(start.clone());
                return;
            }
            Chunk::Usage(counts) => {
                self.usage = Some(self.usage.map_or(*counts, |before| before.then(*counts)));
                return;
            }
            Chunk::Error(error) => {
                let mut data = Vec::new();
                error::write(error, &mut data);
                let name = Some("error");
                write_event(out, &SseEvent { name, data: &data, ..SseEvent::default() });
                return;
            }
            _ => self.begin(out),
        }
        match chunk {
            Chunk::BlockStart { choice: 0, part, content } => self.open(*part, content, out),
            Chunk::BlockDelta { choice: 0, part, delta } => self.grow(*part, delta, out),
            Chunk::BlockStop { choice: 0, part } => self.close(*part, out),
            Chunk::Finish { choice: 0, reason } => self.ending.stop = Some(reason.clone()),
            Chunk::Ping => event(out, "ping", |_| {}),
            Chunk::Done => self.end(out),
            // The dialect has one choice and no log probabilities.
            _ => {}
        }
    }
}

/// Appends one event; its type is repeated in its data.
fn event(out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
    sse::write(out, Some(name), |root| {
        root.text("type", name);
        fill(root);
    });
}

fn write_delta(
    out: &mut Vec<u8>,
    index: u64,
    kind: &str,
    fill: impl FnOnce(&mut ObjectWriter<'_>),
) {
    event(out, "content_block_delta", |root| {
        root.number("index", index);
        root.object("delta", |delta| {
            delta.text("type", kind);
            fill(delta);
        });
    });
}

/// Appends a fragment of a call's arguments.
fn input(out: &mut Vec<u8>, index: u64, piece: &str) {
    write_delta(out, index, "input_json_delta", |delta| delta.text("partial_json", piece));
}

#[cfg(test)]
mod tests {
    use super::super::decoder::Decoder;
    use super::*;
    use crate::dialects::codec::StreamDecoder;
    use crate::dialects::part_order::PartOrder;
    use crate::http::EventReader;
    use crate::llm::{
        Answer, ApiError, Choice, ChunkAssembler, Dialect, Part as AnswerPart, Scanner, StopReason,
        Text, chunks_of,
    };

    fn encode(chunks: &[Chunk]) -> Vec<u8> {
        let mut encoder = PartOrder::new(Encoder::new(&ChatRequest::default(), 7));
        let mut out = Vec::new();
        chunks.iter().for_each(|chunk| encoder.push(chunk, &mut out));
        out
    }

    /// The name of each event, and its block number.
    fn outline(stream: &[u8]) -> Vec<String> {
        let mut reader = EventReader::new(1 << 20);
        reader.push(stream);
        let mut found = Vec::new();
        while let Some(event) = reader.next().expect("events") {
            let data: serde_json::Value = serde_json::from_slice(event.data).expect("JSON");
            assert_eq!(data["type"].as_str(), event.name, "the type stands in both places");
            let name = event.name.expect("a name").replace("content_block_", "");
            let index = data["index"].as_u64().map(|index| format!(" {index}"));
            found.push(name + index.as_deref().unwrap_or_default());
        }
        found
    }

    fn decode(stream: &[u8]) -> Result<Option<Answer>, ApiError> {
        let (mut decoder, mut scanner) = (Decoder::default(), Scanner::default());
        let (mut reader, mut assembler) = (EventReader::new(1 << 20), ChunkAssembler::default());
        reader.push(stream);
        let mut chunks = Vec::new();
        while let Some(event) = reader.next().expect("events") {
            decoder.event(event.name, event.data, &mut scanner, &mut chunks).expect("JSON");
        }
        decoder.finish(&mut chunks);
        chunks.into_iter().for_each(|chunk| assembler.push(chunk));
        assembler.finish()
    }

    fn open(part: u32, content: Content) -> Chunk {
        Chunk::BlockStart { choice: 0, part, content }
    }

    fn grow(part: u32, delta: Delta) -> Chunk {
        Chunk::BlockDelta { choice: 0, part, delta }
    }

    fn call(part: u32, id: &str) -> Chunk {
        let call = ToolCall { id: id.to_owned(), name: "f".to_owned(), ..ToolCall::default() };
        open(part, Content::ToolCall(call))
    }

    fn arguments(part: u32, piece: &str) -> Chunk {
        grow(part, Delta::Arguments(piece.to_owned()))
    }

    fn close(part: u32) -> Chunk {
        Chunk::BlockStop { choice: 0, part }
    }

    #[test]
    fn blocks_are_emitted_one_at_a_time() {
        let chunks = [
            Chunk::Start(Start::default()),
            Chunk::Usage(Usage { input_tokens: 3, ..Usage::default() }),
            Chunk::Ping,
            open(0, Content::Text(Text::default())),
            grow(0, Delta::Text("Hi".to_owned())),
            close(0),
            // This one stays empty.
            open(1, Content::Text(Text::default())),
            close(1),
            // Calls that end together with the response, as in OpenAI's streams.
            call(2, "a"),
            arguments(2, "{}"),
            call(3, "b"),
            arguments(3, "{}"),
            close(2),
            close(3),
            Chunk::Finish { choice: 0, reason: StopReason::Stop },
            Chunk::Usage(Usage { output_tokens: 5, ..Usage::default() }),
            Chunk::Done,
        ];
        let stream = encode(&chunks);
        let expected = [
            "message_start",
            "ping",
            "start 0",
            "delta 0",
            "stop 0",
            "start 1",
            "delta 1",
            "stop 1",
            "start 2",
            "delta 2",
            "stop 2",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(outline(&stream), expected);
        // An end is sent at once, so that clients may act on it.
        assert_eq!(outline(&encode(&chunks[..6])), expected[..5]);
        let text = String::from_utf8(stream).expect("UTF-8");
        let (start, rest) = text.split_once("\n\n").expect("events");
        assert!(start.contains(r#""input_tokens":3"#), "{start}");
        assert!(rest.contains(r#""stop_reason":"tool_use""#), "calls make it so: {rest}");
        assert!(rest.contains(r#""usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":5}"#), "{rest}");
    }

    #[test]
    fn interleaved_calls_become_ordered_blocks() {
        let chunks = [
            Chunk::Start(Start::default()),
            call(0, "a"),
            arguments(0, "[1,"),
            call(1, ""),
            arguments(1, "[2,"),
            arguments(0, "3]"),
            arguments(1, "4]"),
            close(0),
            close(1),
            Chunk::Finish { choice: 0, reason: StopReason::ToolCalls },
            Chunk::Done,
        ];
        let stream = encode(&chunks);
        let expected = [
            "message_start",
            "start 0",
            "delta 0",
            "delta 0",
            "stop 0",
            "start 1",
            "delta 1",
            "delta 1",
            "stop 1",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(outline(&stream), expected);
        let answer = decode(&stream).expect("no error").expect("complete");
        let found: Vec<(&str, &str)> = answer.choices[0]
            .parts
            .iter()
            .filter_map(|part| match &part.content {
                Content::ToolCall(call) => Some((call.id.as_str(), call.arguments.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(found, [("a", "[1,3]"), ("call_7_1", "[2,4]")]);
    }

    #[test]
    fn foreign_signatures_round_trip() {
        let proof = |dialect| Some(Signature { dialect, text: "c2ln".to_owned() });
        let reasoning_part = |id: Option<&str>, text: &str, signature, sealed| {
            let (id, text) = (id.map(str::to_owned), text.to_owned());
            Content::Reasoning(Reasoning { id, text, signature, sealed })
        };
        let call = |signature| {
            let (id, name) = ("a".to_owned(), "f".to_owned());
            Content::ToolCall(ToolCall { id, name, arguments: String::new(), signature })
        };
        let responses = || proof(Dialect::OpenaiResponses);
        let contents = [
            reasoning_part(None, "hm", proof(Dialect::AnthropicMessages), None),
            reasoning_part(None, "", proof(Dialect::AnthropicMessages), None),
            reasoning_part(None, "hm", None, None),
            reasoning_part(None, "", None, proof(Dialect::AnthropicMessages)),
            reasoning_part(Some("rs_1"), "hm", None, responses()),
            reasoning_part(Some("rs_1"), "", None, responses()),
            reasoning_part(Some("rs_1"), "", None, None),
            reasoning_part(Some("rs_1"), "hm", None, None),
            reasoning_part(None, "hm", proof(Dialect::Gemini), None),
            call(proof(Dialect::Gemini)),
            call(None),
        ];
        for content in contents {
            let parts = vec![AnswerPart::new(content.clone())];
            let choice = Choice { parts, stop: StopReason::ToolCalls, ..Choice::default() };
            let usage = Some(Usage { input_tokens: 1, ..Usage::default() });
            let answer = Answer { choices: vec![choice], usage, ..Answer::default() };
            let streamed = decode(&encode(&chunks_of(&answer)));
            assert_eq!(streamed, Ok(Some(answer.clone())), "streamed");
            let mut out = Vec::new();
            super::super::answer::write(&answer, 0, &mut out);
            let whole = Scanner::default().read(&out, super::super::answer::read);
            assert_eq!(whole, Ok(Some(answer)), "whole");
        }
        // A signature that follows its call.
        let late = Delta::Signature(proof(Dialect::Gemini).expect("a proof"));
        let chunks = [
            Chunk::Start(Start::default()),
            open(0, call(None)),
            grow(0, late),
            close(0),
            Chunk::Done,
        ];
        let answer = decode(&encode(&chunks)).expect("no error").expect("complete");
        assert_eq!(answer.choices[0].parts[0].content, call(proof(Dialect::Gemini)));
    }

    /// Clients use the last block as the answer.
    #[test]
    fn text_signature_is_not_the_last_block() {
        let text = |text: &str| AnswerPart::text(text);
        let signature = Some(Signature { dialect: Dialect::Gemini, text: "c2ln".to_owned() });
        let proof =
            AnswerPart::new(Content::Reasoning(Reasoning { signature, ..Reasoning::default() }));
        for (parts, expected) in [
            (vec![text("Hi"), proof.clone()], vec![text("Hi")]),
            (vec![proof.clone(), text("Hi")], vec![proof.clone(), text("Hi")]),
            (
                vec![text("Hi"), proof.clone(), text("you"), proof.clone()],
                vec![text("Hi"), proof.clone(), text("you")],
            ),
        ] {
            let choice = Choice { parts, ..Choice::default() };
            let answer = Answer { choices: vec![choice], ..Answer::default() };
            let streamed =
                decode(&encode(&chunks_of(&answer))).expect("no error").expect("complete");
            assert_eq!(streamed.choices[0].parts, expected, "streamed");
            let mut out = Vec::new();
            super::super::answer::write(&answer, 0, &mut out);
            let whole = Scanner::default().read(&out, super::super::answer::read).expect("JSON");
            assert_eq!(whole.expect("an answer").choices[0].parts, expected, "whole");
        }
    }

    #[test]
    fn failed_stream_does_not_look_complete() {
        let begun = [Chunk::Start(Start::default()), open(0, Content::Text(Text::default()))];
        let delta = grow(0, Delta::Text("Hi".to_owned()));
        let error = ApiError {
            status: 529,
            message: "Overloaded".to_owned(),
            kind: "overloaded_error".to_owned(),
            code: None,
            param: None,
        };
        let failed: Vec<Chunk> =
            begun.iter().chain([&delta, &Chunk::Error(error.clone())]).cloned().collect();
        let stream = encode(&failed);
        assert_eq!(outline(&stream), ["message_start", "start 0", "delta 0", "error"]);
        assert_eq!(decode(&stream), Err(error));
        let cut: Vec<Chunk> = begun.iter().chain([&delta, &close(0)]).cloned().collect();
        assert_eq!(decode(&encode(&cut)), Ok(None));
        assert_eq!(
            outline(&encode(&[Chunk::Done])),
            ["message_start", "message_delta", "message_stop"]
        );
    }

    #[test]
    fn extra_choices_and_endless_parts_are_bounded() {
        let mut encoder = Encoder::new(&ChatRequest::default(), 0);
        let mut out = Vec::new();
        encoder.push(
            &Chunk::BlockStart { choice: 1, part: 0, content: Content::Refusal(String::new()) },
            &mut out,
        );
        assert!(encoder.parts.is_empty());
        for part in 0..10_000 {
            encoder.push(&open(part, Content::Refusal("x".repeat(100))), &mut out);
        }
        assert_eq!(encoder.parts.len(), PARTS_MAX);
        assert!(encoder.ending.refusal.len() <= REFUSAL_BYTES_MAX);
        for part in 0..10_000 {
            encoder.push(&close(part), &mut out);
        }
        assert!(encoder.parts.is_empty());
    }
}
