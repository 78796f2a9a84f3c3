//! A provider's stream.
//!
//! Blocks are numbered and come one after another. Imitators omit the start or end of a block, send a
//! call's input with its start, or continue a call after its end; all of this is accepted. Blocks that
//! only this dialect has are buffered until they end.

use std::collections::BTreeMap;

use super::answer::{Block, block, explanation, service_tier, stop_reason};
use super::read_block::citation;
use super::{error, signature, usage};
use crate::dialects::codec::{StreamDecodeError, StreamDecoder};
use crate::dialects::embedded_error::error_status;
use crate::llm::{
    Chunk, Content, Delta, Dialect, DialectJson, Json, Node, Reasoning, Scanner, Signature, Start,
    Text, Usage, write_object,
};

/// Maximum number of blocks.
const BLOCKS_MAX: u64 = 4096;

/// Maximum size of a server tool's input.
const INPUT_BYTES_MAX: usize = 1024 * 1024;

/// Maximum number of signatures that wait for their calls.
const PROOFS_MAX: usize = 64;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_begun: bool,
    has_stopped: bool,
    has_ended: bool,
    usage: Option<Usage>,
    /// Number of parts opened so far.
    parts: u32,
    /// By the provider's block number.
    blocks: BTreeMap<u64, Open>,
    /// Signatures of calls that have not begun.
    proofs: Vec<(String, Signature)>,
}

/// A block, which is kept after it has ended.
#[derive(Debug)]
struct Open {
    part: u32,
    is_open: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thought(Thought),
    Call(Call),
    BlockBuffer(BlockBuffer),
    /// A block without any part.
    Silent,
}

/// State of a reasoning part.
#[derive(Debug)]
struct Thought {
    is_sealed: bool,
}

/// State of a call.
#[derive(Debug)]
struct Call {
    id: String,
    /// The input sent with the start; used if no delta follows.
    input: String,
}

/// A block that is emitted when it ends.
#[derive(Debug)]
struct BlockBuffer {
    /// The members sent with its start.
    members: Vec<(String, Json)>,
    /// The input from deltas, which replaces the one among the members.
    input: String,
}

impl StreamDecoder for Decoder {
    fn event(
        &mut self,
        _: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError> {
        // Imitators end with `[DONE]`, as OpenAI does.
        if self.has_ended || data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        scanner.read(data, |root| self.take(root, out)).map_err(|_| StreamDecodeError)
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) {
        // The stop reason follows all content; only `message_stop` is missing.
        if self.has_stopped && !std::mem::replace(&mut self.has_ended, true) {
            out.push(Chunk::Done);
        }
    }
}

impl Decoder {
    fn take(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) {
        let index = root.get("index").and_then(Node::u64).unwrap_or(0);
        match root.text_of("type") {
            "content_block_delta" => {
                if let Some(delta) = root.get("delta").filter(|_| index < BLOCKS_MAX) {
                    self.delta(index, delta, out);
                }
            }
            "content_block_start" => {
                if let Some(value) = root.get("content_block").filter(|_| index < BLOCKS_MAX) {
                    self.start_block(index, value, out);
                }
            }
            "content_block_stop" => self.stop_block(index, out),
            "message_start" => self.start(root.get("message").unwrap_or(root), out),
            "message_delta" => self.last(root, out),
            "message_stop" => {
                self.close_all(out);
                self.has_ended = true;
                out.push(Chunk::Done);
            }
            "ping" => out.push(Chunk::Ping),
            "error" => self.error(root, out),
            _ if root.get("error").is_some() => self.error(root, out),
            _ => {}
        }
    }

    fn error(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) {
        out.push(Chunk::Error(error::read(error_status(root), Some(root))));
        self.has_ended = true;
    }

    fn start(&mut self, message: Node<'_>, out: &mut Vec<Chunk>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let reported = message.get("usage");
        out.push(Chunk::Start(Start {
            id: message.text_of("id").to_owned(),
            model: message.text_of("model").to_owned(),
            created: None,
            service_tier: reported.and_then(service_tier),
            system_fingerprint: None,
        }));
        self.count(reported, out);
    }

    fn count(&mut self, reported: Option<Node<'_>>, out: &mut Vec<Chunk>) {
        let Some(reported) = reported else { return };
        self.usage = usage::after(self.usage, reported);
        out.extend(self.usage.map(Chunk::Usage));
    }

    /// Reads `message_delta`, which has the stop reason and the final usage.
    fn last(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) {
        self.count(root.get("usage"), out);
        let Some(delta) = root.get("delta") else { return };
        if delta.get("stop_reason").is_none() || std::mem::replace(&mut self.has_stopped, true) {
            return;
        }
        self.close_all(out);
        if let Some(text) = explanation(delta) {
            let part = self.open(Content::Refusal(String::new()), out);
            grow(part, Delta::Text(text.to_owned()), out);
            out.push(Chunk::BlockStop { choice: 0, part });
        }
        out.push(Chunk::Finish { choice: 0, reason: stop_reason(delta) });
    }

    fn open(&mut self, content: Content, out: &mut Vec<Chunk>) -> u32 {
        let part = self.parts;
        self.parts += 1;
        out.push(Chunk::BlockStart { choice: 0, part, content });
        part
    }

    fn start_block(&mut self, index: u64, value: Node<'_>, out: &mut Vec<Chunk>) {
        self.stop_block(index, out);
        let mut content = match block(value) {
            Block::Says(content) => content,
            Block::Proves(id, signature) => {
                self.prove(id, signature, out);
                self.blocks.insert(index, Open { part: 0, is_open: true, kind: Kind::Silent });
                return;
            }
        };
        let kind = match &mut content {
            Content::Text(_) => Kind::Text,
            Content::Reasoning(reasoning) => Kind::Thought(Thought::of(reasoning)),
            Content::ToolCall(call) => {
                let known = self.proofs.iter().position(|(id, _)| *id == call.id);
                call.signature = known.map(|place| self.proofs.swap_remove(place).1);
                let input = std::mem::take(&mut call.arguments);
                Kind::Call(Call { id: call.id.clone(), input })
            }
            _ => {
                let kind = Kind::BlockBuffer(BlockBuffer::begin(value));
                self.blocks.insert(index, Open { part: 0, is_open: true, kind });
                return;
            }
        };
        let part = self.open(content, out);
        self.blocks.insert(index, Open { part, is_open: true, kind });
    }

    /// Attaches a signature to its call, or keeps it until the call begins.
    fn prove(&mut self, id: String, signature: Signature, out: &mut Vec<Chunk>) {
        let begun = self
            .blocks
            .values()
            .find(|open| matches!(&open.kind, Kind::Call(call) if call.id == id));
        match begun {
            Some(open) => grow(open.part, Delta::Signature(signature), out),
            None if self.proofs.len() < PROOFS_MAX => self.proofs.push((id, signature)),
            None => {}
        }
    }

    fn delta(&mut self, index: u64, delta: Node<'_>, out: &mut Vec<Chunk>) {
        let kind = delta.text_of("type");
        if !self.blocks.contains_key(&index) {
            let Some((content, kind)) = begun_by(kind) else { return };
            let part = self.open(content, out);
            self.blocks.insert(index, Open { part, is_open: true, kind });
        }
        let Some(open) = self.blocks.get_mut(&index) else { return };
        let text = |key: &str| {
            let text = delta.get(key).and_then(Node::text).filter(|text| !text.is_empty());
            text.map(|text| Delta::Text(text.to_owned()))
        };
        let delta = match (kind, &mut open.kind) {
            ("text_delta", Kind::Text) => text("text"),
            ("thinking_delta", Kind::Thought(_)) => text("thinking"),
            ("signature_delta", Kind::Thought(reasoning)) => {
                reasoning.proof(delta.text_of("signature"))
            }
            ("citations_delta", Kind::Text) => {
                delta.get("citation").map(|it| Delta::Citation(citation(it)))
            }
            ("input_json_delta", Kind::Call(call)) => {
                let piece = delta.text_of("partial_json");
                if !piece.is_empty() {
                    call.input.clear();
                }
                Some(Delta::Arguments(piece.to_owned())).filter(|_| !piece.is_empty())
            }
            ("input_json_delta", Kind::BlockBuffer(gathered)) => {
                gathered.push(delta.text_of("partial_json"));
                None
            }
            _ => None,
        };
        if let Some(delta) = delta {
            grow(open.part, delta, out);
        }
    }

    fn stop_block(&mut self, index: u64, out: &mut Vec<Chunk>) {
        let Some(open) = self.blocks.get_mut(&index).filter(|open| open.is_open) else { return };
        open.is_open = false;
        match &mut open.kind {
            Kind::Call(call) => {
                let input = std::mem::take(&mut call.input);
                if !input.is_empty() {
                    grow(open.part, Delta::Arguments(input), out);
                }
                out.push(Chunk::BlockStop { choice: 0, part: open.part });
            }
            Kind::Text | Kind::Thought(_) => {
                out.push(Chunk::BlockStop { choice: 0, part: open.part });
            }
            Kind::BlockBuffer(gathered) => {
                let content = gathered.whole();
                open.kind = Kind::Silent;
                let part = self.open(content, out);
                out.push(Chunk::BlockStop { choice: 0, part });
            }
            Kind::Silent => {}
        }
    }

    fn close_all(&mut self, out: &mut Vec<Chunk>) {
        let open: Vec<u64> =
            self.blocks.iter().filter(|(_, open)| open.is_open).map(|(index, _)| *index).collect();
        open.into_iter().for_each(|index| self.stop_block(index, out));
    }
}

fn grow(part: u32, delta: Delta, out: &mut Vec<Chunk>) {
    out.push(Chunk::BlockDelta { choice: 0, part, delta });
}

/// The part that a delta opens if its block had no start.
fn begun_by(kind: &str) -> Option<(Content, Kind)> {
    match kind {
        "text_delta" => Some((Content::Text(Text::default()), Kind::Text)),
        "thinking_delta" => {
            let reasoning = Reasoning::default();
            let kind = Kind::Thought(Thought::of(&reasoning));
            Some((Content::Reasoning(reasoning), kind))
        }
        _ => None,
    }
}

impl Thought {
    fn of(reasoning: &Reasoning) -> Self {
        Self { is_sealed: reasoning.sealed.is_some() }
    }

    /// The delta for a signature. That of encrypted reasoning was part of its start.
    fn proof(&self, text: &str) -> Option<Delta> {
        let proven = signature::read_thinking("", text);
        let sealed = proven.sealed.filter(|_| !self.is_sealed);
        proven.signature.or(sealed).map(Delta::Signature)
    }
}

impl BlockBuffer {
    fn begin(value: Node<'_>) -> Self {
        let members = value.members().map(|(key, member)| (key.to_owned(), member.json()));
        Self { members: members.collect(), input: String::new() }
    }

    fn push(&mut self, piece: &str) {
        if self.input.len() + piece.len() <= INPUT_BYTES_MAX {
            self.input.push_str(piece);
        }
    }

    /// The block as a complete response would contain it.
    fn whole(&self) -> Content {
        let mut out = Vec::new();
        write_object(&mut out, |object| {
            for (key, member) in &self.members {
                let input = Json::parse(&self.input).filter(|_| key == "input");
                object.raw(key, input.as_ref().unwrap_or(member));
            }
        });
        let json = Json::of_written(String::from_utf8(out).unwrap_or_default());
        Content::Raw(DialectJson { dialect: Dialect::AnthropicMessages, json })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{ApiError, ChunkAssembler, StopReason, ToolCall};

    fn decode(events: &[&str]) -> Vec<Chunk> {
        let (mut decoder, mut scanner) = (Decoder::default(), Scanner::default());
        let mut chunks = Vec::new();
        for event in events {
            // The caller drains the chunks after each event, so the decoder must not rely on them.
            let mut out = Vec::new();
            decoder.event(None, event.as_bytes(), &mut scanner, &mut out).expect("an event");
            chunks.append(&mut out);
        }
        decoder.finish(&mut chunks);
        chunks
    }

    fn assemble(events: &[&str]) -> Result<Option<crate::llm::Answer>, ApiError> {
        let mut assembler = ChunkAssembler::default();
        decode(events).into_iter().for_each(|chunk| assembler.push(chunk));
        assembler.finish()
    }

    fn parts(events: &[&str]) -> Vec<Content> {
        let answer = assemble(events).expect("no error").expect("complete");
        let parts = answer.choices.into_iter().flat_map(|choice| choice.parts);
        parts.map(|part| part.content).collect()
    }

    const START: &str = r#"{"type":"message_start","message":{"id":"a","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}"#;
    const STOP: &str = r#"{"type":"message_stop"}"#;

    #[test]
    fn stop_reasons_are_decoded() {
        for (delta, reason) in [
            (r#"{"stop_reason":"end_turn"}"#, StopReason::Stop),
            (r#"{"stop_reason":"max_tokens"}"#, StopReason::Length),
            (r#"{"stop_reason":"model_context_window_exceeded"}"#, StopReason::Length),
            (
                r#"{"stop_reason":"stop_sequence","stop_sequence":"END"}"#,
                StopReason::StopSequence("END".to_owned()),
            ),
            (r#"{"stop_reason":"tool_use"}"#, StopReason::ToolCalls),
            (r#"{"stop_reason":"pause_turn"}"#, StopReason::Pause),
            (r#"{"stop_reason":"refusal","stop_details":null}"#, StopReason::Refusal),
            (r#"{"stop_reason":"newer"}"#, StopReason::Stop),
        ] {
            let last = format!(r#"{{"type":"message_delta","delta":{delta}}}"#);
            let stop = Chunk::Finish { choice: 0, reason };
            assert_eq!(decode(&[START, &last, &last, STOP])[2..], [stop, Chunk::Done], "{delta}");
        }
    }

    #[test]
    fn missing_members_of_compatible_servers_are_tolerated() {
        let text =
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#;
        let last = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#;
        let expected = vec![Content::Text(Text { text: "Hi".to_owned(), ..Text::default() })];
        // Without a start or end of the block; without `message_stop`; with another end; with two
        // starts.
        assert_eq!(parts(&[START, text, last]), expected);
        assert_eq!(parts(&[START, text, last, "[DONE]"]), expected);
        assert_eq!(parts(&[START, START, text, last, STOP, STOP]), expected);
        assert_eq!(parts(&[START, text, STOP]), expected);
        for cut in [&[START, text][..], &[START], &[]] {
            assert!(!decode(cut).contains(&Chunk::Done), "{cut:?}");
        }
        let noise = [
            START,
            r#"{"type":"ping"}"#,
            r#"{"type":"newer","index":0}"#,
            "{}",
            r#"{"type":"content_block_delta","index":0}"#,
            r#"{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            r#"{"type":"content_block_delta","index":99999999,"delta":{"type":"text_delta","text":"x"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
            text,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"newer_delta","text":"x"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":null}}"#,
            r#"{"type":"content_block_stop","index":7}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":null}"#,
            last,
        ];
        assert_eq!(parts(&noise), expected);
        assert_eq!(decode(&noise).iter().filter(|chunk| **chunk == Chunk::Ping).count(), 1);
        let mut out = Vec::new();
        let bad = Decoder::default().event(None, b"nonsense", &mut Scanner::default(), &mut out);
        assert_eq!((bad, out.len()), (Err(StreamDecodeError), 0));
    }

    #[test]
    fn tool_input_arrives_in_any_form() {
        let start = |input: &str| {
            format!(
                r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"a","name":"f","input":{input}}}}}"#
            )
        };
        let delta = |piece: &str| {
            format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":"{piece}"}}}}"#
            )
        };
        let stop = r#"{"type":"content_block_stop","index":0}"#.to_owned();
        for (events, arguments) in [
            (vec![start("{}"), delta(""), stop.clone()], ""),
            (vec![start(r#"{"x":1}"#), stop.clone()], r#"{"x":1}"#),
            (vec![start(r#"{"x":1}"#), delta(""), stop.clone()], r#"{"x":1}"#),
            (vec![start(r#"{"x":1}"#), delta("[2"), delta("]"), stop.clone()], "[2]"),
            (vec![start("{}"), delta("[2"), stop.clone(), delta("]")], "[2]"),
            (vec![start("null"), delta("[2]")], "[2]"),
        ] {
            let mut all = vec![START];
            all.extend(events.iter().map(String::as_str));
            all.push(STOP);
            let call = ToolCall {
                id: "a".to_owned(),
                name: "f".to_owned(),
                arguments: arguments.to_owned(),
                signature: None,
            };
            assert_eq!(parts(&all), [Content::ToolCall(call)], "{events:?}");
        }
    }

    #[test]
    fn vendor_blocks_are_emitted_complete() {
        let events = [
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","input":{},"name":"web_search"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"query\":"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\"q\"}"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[]}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Hi"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://a.example","title":"t","cited_text":"c"}}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            STOP,
        ];
        let parts = parts(&events);
        let [Content::Raw(search), Content::Raw(found), Content::Text(text)] = parts.as_slice()
        else {
            panic!("{parts:?}")
        };
        let whole =
            r#"{"type":"server_tool_use","id":"s","input":{"query":"q"},"name":"web_search"}"#;
        assert_eq!(search.json.text(), whole);
        assert!(found.json.text().contains("web_search_tool_result"));
        let [citation] = text.citations.as_slice() else { panic!("{text:?}") };
        assert_eq!(citation.url.as_deref(), Some("https://a.example"));
        assert_eq!(citation.quote.as_deref(), Some("c"));
    }

    #[test]
    fn errors_end_the_stream() {
        for (event, status, message) in [
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                529,
                "Overloaded",
            ),
            (r#"{"type":"error","error":{"type":"newer","message":"m"}}"#, 502, "m"),
            (r#"{"error":{"message":"m"}}"#, 502, "m"),
        ] {
            let error = assemble(&[START, event, STOP]).expect_err("an error");
            assert_eq!((error.status, error.message.as_str()), (status, message));
            assert!(!decode(&[START, event, STOP]).contains(&Chunk::Done));
        }
    }

    #[test]
    fn buffers_are_bounded() {
        let (mut decoder, mut scanner, mut out) = (Decoder::default(), Scanner::default(), vec![]);
        for index in 0..2 * BLOCKS_MAX {
            let event = format!(
                r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"redacted_thinking","data":"call#{index}#s"}}}}"#
            );
            decoder.event(None, event.as_bytes(), &mut scanner, &mut out).expect("an event");
        }
        assert_eq!((decoder.blocks.len() as u64, decoder.proofs.len()), (BLOCKS_MAX, PROOFS_MAX));
        let mut gathered = BlockBuffer { members: Vec::new(), input: String::new() };
        (0..3).for_each(|_| gathered.push(&"x".repeat(INPUT_BYTES_MAX / 2)));
        assert_eq!(gathered.input.len(), INPUT_BYTES_MAX);
    }
}
