//! A client's stream: text deltas, one chunk with the finish reason per choice, the usage if requested,
//! `[DONE]`.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{ID_PREFIX, finish_reason, write_logprobs, write_usage};
use crate::dialects::answer_id;
use crate::dialects::codec::StreamEncoder;
use crate::dialects::{openai_chat, sse};
use crate::http::write_data;
use crate::llm::{Chunk, Content, Delta, ObjectWriter, Start, Text, TokenLogprob, Usage};

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    include_usage: bool,
    start: Start,
    created: u64,
    usage: Option<Usage>,
    /// Open text parts, by choice and number.
    text_parts: BTreeSet<(u32, u32)>,
    /// By choice: the offset of the next token in the text.
    offsets: BTreeMap<u32, u64>,
}

/// The delta of one choice.
#[derive(Default)]
struct ChoiceDelta<'a> {
    text: &'a str,
    tokens: &'a [TokenLogprob],
    finish: Option<&'static str>,
}

impl Encoder {
    pub(super) fn new(include_usage: bool, now_unix: u64) -> Self {
        Self {
            include_usage,
            start: Start::default(),
            created: now_unix,
            usage: None,
            text_parts: BTreeSet::new(),
            offsets: BTreeMap::new(),
        }
    }

    fn chunk(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        sse::write(out, None, |root| {
            root.text("id", &self.start.id);
            root.text("object", "text_completion");
            root.number("created", self.created);
            root.text("model", &self.start.model);
            root.optional_text("system_fingerprint", self.start.system_fingerprint.as_deref());
            fill(root);
        });
    }

    fn choice(&mut self, out: &mut Vec<u8>, choice: u32, delta: &ChoiceDelta<'_>) {
        let mut offset = self.offsets.get(&choice).copied().unwrap_or(0);
        self.chunk(out, |root| {
            root.array("choices", |array| {
                array.object(|object| {
                    object.text("text", delta.text);
                    object.number("index", u64::from(choice));
                    write_logprobs(object, delta.tokens, &mut offset);
                    match delta.finish {
                        Some(reason) => object.text("finish_reason", reason),
                        None => object.null("finish_reason"),
                    }
                });
            });
        });
        if offset > 0 {
            self.offsets.insert(choice, offset);
        }
    }

    fn text(&mut self, out: &mut Vec<u8>, choice: u32, text: &str) {
        if !text.is_empty() {
            self.choice(out, choice, &ChoiceDelta { text, ..ChoiceDelta::default() });
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage.filter(|_| self.include_usage) {
            self.chunk(out, |root| {
                root.array("choices", |_| {});
                root.object("usage", |object| write_usage(object, &usage));
            });
        }
        write_data(out, b"[DONE]");
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        match chunk {
            Chunk::Start(start) => {
                self.created = start.created.unwrap_or(self.created);
                self.start.clone_from(start);
                self.start.id = answer_id::for_client(ID_PREFIX, &start.id).into_owned();
            }
            Chunk::BlockStart { choice, part, content } => {
                if let Content::Text(Text { text, .. }) | Content::Refusal(text) = content {
                    self.text_parts.insert((*choice, *part));
                    self.text(out, *choice, text);
                }
            }
            Chunk::BlockDelta { choice, part, delta: Delta::Text(text) } => {
                if self.text_parts.contains(&(*choice, *part)) {
                    self.text(out, *choice, text);
                }
            }
            Chunk::BlockStop { choice, part } => {
                self.text_parts.remove(&(*choice, *part));
            }
            Chunk::Logprobs { choice, tokens } => {
                self.choice(out, *choice, &ChoiceDelta { tokens, ..ChoiceDelta::default() });
            }
            Chunk::Finish { choice, reason } => {
                let finish = Some(finish_reason(reason));
                self.choice(out, *choice, &ChoiceDelta { finish, ..ChoiceDelta::default() });
            }
            Chunk::Usage(usage) => {
                self.usage = Some(self.usage.unwrap_or_default().then(*usage));
            }
            Chunk::Error(error) => {
                let mut data = Vec::new();
                openai_chat::write_error(error, &mut data);
                write_data(out, &data);
            }
            Chunk::Done => self.end(out),
            Chunk::Ping => out.extend_from_slice(b": ping\n\n"),
            Chunk::BlockDelta { .. } => {}
        }
    }
}
