//! A provider's stream, each event of which has the format of a complete response; complete responses
//! are read as a stream with one event.
//!
//! Text and reasoning come in fragments, which belong together until another kind follows; calls are
//! complete. There is no terminator: a response is complete when each candidate has a finish reason.
//! The reason is emitted at the end of the body, since some models send one with every fragment.

use std::collections::BTreeMap;

use super::citation::{self, TextOffsets};
use super::error;
use super::failure::{failure, failure_of};
use super::part::RawPart;
use super::read_contents::call_id;
use super::signature::ThoughtSignature;
use super::usage;
use crate::dialects::codec::{StreamDecodeError, StreamDecoder};
use crate::dialects::embedded_error::error_status;
use crate::llm::{
    Chunk, Citation, Content, Delta, Node, Reasoning, Scanner, Start, StopReason, Text,
    TokenLogprob, ToolCall, Usage,
};

/// Maximum number of choices.
const CHOICES_MAX: u64 = 128;

/// The state of one stream.
#[derive(Default)]
pub(super) struct Decoder {
    has_begun: bool,
    has_ended: bool,
    /// The source of call ids: the response's id, or the one that was set.
    id: String,
    usage: Option<Usage>,
    choices: BTreeMap<u32, Progress>,
}

#[derive(Default)]
struct Progress {
    /// Number of parts opened so far.
    parts: u32,
    /// Number of texts among them.
    texts: u32,
    /// Number of calls among them.
    calls: u64,
    /// The part that text is appended to: whether it is reasoning, and its number.
    open: Option<(bool, u32)>,
    /// The signature of the open text.
    thought_signature: Option<ThoughtSignature>,
    /// The latest text.
    offsets: TextOffsets,
    /// The latest, for the text that is open at the end.
    citations: Vec<Citation>,
    stop: Option<StopReason>,
    /// The message of a failure.
    message: String,
}

impl StreamDecoder for Decoder {
    fn event(
        &mut self,
        _: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError> {
        scanner.read(data, |root| self.take(root, out)).map_err(|_| StreamDecodeError)
    }

    fn name_answer(&mut self, id: &str) {
        id.clone_into(&mut self.id);
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) {
        let is_complete = self.choices.values().all(|it| it.stop.is_some());
        if is_complete && !self.choices.is_empty() {
            self.end(out);
        }
    }
}

impl Decoder {
    /// Reads a complete response, even if it is truncated. False if it is not a response.
    pub(super) fn whole(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) -> bool {
        if root.get("error").is_some() || !is_answer(root) {
            return false;
        }
        if failure(root).is_some() {
            return false;
        }
        self.take(root, out);
        self.end(out);
        true
    }

    /// Ends each choice and the stream.
    fn end(&mut self, out: &mut Vec<Chunk>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        for (choice, progress) in &mut self.choices {
            progress.end(*choice, out);
        }
        out.push(Chunk::Done);
    }

    fn take(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) {
        if self.has_ended {
            return;
        }
        if root.get("error").is_some() {
            out.push(Chunk::Error(error::read(error_status(root), Some(root))));
            self.has_ended = true;
            return;
        }
        if !is_answer(root) {
            return;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            let id = root.text_of("responseId");
            if !id.is_empty() {
                id.clone_into(&mut self.id);
            }
            out.push(Chunk::Start(Start {
                id: id.to_owned(),
                model: root.text_of("modelVersion").to_owned(),
                ..Start::default()
            }));
        }
        let usage = root.get("usageMetadata").and_then(usage::read);
        if let Some(usage) = usage.filter(|usage| Some(*usage) != self.usage) {
            self.usage = Some(usage);
            out.push(Chunk::Usage(usage));
        }
        if let Some(error) = failure_of(root, self.choices.is_empty()) {
            out.push(Chunk::Error(error));
            self.has_ended = true;
            return;
        }
        let candidates = root.get("candidates").into_iter().flat_map(Node::items);
        for (place, candidate) in (0_u64..).zip(candidates) {
            // Index 0 is omitted.
            let index = candidate.get("index").and_then(Node::u64).unwrap_or(place);
            let index = u32::try_from(index).ok().filter(|it| u64::from(*it) < CHOICES_MAX);
            if let Some(index) = index {
                self.choices.entry(index).or_default().take(index, candidate, &self.id, out);
            }
        }
    }
}

/// True if the object has any member of a response.
fn is_answer(root: Node<'_>) -> bool {
    let has_candidates = root.get("candidates").map(Node::is_array);
    let others = ["promptFeedback", "usageMetadata"];
    has_candidates.unwrap_or_else(|| others.iter().any(|key| root.get(key).is_some()))
}

impl Progress {
    fn take(&mut self, choice: u32, candidate: Node<'_>, id: &str, out: &mut Vec<Chunk>) {
        let parts = candidate.get("content").and_then(|content| content.get("parts"));
        for part in parts.into_iter().flat_map(Node::items) {
            self.part(choice, part, id, out);
        }
        let offsets = (self.texts <= 1).then_some(&self.offsets);
        let citations = citation::read(candidate, offsets);
        if !citations.is_empty() {
            self.citations = citations;
        }
        let tokens = candidate.get("logprobsResult").map(logprobs).unwrap_or_default();
        if !tokens.is_empty() {
            out.push(Chunk::Logprobs { choice, tokens });
        }
        if let Some(message) = candidate.get("finishMessage").and_then(Node::text) {
            message.clone_into(&mut self.message);
        }
        let reason = candidate.get("finishReason").and_then(Node::text).and_then(stop_reason);
        self.stop = reason.or(self.stop.take());
    }

    fn part(&mut self, choice: u32, node: Node<'_>, id: &str, out: &mut Vec<Chunk>) {
        let raw = RawPart::of_provider(node);
        if let Some(call) = raw.call {
            return self.call(choice, call, raw.thought_signature, id, out);
        }
        let is_text = raw.inline_data.is_none() && raw.file_data.is_none() && !raw.is_foreign();
        if is_text {
            return self.text_part(choice, raw, out);
        }
        self.close(choice, out);
        // Invalid parts, such as bytes without a type, are skipped.
        for part in raw.into_parts(node).unwrap_or_default() {
            let number = self.open(choice, part.content, out);
            out.push(Chunk::BlockStop { choice, part: number });
        }
    }

    fn text_part(&mut self, choice: u32, raw: RawPart<'_>, out: &mut Vec<Chunk>) {
        let text = raw.text.unwrap_or_default();
        let goes_on = self.open.is_some_and(|(is_reasoning, _)| is_reasoning == raw.is_reasoning);
        // A signature ends signed text, and a signature of reasoning ends that too.
        let goes_on = goes_on && self.thought_signature.is_none();
        if !text.is_empty() {
            if !goes_on {
                self.begin(choice, raw.is_reasoning, out);
            }
            if let Some((is_reasoning, part)) = self.open {
                if !is_reasoning {
                    self.offsets.push(text);
                }
                out.push(Chunk::BlockDelta { choice, part, delta: Delta::Text(text.to_owned()) });
            }
        } else if raw.thought_signature.is_some() && !goes_on {
            self.close(choice, out);
        }
        let Some(thought_signature) = raw.thought_signature else { return };
        match (self.open, thought_signature) {
            (Some((true, part)), ThoughtSignature::Signature(signature)) => {
                let delta = Delta::Signature(signature);
                out.push(Chunk::BlockDelta { choice, part, delta });
                self.close(choice, out);
            }
            (Some((false, _)), thought_signature) => {
                self.thought_signature = Some(thought_signature);
            }
            // Encrypted reasoning is a part of its own.
            (_, thought_signature) => {
                self.close(choice, out);
                self.alone(choice, thought_signature, out);
            }
        }
    }

    /// Opens a text or reasoning part.
    fn begin(&mut self, choice: u32, is_reasoning: bool, out: &mut Vec<Chunk>) {
        self.close(choice, out);
        let content = if is_reasoning {
            Content::Reasoning(Reasoning::default())
        } else {
            self.offsets = TextOffsets::default();
            self.texts += 1;
            Content::Text(Text::default())
        };
        self.open = Some((is_reasoning, self.open(choice, content, out)));
    }

    fn open(&mut self, choice: u32, content: Content, out: &mut Vec<Chunk>) -> u32 {
        let part = self.parts;
        self.parts += 1;
        out.push(Chunk::BlockStart { choice, part, content });
        part
    }

    /// Closes the open text, followed by a reasoning part for its signature.
    fn close(&mut self, choice: u32, out: &mut Vec<Chunk>) {
        if let Some((_, part)) = self.open.take() {
            out.push(Chunk::BlockStop { choice, part });
        }
        if let Some(thought_signature) = self.thought_signature.take() {
            self.alone(choice, thought_signature, out);
        }
    }

    /// Emits a reasoning part without text.
    fn alone(&mut self, choice: u32, thought_signature: ThoughtSignature, out: &mut Vec<Chunk>) {
        let reasoning = Content::Reasoning(thought_signature.reasoning_part(String::new()));
        let part = self.open(choice, reasoning, out);
        out.push(Chunk::BlockStop { choice, part });
    }

    fn call(
        &mut self,
        choice: u32,
        call: Node<'_>,
        thought_signature: Option<ThoughtSignature>,
        answer: &str,
        out: &mut Vec<Chunk>,
    ) {
        self.close(choice, out);
        let name = call.text_of("name");
        let arguments = call.get("args").filter(|args| args.is_object());
        let arguments = arguments.map(|args| args.json().text().to_owned()).unwrap_or_default();
        let id = match call.text_of("id") {
            // The ordinals of the first choice are those of a single choice.
            "" => call_id(answer, u64::from(choice) << 32 | self.calls, name, &arguments),
            id => id.to_owned(),
        };
        self.calls += 1;
        let begun = ToolCall {
            id,
            name: name.to_owned(),
            arguments: String::new(),
            signature: thought_signature.and_then(ThoughtSignature::signature),
        };
        let part = self.open(choice, Content::ToolCall(begun), out);
        if !arguments.is_empty() {
            out.push(Chunk::BlockDelta { choice, part, delta: Delta::Arguments(arguments) });
        }
        out.push(Chunk::BlockStop { choice, part });
    }

    fn end(&mut self, choice: u32, out: &mut Vec<Chunk>) {
        let citations = std::mem::take(&mut self.citations);
        if !citations.is_empty() && !matches!(self.open, Some((false, _))) {
            self.begin(choice, false, out);
        }
        if let Some((_, part)) = self.open {
            let grow =
                |citation| Chunk::BlockDelta { choice, part, delta: Delta::Citation(citation) };
            out.extend(citations.into_iter().map(grow));
        }
        self.close(choice, out);
        let message = std::mem::take(&mut self.message);
        if !message.is_empty() {
            let part = self.open(choice, Content::Refusal(String::new()), out);
            out.push(Chunk::BlockDelta { choice, part, delta: Delta::Text(message) });
            out.push(Chunk::BlockStop { choice, part });
        }
        let reason = match self.stop.take() {
            Some(StopReason::Stop) | None if self.calls > 0 => StopReason::ToolCalls,
            reason => reason.unwrap_or_default(),
        };
        out.push(Chunk::Finish { choice, reason });
    }
}

/// The stop reason of a `finishReason`; none if it is unspecified.
///
/// Whatever truncated a response, be it a filter or a call that could not be parsed, becomes a content
/// filter: no other dialect has a name for the rest, and `stop` would claim that it is complete.
fn stop_reason(text: &str) -> Option<StopReason> {
    match text {
        "" | "FINISH_REASON_UNSPECIFIED" => None,
        "STOP" => Some(StopReason::Stop),
        "MAX_TOKENS" | "CONTINUATION" => Some(StopReason::Length),
        _ => Some(StopReason::ContentFilter),
    }
}

/// Reads `logprobsResult`: the tokens, and the most likely ones at each position.
fn logprobs(result: Node<'_>) -> Vec<TokenLogprob> {
    let number = |node: Node<'_>| node.get("logProbability").and_then(Node::f64);
    let mut tops = result.get("topCandidates").into_iter().flat_map(Node::items);
    let chosen = result.get("chosenCandidates").into_iter().flat_map(Node::items);
    let token = |node: Node<'_>| {
        let top = tops.next().and_then(|top| top.get("candidates"));
        let top = top.into_iter().flat_map(Node::items);
        TokenLogprob {
            token: node.text_of("token").to_owned(),
            logprob: number(node).unwrap_or_default(),
            top: top
                .map(|it| (it.text_of("token").to_owned(), number(it).unwrap_or_default()))
                .collect(),
        }
    };
    chosen.map(token).collect()
}
