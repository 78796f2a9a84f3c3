//! A provider's stream.
//!
//! The type of an event is in its data. A content block or a plan ends where the next one begins and
//! not at its `content-end`, since citations may follow that; calls end with `tool-call-end`. The plan
//! has no end event.

use std::collections::BTreeMap;

use super::answer::{arguments, begun, logprob, stop_reason, usage};
use super::{citation, error};
use crate::dialects::codec::{StreamDecodeError, StreamDecoder};
use crate::dialects::embedded_error::error_status;
use crate::llm::{ApiError, Chunk, Content, Delta, Node, Reasoning, Scanner, Start, Text};

/// Maximum number of open calls; the vendor sends them one after another.
const CALLS_OPEN_MAX: usize = 128;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_ended: bool,
    /// Number of parts opened so far.
    parts: u32,
    /// The part that text is appended to.
    open: Option<Open>,
    /// Index of the current block.
    block: Option<u64>,
    /// Part numbers of the calls, by `index`.
    calls: BTreeMap<u64, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    part: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
    Plan,
}

impl StreamDecoder for Decoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError> {
        // `message-end` was the last event.
        if self.has_ended || data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        scanner.read(data, |root| self.take(name, root, out)).map_err(|_| StreamDecodeError)
    }

    fn finish(&mut self, _: &mut Vec<Chunk>) {
        // A stream without `message-end` is truncated.
    }
}

impl Decoder {
    fn take(&mut self, name: Option<&str>, root: Node<'_>, out: &mut Vec<Chunk>) {
        let kind = root.get("type").and_then(Node::text).or(name).unwrap_or_default();
        let message = root.get("delta").and_then(|delta| delta.get("message"));
        match kind {
            "message-start" => out.push(Chunk::Start(Start {
                id: root.text_of("id").to_owned(),
                ..Start::default()
            })),
            "content-start" => {
                self.close(out);
                self.block = root.get("index").and_then(Node::u64);
                self.content(message, out);
            }
            "content-delta" => {
                self.content(message, out);
                if let Some(token) = root.get("logprobs") {
                    out.push(Chunk::Logprobs { choice: 0, tokens: vec![logprob(token)] });
                }
            }
            "tool-plan-delta" => {
                let text = message.map(|message| message.text_of("tool_plan"));
                self.text_delta(Kind::Plan, text.unwrap_or_default(), out);
            }
            "citation-start" => self.citation(message, out),
            "tool-call-start" => self.call(root, message, out),
            "tool-call-delta" => self.call_grows(root, message, out),
            "tool-call-end" => {
                if let Some(part) = self.calls.remove(&index(root)) {
                    out.push(Chunk::BlockStop { choice: 0, part });
                }
            }
            "message-end" => self.end(root, out),
            // An error of a proxy has a message and no type.
            "" | "error" => self.fail(None, root, out),
            _ => {}
        }
    }

    fn content(&mut self, message: Option<Node<'_>>, out: &mut Vec<Chunk>) {
        let Some(content) = message.and_then(|message| message.get("content")) else { return };
        self.text_delta(Kind::Thought, content.text_of("thinking"), out);
        self.text_delta(Kind::Text, content.text_of("text"), out);
    }

    /// Appends to the open part of that kind, or opens one. Empty text opens none.
    fn text_delta(&mut self, kind: Kind, text: &str, out: &mut Vec<Chunk>) {
        if text.is_empty() {
            return;
        }
        let open = match self.open {
            Some(open) if open.kind == kind => open,
            _ => {
                self.close(out);
                let content = match kind {
                    Kind::Text => Content::Text(Text::default()),
                    Kind::Thought | Kind::Plan => Content::Reasoning(Reasoning::default()),
                };
                let open = Open { kind, part: self.begin(content, out) };
                self.open = Some(open);
                open
            }
        };
        let delta = Delta::Text(text.to_owned());
        out.push(Chunk::BlockDelta { choice: 0, part: open.part, delta });
    }

    fn begin(&mut self, content: Content, out: &mut Vec<Chunk>) -> u32 {
        let part = self.parts;
        self.parts = self.parts.saturating_add(1);
        out.push(Chunk::BlockStart { choice: 0, part, content });
        part
    }

    fn close(&mut self, out: &mut Vec<Chunk>) {
        if let Some(open) = self.open.take() {
            out.push(Chunk::BlockStop { choice: 0, part: open.part });
        }
    }

    fn citation(&mut self, message: Option<Node<'_>>, out: &mut Vec<Chunk>) {
        let cited = message.and_then(|message| message.get("citations")).map(one);
        let Some(cited) = cited.filter(|cited| citation::is_of_text(*cited)) else { return };
        let block = citation::block(cited).and_then(|block| u64::try_from(block).ok());
        let is_here = block.is_none() || self.block.is_none() || block == self.block;
        if let Some(Open { kind: Kind::Text, part }) = self.open
            && is_here
        {
            let grow = |it| Chunk::BlockDelta { choice: 0, part, delta: Delta::Citation(it) };
            out.extend(citation::read(cited).into_iter().map(grow));
        }
    }

    fn call(&mut self, root: Node<'_>, message: Option<Node<'_>>, out: &mut Vec<Chunk>) {
        let Some(call) = message.and_then(|message| message.get("tool_calls")).map(one) else {
            return;
        };
        self.close(out);
        if self.calls.len() >= CALLS_OPEN_MAX {
            return;
        }
        let part = self.begin(Content::ToolCall(begun(call)), out);
        if let Some(before) = self.calls.insert(index(root), part) {
            out.push(Chunk::BlockStop { choice: 0, part: before });
        }
        self.call_grows(root, message, out);
    }

    fn call_grows(&self, root: Node<'_>, message: Option<Node<'_>>, out: &mut Vec<Chunk>) {
        let call = message.and_then(|message| message.get("tool_calls")).map(one);
        let piece = call.and_then(|call| call.get("function")).map(arguments);
        let piece = piece.unwrap_or_default();
        if let Some(part) = self.calls.get(&index(root)).filter(|_| !piece.is_empty()) {
            let delta = Delta::Arguments(piece.to_owned());
            out.push(Chunk::BlockDelta { choice: 0, part: *part, delta });
        }
    }

    fn end(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) {
        let Some(delta) = root.get("delta") else { return self.fail(None, root, out) };
        let reason = match stop_reason(delta.text_of("finish_reason")) {
            Ok(reason) if delta.get("error").is_none() => reason,
            Ok(_) => return self.fail(None, delta, out),
            Err(status) => return self.fail(Some(status), delta, out),
        };
        self.close(out);
        for part in std::mem::take(&mut self.calls).into_values() {
            out.push(Chunk::BlockStop { choice: 0, part });
        }
        out.push(Chunk::Finish { choice: 0, reason });
        out.extend(delta.get("usage").and_then(usage).map(Chunk::Usage));
        out.push(Chunk::Done);
        self.has_ended = true;
    }

    fn fail(&mut self, status: Option<u16>, event: Node<'_>, out: &mut Vec<Chunk>) {
        let inner = event.get("error").filter(|error| error.is_object()).unwrap_or(event);
        let error = error::read(status.unwrap_or_else(|| error_status(event)), Some(inner));
        let message = match inner.get("message").or(inner.get("error")) {
            Some(_) => error.message,
            None => "the provider could not finish its answer".to_owned(),
        };
        out.push(Chunk::Error(ApiError { message, ..error }));
        self.has_ended = true;
    }
}

fn index(root: Node<'_>) -> u64 {
    root.get("index").and_then(Node::u64).unwrap_or(0)
}

/// The value, or the first element: some send the call or citation of an event in an array.
fn one(value: Node<'_>) -> Node<'_> {
    value.items().next().unwrap_or(value)
}
