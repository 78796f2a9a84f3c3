//! A client's stream: chunks in the format of complete responses, each with what is new.
//!
//! Calls are sent complete, so their arguments are buffered until the call closes. Finish reasons,
//! citations and usage are in the last chunk, which is written once the stream is known to be complete:
//! a truncated one has none.

use std::collections::BTreeMap;

use super::answer::{finish_reason, write_logprobs, write_part};
use super::array_framing::ArrayFraming;
use super::citation::{self, TextOffsets};
use super::hidden::{Hidden, is_own_signature, requests_reasoning};
use super::signature::{for_client, sealed_for_client};
use super::{error, usage};
use crate::dialects::codec::StreamEncoder;
use crate::llm::{
    ApiError, ArrayWriter, ChatRequest, Chunk, Citation, Content, Delta, Dialect, ObjectWriter,
    Reasoning, Start, StopReason, Text, ToolCall, Usage, write_object,
};

/// Maximum size of buffered arguments and refusals. Responses have a few kilobytes.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Maximum number of citations, which are buffered until the end.
const CITATIONS_MAX: usize = 1024;

/// The state of one stream.
pub(super) struct Encoder {
    framing: Framing,
    start: Start,
    usage: Option<Usage>,
    /// By choice.
    choices: BTreeMap<u32, CandidateState>,
    /// True if the client requested reasoning.
    with_reasoning: bool,
    waiting_bytes: usize,
    has_ended: bool,
}

/// The framing of chunks.
pub(super) enum Framing {
    /// Server-sent events, with CRLF as Google sends them.
    Events,
    /// One JSON array.
    Array(ArrayFraming),
}

#[derive(Default)]
struct CandidateState {
    /// Open parts, by number.
    open: BTreeMap<u32, Open>,
    offsets: TextOffsets,
    citations: Vec<Citation>,
    refusal: String,
    hidden: Hidden,
    stop: Option<StopReason>,
}

/// An open part.
enum Open {
    Text,
    Thought { has_text: bool },
    HiddenReasoning(Reasoning),
    Refusal,
    Call(ToolCall),
}

impl Encoder {
    pub(super) fn new(framing: Framing, request: &ChatRequest) -> Self {
        Self {
            framing,
            start: Start::default(),
            usage: None,
            choices: BTreeMap::new(),
            with_reasoning: requests_reasoning(request),
            waiting_bytes: 0,
            has_ended: false,
        }
    }

    fn open(&mut self, choice: u32, part: u32, content: &Content, out: &mut Vec<u8>) {
        let state = self.choices.entry(choice).or_default();
        let open = match content {
            Content::Text(text) => {
                state.offsets.push(&text.text);
                state.citations.extend(text.citations.iter().cloned());
                Some(Open::Text)
            }
            Content::Reasoning(reasoning)
                if !self.with_reasoning && !is_own_signature(reasoning) =>
            {
                Some(Open::HiddenReasoning(reasoning.clone()))
            }
            Content::Reasoning(reasoning) => {
                Some(Open::Thought { has_text: !reasoning.text.is_empty() })
            }
            Content::Refusal(_) => Some(Open::Refusal),
            Content::ToolCall(call) => Some(Open::Call(call.clone())),
            _ => None,
        };
        let is_hidden = matches!(open, Some(Open::HiddenReasoning(_)));
        state.open.extend(open.map(|open| (part, open)));
        match content {
            Content::Reasoning(reasoning) if is_hidden => self.wait(reasoning.text.len(), out),
            Content::Text(text) if text.text.is_empty() => {}
            Content::Refusal(text) => self.refuse(choice, text, out),
            Content::ToolCall(call) => self.wait(call.arguments.len(), out),
            Content::Reasoning(reasoning) => self.reasoning_part(choice, reasoning, out),
            content => {
                let thought_signature = self.thought_signature(choice);
                self.part(choice, out, |array| {
                    write_part(array, content, thought_signature.as_deref());
                });
            }
        }
    }

    /// Opens a reasoning part, which is mostly empty unless it is encrypted.
    fn reasoning_part(&mut self, choice: u32, reasoning: &Reasoning, out: &mut Vec<u8>) {
        let sealed = reasoning.sealed.as_ref().map(sealed_for_client);
        let signed = reasoning.signature.as_ref().map(for_client);
        let thought_signature = sealed.as_deref().or(signed.as_deref());
        if !reasoning.text.is_empty() || thought_signature.is_some() {
            let content = Content::Reasoning(reasoning.clone());
            self.part(choice, out, |array| write_part(array, &content, thought_signature));
        }
    }

    fn grow(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(state) = self.choices.get_mut(&choice) else { return };
        match (state.open.get_mut(&part), delta) {
            (Some(Open::Text), Delta::Text(text)) => {
                state.offsets.push(text);
                let thought_signature = state.hidden.for_part();
                self.part(choice, out, |array| {
                    array.object(|it| {
                        it.text("text", text);
                        it.optional_text("thoughtSignature", thought_signature.as_deref());
                    });
                });
            }
            (Some(Open::Text), Delta::Citation(citation))
                if state.citations.len() < CITATIONS_MAX =>
            {
                state.citations.push(citation.clone());
            }
            (Some(Open::Thought { has_text }), Delta::Text(text)) => {
                *has_text = true;
                self.part(choice, out, |array| {
                    array.object(|it| {
                        it.text("text", text);
                        it.flag("thought", true);
                    });
                });
            }
            (Some(Open::Thought { has_text }), Delta::Signature(signature)) => {
                // Google's own signature without text does not belong to reasoning.
                let is_reasoning = *has_text || signature.dialect != Dialect::Gemini;
                let text = for_client(signature);
                self.part(choice, out, |array| {
                    array.object(|it| {
                        it.text("text", "");
                        if is_reasoning {
                            it.flag("thought", true);
                        }
                        it.text("thoughtSignature", &text);
                    });
                });
            }
            (Some(Open::HiddenReasoning(reasoning)), Delta::Text(text)) => {
                reasoning.text.push_str(text);
                self.wait(text.len(), out);
            }
            (Some(Open::HiddenReasoning(reasoning)), Delta::Signature(signature)) => {
                reasoning.signature = Some(signature.clone());
            }
            (Some(Open::Refusal), Delta::Text(text)) => self.refuse(choice, text, out),
            (Some(Open::Call(call)), Delta::Arguments(piece)) => {
                call.arguments.push_str(piece);
                self.wait(piece.len(), out);
            }
            (Some(Open::Call(call)), Delta::Signature(signature)) => {
                call.signature = Some(signature.clone());
            }
            _ => {}
        }
    }

    /// The signature of a part; it contains the reasoning before it that the client did not request.
    fn thought_signature(&mut self, choice: u32) -> Option<String> {
        self.choices.get_mut(&choice)?.hidden.for_part()
    }

    /// Buffers a refusal, which is part of the last chunk.
    fn refuse(&mut self, choice: u32, text: &str, out: &mut Vec<u8>) {
        if let Some(state) = self.choices.get_mut(&choice) {
            state.refusal.push_str(text);
        }
        self.wait(text.len(), out);
    }

    /// Accounts for buffered bytes. Beyond the limit the stream ends with an error: a truncated call
    /// would be a wrong one.
    fn wait(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.waiting_bytes += bytes;
        if self.waiting_bytes > WAITING_BYTES_MAX {
            let message = "the arguments of a tool call are too long".to_owned();
            let kind = "INTERNAL".to_owned();
            self.fail(&ApiError { status: 502, message, kind, code: None, param: None }, out);
        }
    }

    fn close(&mut self, choice: u32, part: u32, out: &mut Vec<u8>) {
        let Some(state) = self.choices.get_mut(&choice) else { return };
        let open = state.open.remove(&part);
        if let Some(Open::HiddenReasoning(reasoning)) = open {
            state.hidden.push(reasoning);
        } else if let Some(Open::Call(call)) = open {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(call.arguments.len());
            let own = call.signature.as_ref().map(|it| for_client(it).into_owned());
            let hidden = state.hidden.for_call();
            if own.is_some() && hidden.is_some() {
                let empty = Content::Text(Text::default());
                self.part(choice, out, |array| write_part(array, &empty, hidden.as_deref()));
            }
            let signature = own.or(hidden);
            let content = Content::ToolCall(call);
            self.part(choice, out, |array| write_part(array, &content, signature.as_deref()));
        }
    }

    fn stop(&mut self, choice: u32, reason: &StopReason, out: &mut Vec<u8>) {
        let open = self.choices.get(&choice).map(|state| state.open.keys().copied().collect());
        let open: Vec<u32> = open.unwrap_or_default();
        open.into_iter().for_each(|part| self.close(choice, part, out));
        self.choices.entry(choice).or_default().stop = Some(reason.clone());
    }

    /// Writes the last chunk: the finish reason of each choice, and the usage.
    fn end(&mut self, out: &mut Vec<u8>) {
        let mut choices = std::mem::take(&mut self.choices);
        let usage = self.usage;
        self.piece(out, |root| {
            root.array("candidates", |array| {
                for (index, state) in &mut choices {
                    array.object(|candidate| last_candidate(candidate, *index, state));
                }
            });
            if let Some(usage) = &usage {
                root.object("usageMetadata", |object| usage::write(object, usage));
            }
        });
        if let Framing::Array(array) = &mut self.framing {
            array.end(out);
        }
        self.has_ended = true;
    }

    fn fail(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        let mut data = Vec::with_capacity(128);
        error::write(error, &mut data);
        self.frame(&data, out);
        self.has_ended = true;
    }

    /// Appends a chunk with one part of one choice; nothing if nothing is written.
    fn part(&mut self, choice: u32, out: &mut Vec<u8>, fill: impl FnOnce(&mut ArrayWriter<'_>)) {
        let mut parts = Vec::with_capacity(128);
        crate::llm::write_array(&mut parts, fill);
        if parts.len() > "[]".len() {
            self.candidate(choice, out, |candidate| {
                candidate.object("content", |content| {
                    content.key("parts").extend_from_slice(&parts);
                    content.text("role", "model");
                });
            });
        }
    }

    /// Appends a chunk with one candidate.
    fn candidate(
        &mut self,
        choice: u32,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        self.piece(out, |root| {
            root.array("candidates", |array| {
                array.object(|candidate| {
                    fill(candidate);
                    candidate.number("index", u64::from(choice));
                });
            });
        });
    }

    fn piece(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let mut data = Vec::with_capacity(256);
        write_object(&mut data, |root| {
            fill(root);
            root.text("modelVersion", &self.start.model);
            root.text("responseId", &self.start.id);
        });
        self.frame(&data, out);
    }

    /// Appends a chunk, whose JSON has no line breaks, in its framing.
    fn frame(&mut self, data: &[u8], out: &mut Vec<u8>) {
        match &mut self.framing {
            Framing::Events => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n\r\n");
            }
            Framing::Array(array) => array.piece(data, out),
        }
    }
}

fn last_candidate(candidate: &mut ObjectWriter<'_>, index: u32, state: &mut CandidateState) {
    let thought_signature = state.hidden.for_part();
    candidate.object("content", |content| {
        content.array("parts", |parts| {
            write_part(parts, &Content::Text(Text::default()), thought_signature.as_deref());
        });
        content.text("role", "model");
    });
    let reason = state.stop.as_ref();
    candidate.text("finishReason", reason.map_or("OTHER", finish_reason));
    if !state.refusal.is_empty() {
        candidate.text("finishMessage", &state.refusal);
    }
    candidate.number("index", u64::from(index));
    citation::write(candidate, &state.citations, &state.offsets);
}

impl StreamEncoder for Encoder {
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        if self.has_ended {
            return;
        }
        match chunk {
            Chunk::Start(start) => self.start.clone_from(start),
            Chunk::BlockStart { choice, part, content } => self.open(*choice, *part, content, out),
            Chunk::BlockDelta { choice, part, delta } => self.grow(*choice, *part, delta, out),
            Chunk::BlockStop { choice, part } => self.close(*choice, *part, out),
            Chunk::Logprobs { choice, tokens } => self.candidate(*choice, out, |candidate| {
                candidate.object("logprobsResult", |result| write_logprobs(result, tokens));
            }),
            Chunk::Finish { choice, reason } => self.stop(*choice, reason, out),
            Chunk::Usage(usage) => {
                self.usage = Some(self.usage.unwrap_or_default().then(*usage));
            }
            Chunk::Error(error) => self.fail(error, out),
            Chunk::Done => self.end(out),
            // The dialect has no empty event, and a client that splits lines itself may not support
            // comments.
            Chunk::Ping => {}
        }
    }
}
