//! A provider's stream: `messageStart`, blocks of content with their deltas, `messageStop`, and
//! `metadata` with the usage as its last event. Text has no `contentBlockStart`.

use std::collections::BTreeMap;

use super::answer::{failure, image_part, stop_reason};
use super::error::{self, EXCEPTIONS};
use super::read_content::citation;
use crate::dialects::amazon_stream::FAILURE;
use crate::dialects::codec::{StreamDecodeError, StreamDecoder};
use crate::llm::{
    Chunk, Content, Delta, Dialect, Node, Reasoning, Scanner, Signature, Start, Text, ToolCall,
    Usage,
};

/// Maximum number of open blocks. The service has one.
const OPEN_MAX: usize = 64;

/// Maximum size of a block that is buffered.
const GATHERED_BYTES_MAX: usize = 32 << 20;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_begun: bool,
    has_stopped: bool,
    has_ended: bool,
    /// Number of parts opened so far.
    parts: u32,
    /// By `contentBlockIndex`.
    open: BTreeMap<u64, Block>,
}

#[derive(Debug)]
enum Block {
    /// An open part.
    Part { part: u32, kind: Kind },
    /// Encrypted reasoning, emitted when it is complete.
    Sealed(String),
    /// An image, emitted when it is complete.
    Picture { format: String, bytes: String },
    /// Omitted.
    Passed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
    Call { has_arguments: bool },
}

impl StreamDecoder for Decoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError> {
        let name = name.unwrap_or_default();
        if self.has_ended {
            return Ok(());
        }
        scanner.read(data, |root| self.take(name, root, out)).map_err(|_| StreamDecodeError)
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) {
        // The response is complete even without its usage.
        if self.has_stopped {
            self.end(out);
        }
    }
}

impl Decoder {
    fn end(&mut self, out: &mut Vec<Chunk>) {
        if !std::mem::replace(&mut self.has_ended, true) {
            out.push(Chunk::Done);
        }
    }

    fn take(&mut self, name: &str, root: Node<'_>, out: &mut Vec<Chunk>) {
        if name == FAILURE || name.ends_with("Exception") {
            out.push(Chunk::Error(error::read(status_of(name), Some(name), Some(root))));
            self.has_ended = true;
            return;
        }
        let index = root.get("contentBlockIndex").and_then(Node::u64).unwrap_or_default();
        match name {
            "messageStart" => self.begin(out),
            "contentBlockStart" => {
                if let Some(start) = root.get("start") {
                    self.start(index, start, out);
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = root.get("delta") {
                    self.begin(out);
                    self.delta(index, delta, out);
                }
            }
            "contentBlockStop" => self.close(index, out),
            "messageStop" => self.stop(root, out),
            "metadata" => {
                let usage = root.get("usage").and_then(Usage::read);
                out.extend(usage.map(Chunk::Usage));
                if self.has_stopped {
                    self.end(out);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, out: &mut Vec<Chunk>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(Chunk::Start(Start::default()));
        }
    }

    fn stop(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) {
        self.begin(out);
        if let Some(error) = failure(root) {
            out.push(Chunk::Error(error));
            self.has_ended = true;
            return;
        }
        while let Some((index, _)) = self.open.first_key_value() {
            let index = *index;
            self.close(index, out);
        }
        if !std::mem::replace(&mut self.has_stopped, true) {
            out.push(Chunk::Finish { choice: 0, reason: stop_reason(root) });
        }
    }

    /// Opens what `contentBlockStart` announces.
    fn start(&mut self, index: u64, start: Node<'_>, out: &mut Vec<Chunk>) {
        self.begin(out);
        self.close(index, out);
        if let Some(call) = start.get("toolUse").filter(|call| call.get("type").is_none()) {
            let content = Content::ToolCall(ToolCall {
                id: call.text_of("toolUseId").to_owned(),
                name: call.text_of("name").to_owned(),
                ..ToolCall::default()
            });
            self.open(index, content, Kind::Call { has_arguments: false }, out);
        } else if let Some(image) = start.get("image") {
            let format = image.text_of("format").to_owned();
            self.remember(index, Block::Picture { format, bytes: String::new() });
        } else if start.count() > 0 {
            self.remember(index, Block::Passed);
        }
    }

    fn delta(&mut self, index: u64, delta: Node<'_>, out: &mut Vec<Chunk>) {
        if matches!(self.open.get(&index), Some(Block::Passed)) {
            return;
        }
        if let Some(text) = delta.get("text").and_then(Node::text) {
            if !text.is_empty() {
                self.grow(index, Kind::Text, Delta::Text(text.to_owned()), out);
            }
        } else if let Some(call) = delta.get("toolUse") {
            self.arguments(index, call.text_of("input"), out);
        } else if let Some(reasoning) = delta.get("reasoningContent") {
            self.reasoning_part(index, reasoning, out);
        } else if let Some(source) = delta.get("citation") {
            self.grow(index, Kind::Text, Delta::Citation(citation(source)), out);
        } else if let Some(source) = delta.get("image").and_then(|image| image.get("source"))
            && let Some(Block::Picture { bytes, .. }) = self.open.get_mut(&index)
        {
            gather(bytes, source.text_of("bytes"));
        }
    }

    fn reasoning_part(&mut self, index: u64, reasoning: Node<'_>, out: &mut Vec<Chunk>) {
        let filled =
            |key: &str| reasoning.get(key).and_then(Node::text).filter(|text| !text.is_empty());
        if let Some(text) = filled("text") {
            self.grow(index, Kind::Thought, Delta::Text(text.to_owned()), out);
        }
        if let Some(signature) = filled("signature") {
            let delta = Delta::Signature(Signature::read(Dialect::BedrockConverse, signature));
            self.grow(index, Kind::Thought, delta, out);
        }
        if let Some(piece) = filled("redactedContent") {
            if !matches!(self.open.get(&index), Some(Block::Sealed(_))) {
                self.close(index, out);
                self.remember(index, Block::Sealed(String::new()));
            }
            if let Some(Block::Sealed(sealed)) = self.open.get_mut(&index) {
                gather(sealed, piece);
            }
        }
    }

    fn arguments(&mut self, index: u64, piece: &str, out: &mut Vec<Chunk>) {
        let Some(Block::Part { part, kind: Kind::Call { has_arguments } }) =
            self.open.get_mut(&index)
        else {
            return;
        };
        if !piece.is_empty() {
            *has_arguments = true;
            let delta = Delta::Arguments(piece.to_owned());
            out.push(Chunk::BlockDelta { choice: 0, part: *part, delta });
        }
    }

    /// Appends to the part of that block. Opens it if the block is new or changes its kind.
    fn grow(&mut self, index: u64, kind: Kind, delta: Delta, out: &mut Vec<Chunk>) {
        let known = match self.open.get(&index) {
            Some(Block::Part { part, kind: open }) if *open == kind => Some(*part),
            _ => None,
        };
        let part = known.or_else(|| {
            self.close(index, out);
            let content = match kind {
                Kind::Thought => Content::Reasoning(Reasoning::default()),
                _ => Content::Text(Text::default()),
            };
            self.open(index, content, kind, out)
        });
        out.extend(part.map(|part| Chunk::BlockDelta { choice: 0, part, delta }));
    }

    fn open(
        &mut self,
        index: u64,
        content: Content,
        kind: Kind,
        out: &mut Vec<Chunk>,
    ) -> Option<u32> {
        let part = self.parts;
        if !self.remember(index, Block::Part { part, kind }) {
            return None;
        }
        self.parts += 1;
        out.push(Chunk::BlockStart { choice: 0, part, content });
        Some(part)
    }

    fn remember(&mut self, index: u64, block: Block) -> bool {
        let has_room = self.open.len() < OPEN_MAX;
        if has_room {
            self.open.insert(index, block);
        }
        has_room
    }

    fn close(&mut self, index: u64, out: &mut Vec<Chunk>) {
        let whole = match self.open.remove(&index) {
            Some(Block::Part { part, kind }) => {
                if kind == (Kind::Call { has_arguments: false }) {
                    let delta = Delta::Arguments("{}".to_owned());
                    out.push(Chunk::BlockDelta { choice: 0, part, delta });
                }
                out.push(Chunk::BlockStop { choice: 0, part });
                return;
            }
            Some(Block::Sealed(sealed)) => Content::Reasoning(Reasoning {
                sealed: Some(Signature::read(Dialect::BedrockConverse, &sealed)),
                ..Reasoning::default()
            }),
            Some(Block::Picture { format, bytes }) => image_part(&format, &bytes),
            Some(Block::Passed) | None => return,
        };
        let part = self.parts;
        self.parts += 1;
        out.push(Chunk::BlockStart { choice: 0, part, content: whole });
        out.push(Chunk::BlockStop { choice: 0, part });
    }
}

/// Appends base64, up to the maximum size.
fn gather(whole: &mut String, piece: &str) {
    if whole.len().saturating_add(piece.len()) <= GATHERED_BYTES_MAX {
        whole.push_str(piece);
    }
}

/// The status that the exception has outside a stream.
fn status_of(name: &str) -> u16 {
    EXCEPTIONS.iter().find(|(known, ..)| *known == name).map_or(500, |(_, _, status)| *status)
}

#[cfg(test)]
mod tests {
    use super::super::BedrockConverse;
    use super::*;
    use crate::dialects::codec::ProviderCodec;
    use crate::dialects::grid::{assemble, decode, on_the_wire};
    use crate::llm::{ApiError, ChunkAssembler, Media, StopReason};

    /// The chunks of a stream in the notation of the golden files.
    fn chunks(stream: &str) -> Vec<Chunk> {
        decode(&BedrockConverse, &on_the_wire(&BedrockConverse, stream.as_bytes()), 7)
    }

    const START: &str = "messageStart\t{\"role\":\"assistant\"}\n";
    const STOP: &str = "messageStop\t{\"stopReason\":\"end_turn\"}\n";

    fn delta(index: u64, delta: &str) -> String {
        format!("contentBlockDelta\t{{\"contentBlockIndex\":{index},\"delta\":{delta}}}\n")
    }

    fn start(index: u64, start: &str) -> String {
        format!("contentBlockStart\t{{\"contentBlockIndex\":{index},\"start\":{start}}}\n")
    }

    fn end(index: u64) -> String {
        format!("contentBlockStop\t{{\"contentBlockIndex\":{index}}}\n")
    }

    fn parts(events: &[String]) -> Vec<Content> {
        let stream = [START, &events.concat(), STOP].concat();
        let mut answer = assemble(chunks(&stream));
        answer.choices.remove(0).parts.into_iter().map(|part| part.content).collect()
    }

    #[test]
    fn exception_ends_the_stream() {
        for (name, status, kind) in [
            ("validationException", 400, "ValidationException"),
            ("modelStreamErrorException", 424, "ModelStreamErrorException"),
            ("throttlingException", 429, "ThrottlingException"),
            ("internalServerException", 500, "InternalServerException"),
            ("serviceUnavailableException", 503, "ServiceUnavailableException"),
            ("futureException", 500, "InternalServerException"),
        ] {
            let text = delta(0, r#"{"text":"a"}"#);
            let stream = format!("{START}{text}{name}\t{{\"message\":\"m\"}}\n{STOP}");
            let error = ApiError {
                status,
                message: "m".to_owned(),
                kind: kind.to_owned(),
                code: None,
                param: None,
            };
            let chunks = chunks(&stream);
            assert_eq!(chunks.last(), Some(&Chunk::Error(error)), "{name}");
        }
    }

    #[test]
    fn stream_is_complete_after_message_stop() {
        let text = delta(0, r#"{"text":"a"}"#);
        let usage = "metadata\t{\"usage\":{\"inputTokens\":1,\"outputTokens\":2},\"metrics\":{}}\n";
        let is_whole = |stream: &str| chunks(stream).last() == Some(&Chunk::Done);
        assert!(is_whole(&[START, &text, &end(0), STOP, usage].concat()));
        assert!(is_whole(&[START, &text, STOP].concat()));
        assert!(!is_whole(&[START, &text, &end(0)].concat()));
        assert!(!is_whole(&[START, &text, usage].concat()));
        assert!(!is_whole(""));
        let whole = chunks(&[START, &text, STOP, usage, &text, STOP].concat());
        assert_eq!(whole.iter().filter(|chunk| **chunk == Chunk::Done).count(), 1);
        assert!(
            whole.contains(&Chunk::BlockStop { choice: 0, part: 0 }),
            "what was open is closed"
        );
        assert!(whole.contains(&Chunk::Finish { choice: 0, reason: StopReason::Stop }));
    }

    #[test]
    fn missing_arguments_become_empty_object() {
        let call = start(0, r#"{"toolUse":{"toolUseId":"1","name":"f"}}"#);
        let piece = |text: &str| delta(0, &format!(r#"{{"toolUse":{{"input":"{text}"}}}}"#));
        for (pieces, expected) in [
            (vec![], "{}"),
            (vec![""], "{}"),
            (vec!["", "{}"], "{}"),
            (vec!["{\\\"a\\\"", ":1}"], r#"{"a":1}"#),
        ] {
            let mut events = vec![call.clone()];
            events.extend(pieces.into_iter().map(piece));
            let found = parts(&events);
            let [Content::ToolCall(call)] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((call.id.as_str(), call.arguments.as_str()), ("1", expected));
        }
    }

    #[test]
    fn odd_streams_are_read_leniently() {
        // A block that changes its kind, interleaved blocks, encrypted reasoning and an image in
        // pieces.
        let found = parts(&[
            delta(0, r#"{"reasoningContent":{"text":"t"}}"#),
            delta(0, r#"{"text":"a"}"#),
            delta(5, r#"{"reasoningContent":{"redactedContent":"eg"}}"#),
            delta(0, r#"{"text":"b"}"#),
            delta(0, r#"{"text":""}"#),
            delta(0, r#"{"future":{}}"#),
            delta(0, r#"{"citation":{"title":"T"}}"#),
            delta(5, r#"{"reasoningContent":{"redactedContent":"=="}}"#),
            end(5),
            end(5),
            start(6, r#"{"image":{"format":"png"}}"#),
            delta(6, r#"{"image":{"source":{"bytes":"QUJD"}}}"#),
            delta(6, r#"{"image":{"source":{"bytes":"QQ=="}}}"#),
            end(6),
            start(7, r#"{"toolUse":{"toolUseId":"s","name":"n","type":"server_tool_use"}}"#),
            delta(7, r#"{"toolUse":{"input":"{}"}}"#),
            end(7),
            start(8, r#"{"toolResult":{"toolUseId":"s"}}"#),
            delta(8, r#"{"text":"not told"}"#),
            "ofTheFuture\t{}\n".to_owned(),
        ]);
        let [
            Content::Reasoning(reasoning),
            Content::Text(text),
            Content::Reasoning(sealed),
            Content::Image(image),
        ] = found.as_slice()
        else {
            panic!("{found:?}");
        };
        assert_eq!((reasoning.text.as_str(), text.text.as_str()), ("t", "ab"));
        assert_eq!(text.citations[0].title.as_deref(), Some("T"));
        assert_eq!(sealed.sealed.as_ref().map(|it| it.text.as_str()), Some("eg=="));
        assert_eq!(image.media, Media::base64("image/png", "QUJDQQ=="));
    }

    #[test]
    fn endless_blocks_are_bounded() {
        let mut decoder = Decoder::default();
        let (mut scanner, mut out) = (Scanner::default(), Vec::new());
        for index in 0..10_000 {
            let data = format!(r#"{{"contentBlockIndex":{index},"delta":{{"text":"a"}}}}"#);
            let read =
                decoder.event(Some("contentBlockDelta"), data.as_bytes(), &mut scanner, &mut out);
            assert_eq!(read, Ok(()));
        }
        assert_eq!(decoder.open.len(), OPEN_MAX);
        assert_eq!(out.len(), 1 + 2 * OPEN_MAX);
    }

    #[test]
    fn invalid_json_is_an_error() {
        let mut decoder = BedrockConverse.stream_decoder();
        let read =
            decoder.event(Some("messageStart"), b"{", &mut Scanner::default(), &mut Vec::new());
        assert_eq!(read, Err(StreamDecodeError));
    }

    #[test]
    fn framing_error_is_a_stream_error() {
        let mut decoder = BedrockConverse.stream_decoder();
        let (mut assembler, mut out) = (ChunkAssembler::default(), Vec::new());
        let data = br#"{"message":"It broke.","code":"InternalFailure"}"#;
        let read = decoder.event(Some(FAILURE), data, &mut Scanner::default(), &mut out);
        assert_eq!(read, Ok(()));
        out.into_iter().for_each(|chunk| assembler.push(chunk));
        let error = assembler.finish().expect_err("an error");
        assert_eq!((error.status, error.message.as_str()), (500, "It broke."));
        assert_eq!(error.kind, "InternalFailure");
    }
}
