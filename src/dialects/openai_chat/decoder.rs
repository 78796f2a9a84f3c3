//! A provider's stream.
//!
//! The dialect does not mark the borders of parts: a part ends where another kind of text begins, and a
//! call ends with its choice, since calls may be interleaved. A call is identified by its `index`, and
//! by its id if the provider uses one index for all.

use std::collections::BTreeMap;

use super::answer::{citation, logprobs, stop_reason};
use super::content_list::{ListPart, read_image};
use super::read_request::{arguments, signature_of_call};
use super::{error, reasoning_details};
use crate::dialects::codec::{StreamDecodeError, StreamDecoder};
use crate::dialects::embedded_error::read_embedded;
use crate::dialects::openai_tools::{CLOSED, OPENED, escaped};
use crate::llm::{
    Chunk, Content, Delta, Dialect, Media, Node, Reasoning, Scanner, Signature, Start, Text,
    ToolCall, Usage, decode_base64, encode_base64, is_error_event,
};

/// Maximum number of choices.
const CHOICES_MAX: u64 = 128;

/// Maximum size of audio: a quarter of an hour.
const SOUND_BYTES_MAX: usize = 32 << 20;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_begun: bool,
    has_ended: bool,
    choices: BTreeMap<u32, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Number of parts opened so far.
    parts: u32,
    /// The part that text is appended to: its kind and number.
    open: Option<(Kind, u32)>,
    /// By `index`: id of the call and number of its part.
    calls: BTreeMap<u64, (String, u32)>,
    /// Audio, emitted when the choice ends.
    sound: Vec<u8>,
    /// Parts that are calls of custom tools.
    customs: Vec<u32>,
    has_stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
}

impl StreamDecoder for Decoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError> {
        if data.trim_ascii() == b"[DONE]" {
            self.end(out);
            return Ok(());
        }
        let is_error = name == Some("error");
        scanner.read(data, |root| self.take((root, is_error), out)).map_err(|_| StreamDecodeError)
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) {
        // Some streams end without `[DONE]`; a finish reason is sufficient.
        let is_complete = self.has_begun && self.choices.values().all(|it| it.has_stopped);
        if is_complete && !self.choices.is_empty() {
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

    fn take(&mut self, (root, is_error): (Node<'_>, bool), out: &mut Vec<Chunk>) {
        if is_error || is_error_event(root) {
            let error = read_embedded(root, |status, holder| error::read(status, Some(holder)));
            out.push(Chunk::Error(error));
            self.has_ended = true;
            return;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(Chunk::Start(start(root)));
        }
        for choice in root.get("choices").into_iter().flat_map(Node::items) {
            let index = choice.get("index").and_then(Node::u64).unwrap_or(0);
            if let Some(index) = u32::try_from(index).ok().filter(|it| u64::from(*it) < CHOICES_MAX)
            {
                self.choices.entry(index).or_default().take(index, choice, out);
            }
        }
        if let Some(usage) = root.get("usage").and_then(Usage::read) {
            out.push(Chunk::Usage(usage));
        }
    }
}

fn start(root: Node<'_>) -> Start {
    let text = |key: &str| root.get(key).and_then(Node::text).map(str::to_owned);
    Start {
        id: root.text_of("id").to_owned(),
        model: root.text_of("model").to_owned(),
        created: root.get("created").and_then(Node::u64),
        service_tier: text("service_tier"),
        system_fingerprint: text("system_fingerprint"),
    }
}

impl Progress {
    fn take(&mut self, choice: u32, value: Node<'_>, out: &mut Vec<Chunk>) {
        if let Some(delta) = value.get("delta") {
            self.take_delta(choice, delta, out);
        }
        let tokens = value.get("logprobs").map(logprobs).unwrap_or_default();
        if !tokens.is_empty() {
            out.push(Chunk::Logprobs { choice, tokens });
        }
        if let Some(reason) = value.get("finish_reason").and_then(Node::text)
            && !std::mem::replace(&mut self.has_stopped, true)
        {
            self.close_text(choice, out);
            self.emit_audio(choice, out);
            let parts: Vec<u32> = self.calls.values().map(|(_, part)| *part).collect();
            for part in parts {
                self.close_call(choice, part, out);
            }
            out.push(Chunk::Finish { choice, reason: stop_reason(reason) });
        }
    }

    fn take_delta(&mut self, choice: u32, delta: Node<'_>, out: &mut Vec<Chunk>) {
        let filled =
            |key: &str| delta.get(key).and_then(Node::text).filter(|text| !text.is_empty());
        let has_blocks = delta.get("thinking_blocks").is_some_and(|it| it.count() > 0);
        // The details contain the same text and more.
        let is_detailed = !has_blocks && self.details(choice, delta, out);
        if let Some(text) = filled("reasoning_content").or_else(|| filled("reasoning"))
            && !is_detailed
        {
            self.text_delta(choice, Kind::Reasoning, text, out);
        }
        for block in delta.get("thinking_blocks").into_iter().flat_map(Node::items) {
            self.thinking(choice, block, out);
        }
        if let Some(text) = filled("content") {
            self.text_delta(choice, Kind::Text, text, out);
        }
        let list = delta.get("content").into_iter().flat_map(Node::items);
        for part in list.filter_map(ListPart::read) {
            match part {
                ListPart::Text(text) => self.text_delta(choice, Kind::Text, text, out),
                ListPart::Thought(text) => self.text_delta(choice, Kind::Reasoning, &text, out),
                ListPart::Refusal(text) => self.text_delta(choice, Kind::Refusal, text, out),
                ListPart::Image(image) => self.whole(choice, Content::Image(image), out),
            }
        }
        for image in delta.get("images").into_iter().flat_map(Node::items) {
            if let Some(image) = read_image(image) {
                self.whole(choice, Content::Image(image), out);
            }
        }
        if let Some(audio) = delta.get("audio") {
            self.push_audio(choice, audio, out);
        }
        for annotation in delta.get("annotations").into_iter().flat_map(Node::items) {
            let part = self.part_for(choice, Kind::Text, out);
            let delta = Delta::Citation(citation(annotation));
            out.push(Chunk::BlockDelta { choice, part, delta });
        }
        if let Some(text) = filled("refusal") {
            self.text_delta(choice, Kind::Refusal, text, out);
        }
        for call in delta.get("tool_calls").into_iter().flat_map(Node::items) {
            self.call(choice, call, out);
        }
    }

    /// Reads OpenRouter's details. True if they contain text.
    fn details(&mut self, choice: u32, delta: Node<'_>, out: &mut Vec<Chunk>) -> bool {
        let mut has_text = false;
        for detail in reasoning_details::each(delta) {
            if !detail.text.is_empty() {
                has_text = true;
                self.text_delta(choice, Kind::Reasoning, detail.text, out);
            }
            if let Some(signature) = detail.signature {
                let part = self.part_for(choice, Kind::Reasoning, out);
                out.push(Chunk::BlockDelta { choice, part, delta: Delta::Signature(signature) });
                self.close_text(choice, out);
            }
            if let Some(sealed) = detail.sealed {
                let reasoning = Reasoning { sealed: Some(sealed), ..Reasoning::default() };
                self.whole(choice, Content::Reasoning(reasoning), out);
            }
        }
        has_text
    }

    /// Emits a complete part.
    fn whole(&mut self, choice: u32, content: Content, out: &mut Vec<Chunk>) {
        self.close_text(choice, out);
        let part = self.open(choice, content, out);
        out.push(Chunk::BlockStop { choice, part });
    }

    /// Reads a fragment of audio: its transcript is text, its bytes are buffered.
    fn push_audio(&mut self, choice: u32, audio: Node<'_>, out: &mut Vec<Chunk>) {
        let transcript = audio.text_of("transcript");
        if !transcript.is_empty() {
            self.text_delta(choice, Kind::Text, transcript, out);
        }
        let bytes = decode_base64(audio.text_of("data")).unwrap_or_default();
        if self.sound.len().saturating_add(bytes.len()) <= SOUND_BYTES_MAX {
            self.sound.extend_from_slice(&bytes);
        }
    }

    /// Emits the buffered audio.
    fn emit_audio(&mut self, choice: u32, out: &mut Vec<Chunk>) {
        if self.sound.is_empty() {
            return;
        }
        let sound = std::mem::take(&mut self.sound);
        // The only format in which OpenAI streams audio.
        let media = Media::base64("audio/pcm", &encode_base64(&sound));
        self.whole(choice, Content::Audio(media), out);
    }

    /// Reads a signature; the text was sent as `reasoning_content`.
    fn thinking(&mut self, choice: u32, block: Node<'_>, out: &mut Vec<Chunk>) {
        if let Some(sealed) = block.get("data").and_then(Node::text) {
            self.close_text(choice, out);
            let sealed = Some(Signature::read(Dialect::OpenaiChat, sealed));
            let content = Content::Reasoning(Reasoning { sealed, ..Reasoning::default() });
            let part = self.open(choice, content, out);
            out.push(Chunk::BlockStop { choice, part });
        }
        let signature = block.get("signature").and_then(Node::text);
        if let Some(signature) = signature.filter(|text| !text.is_empty()) {
            let part = self.part_for(choice, Kind::Reasoning, out);
            let delta = Delta::Signature(Signature::read(Dialect::OpenaiChat, signature));
            out.push(Chunk::BlockDelta { choice, part, delta });
            // A signature ends its reasoning.
            self.close_text(choice, out);
        }
    }

    fn text_delta(&mut self, choice: u32, kind: Kind, text: &str, out: &mut Vec<Chunk>) {
        let part = self.part_for(choice, kind, out);
        out.push(Chunk::BlockDelta { choice, part, delta: Delta::Text(text.to_owned()) });
    }

    /// The open part of that kind; a new one if another kind is open.
    fn part_for(&mut self, choice: u32, kind: Kind, out: &mut Vec<Chunk>) -> u32 {
        match self.open {
            Some((open, part)) if open == kind => part,
            _ => {
                self.close_text(choice, out);
                let content = match kind {
                    Kind::Text => Content::Text(Text::default()),
                    Kind::Refusal => Content::Refusal(String::new()),
                    Kind::Reasoning => Content::Reasoning(Reasoning::default()),
                };
                let part = self.open(choice, content, out);
                self.open = Some((kind, part));
                part
            }
        }
    }

    fn open(&mut self, choice: u32, content: Content, out: &mut Vec<Chunk>) -> u32 {
        let part = self.parts;
        self.parts += 1;
        out.push(Chunk::BlockStart { choice, part, content });
        part
    }

    fn close_text(&mut self, choice: u32, out: &mut Vec<Chunk>) {
        if let Some((_, part)) = self.open.take() {
            out.push(Chunk::BlockStop { choice, part });
        }
    }

    fn close_call(&mut self, choice: u32, part: u32, out: &mut Vec<Chunk>) {
        if self.customs.contains(&part) {
            let delta = Delta::Arguments(CLOSED.to_owned());
            out.push(Chunk::BlockDelta { choice, part, delta });
        }
        out.push(Chunk::BlockStop { choice, part });
    }

    fn call(&mut self, choice: u32, value: Node<'_>, out: &mut Vec<Chunk>) {
        let index = value.get("index").and_then(Node::u64).unwrap_or(0);
        let custom = value.get("custom");
        let function = value.get("function").or(custom).unwrap_or(value);
        let id = value.text_of("id");
        let known = self.calls.get(&index);
        let known = known.filter(|(known, _)| id.is_empty() || known == id).map(|(_, part)| *part);
        let part = match known {
            Some(part) => part,
            None => {
                self.close_text(choice, out);
                let call = ToolCall {
                    id: id.to_owned(),
                    name: function.text_of("name").to_owned(),
                    arguments: String::new(),
                    signature: None,
                };
                let part = self.open(choice, Content::ToolCall(call), out);
                if custom.is_some() {
                    self.customs.push(part);
                    let delta = Delta::Arguments(OPENED.to_owned());
                    out.push(Chunk::BlockDelta { choice, part, delta });
                }
                if let Some((_, before)) = self.calls.insert(index, (id.to_owned(), part)) {
                    self.close_call(choice, before, out);
                }
                part
            }
        };
        let grow = |delta| Chunk::BlockDelta { choice, part, delta };
        let piece = match custom {
            Some(custom) => escaped(custom.text_of("input")),
            None => arguments(function),
        };
        if !piece.is_empty() {
            out.push(grow(Delta::Arguments(piece)));
        }
        if let Some(signature) = signature_of_call(value) {
            out.push(grow(Delta::Signature(signature)));
        }
    }
}
