//! A client's stream: `message-start`, the blocks, calls and citations with their starts and ends,
//! `message-end` with stop reason and usage, `[DONE]`.

use std::collections::BTreeMap;

use super::answer::{finish_reason, write_logprob, write_usage};
use super::citation;
use crate::dialects::codec::StreamEncoder;
use crate::dialects::sse;
use crate::http::write_data;
use crate::llm::{Chunk, Content, Delta, ObjectWriter, StopReason, ToolCall, Usage};

/// The state of one stream. Only the first choice is written, since a request of this dialect cannot
/// have more.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Open parts, by number.
    open: BTreeMap<u32, Open>,
    blocks: u64,
    calls: u64,
    citations: u64,
    stop: StopReason,
    usage: Option<Usage>,
}

/// A part, as this dialect numbers it.
#[derive(Debug)]
enum Open {
    /// A content block, by the name of its text member. The text is kept for citations.
    Block {
        key: &'static str,
        index: u64,
        block_text: String,
    },
    Call {
        index: u64,
        has_arguments: bool,
    },
}

impl Encoder {
    fn open(&mut self, part: u32, content: &Content, out: &mut Vec<u8>) {
        let (key, block_text) = match content {
            Content::Text(text) => ("text", &text.text),
            Content::Refusal(text) => ("text", text),
            Content::Reasoning(reasoning) => ("thinking", &reasoning.text),
            Content::ToolCall(call) => return self.call(part, call, out),
            _ => return,
        };
        let index = self.blocks;
        self.blocks += 1;
        self.open.insert(part, Open::Block { key, index, block_text: block_text.clone() });
        event(out, "content-start", Some(index), |message| {
            message.object("content", |block| {
                block.text("type", key);
                block.text(key, block_text);
            });
        });
    }

    fn call(&mut self, part: u32, call: &ToolCall, out: &mut Vec<u8>) {
        let index = self.calls;
        self.calls += 1;
        let has_arguments = !call.arguments.is_empty();
        self.open.insert(part, Open::Call { index, has_arguments });
        event(out, "tool-call-start", Some(index), |message| {
            message.object("tool_calls", |object| {
                object.text("id", &call.id);
                object.text("type", "function");
                object.object("function", |function| {
                    function.text("name", &call.name);
                    function.text("arguments", &call.arguments);
                });
            });
        });
    }

    fn grow(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        match (delta, self.open.get_mut(&part)) {
            (Delta::Text(text), Some(Open::Block { key, index, block_text })) => {
                if *key == "text" {
                    block_text.push_str(text);
                }
                event(out, "content-delta", Some(*index), |message| {
                    message.object("content", |block| block.text(key, text));
                });
            }
            (Delta::Citation(cited), Some(Open::Block { index, block_text, .. })) => {
                let number = self.citations;
                self.citations += 1;
                event(out, "citation-start", Some(number), |message| {
                    citation::write(message.key("citations"), cited, block_text, *index);
                });
                bare(out, "citation-end", number);
            }
            (Delta::Arguments(piece), Some(Open::Call { index, has_arguments })) => {
                *has_arguments = true;
                arguments(out, *index, piece);
            }
            _ => {}
        }
    }

    fn close(&mut self, part: u32, out: &mut Vec<u8>) {
        match self.open.remove(&part) {
            Some(Open::Block { index, .. }) => bare(out, "content-end", index),
            Some(Open::Call { index, has_arguments }) => {
                if !has_arguments {
                    arguments(out, index, "{}");
                }
                bare(out, "tool-call-end", index);
            }
            None => {}
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        sse::write(out, Some("message-end"), |root| {
            root.text("type", "message-end");
            root.object("delta", |delta| {
                delta.text("finish_reason", finish_reason(&self.stop));
                if let Some(usage) = &self.usage {
                    delta.object("usage", |object| write_usage(object, usage));
                }
            });
        });
        write_data(out, b"[DONE]");
    }
}

/// Appends an event whose `delta.message` `fill` writes.
fn event(
    out: &mut Vec<u8>,
    name: &str,
    index: Option<u64>,
    fill: impl FnOnce(&mut ObjectWriter<'_>),
) {
    sse::write(out, Some(name), |root| {
        root.text("type", name);
        root.optional_number("index", index);
        root.object("delta", |delta| delta.object("message", fill));
    });
}

/// Appends an event that consists of its index.
fn bare(out: &mut Vec<u8>, name: &str, index: u64) {
    sse::write(out, Some(name), |root| {
        root.text("type", name);
        root.number("index", index);
    });
}

fn arguments(out: &mut Vec<u8>, index: u64, piece: &str) {
    event(out, "tool-call-delta", Some(index), |message| {
        message.object("tool_calls", |calls| {
            calls.object("function", |function| function.text("arguments", piece));
        });
    });
}

impl StreamEncoder for Encoder {
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        match chunk {
            Chunk::Start(start) => sse::write(out, Some("message-start"), |root| {
                root.text("id", &start.id);
                root.text("type", "message-start");
                root.object("delta", |delta| {
                    delta.object("message", |message| {
                        message.text("role", "assistant");
                        message.array("content", |_| {});
                        message.text("tool_plan", "");
                        message.array("tool_calls", |_| {});
                        message.array("citations", |_| {});
                    });
                });
            }),
            Chunk::BlockStart { choice: 0, part, content } => self.open(*part, content, out),
            Chunk::BlockDelta { choice: 0, part, delta } => self.grow(*part, delta, out),
            Chunk::BlockStop { choice: 0, part } => self.close(*part, out),
            Chunk::Logprobs { choice: 0, tokens } => {
                for token in tokens {
                    sse::write(out, Some("content-delta"), |root| {
                        root.text("type", "content-delta");
                        root.number("index", self.blocks.saturating_sub(1));
                        root.object("logprobs", |object| write_logprob(object, token));
                    });
                }
            }
            Chunk::Finish { choice: 0, reason } => self.stop.clone_from(reason),
            Chunk::Usage(usage) => {
                self.usage = Some(self.usage.unwrap_or_default().then(*usage));
            }
            Chunk::Error(error) => sse::write(out, Some("message-end"), |root| {
                root.text("type", "message-end");
                root.object("delta", |delta| {
                    let reason = if error.status == 504 { "TIMEOUT" } else { "ERROR" };
                    delta.text("finish_reason", reason);
                    delta.text("error", &error.message);
                });
            }),
            Chunk::Done => self.end(out),
            Chunk::Ping => out.extend_from_slice(b": ping\n\n"),
            _ => {}
        }
    }
}
