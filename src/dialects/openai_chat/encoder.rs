//! A client's stream: a chunk with the role, the deltas, a chunk with the finish reason per choice, the
//! usage if requested, `[DONE]`.

use std::collections::BTreeMap;

use super::answer::{
    ID_PREFIX, finish_reason, link, write_citation, write_image, write_logprobs, write_sound,
    write_usage,
};
use super::error;
use super::read_request::AUDIO_ID;
use super::reasoning_details;
use super::write_messages::write_thinking;
use crate::dialects::codec::StreamEncoder;
use crate::dialects::openai_tools::{CallForms, CallKind, InputReader};
use crate::dialects::{answer_id, service_tier, sse};
use crate::http::write_data;
use crate::llm::{
    ChatRequest, Chunk, Content, Delta, Media, MediaSource, ObjectWriter, Reasoning, Start,
    ToolCall, Usage,
};

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    include_usage: bool,
    forms: CallForms,
    start: Start,
    created: u64,
    usage: Option<Usage>,
    /// By choice.
    choices: BTreeMap<u32, Vec<Open>>,
    /// Text of reasoning, by choice and part, until its signature arrives: clients that assemble
    /// `thinking_blocks` need both together.
    reasoning: BTreeMap<(u32, u32), String>,
    /// Open calls of custom tools, by choice and part: their arguments, and the reader that extracts
    /// the text.
    texts: BTreeMap<(u32, u32), (String, InputReader)>,
}

/// A part, as this dialect numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text(&'static str),
    /// Its index among the calls, and whether its arguments have begun.
    Call {
        index: u64,
        has_arguments: bool,
    },
    Picture,
    Other,
}

impl Encoder {
    pub(super) fn new(request: &ChatRequest, now_unix: u64) -> Self {
        Self {
            include_usage: request.include_usage,
            forms: CallForms::of(request),
            texts: BTreeMap::new(),
            start: Start::default(),
            created: now_unix,
            usage: None,
            choices: BTreeMap::new(),
            reasoning: BTreeMap::new(),
        }
    }

    /// Appends a chunk of one choice.
    fn choice(
        &self,
        out: &mut Vec<u8>,
        choice: u32,
        finish: Option<&str>,
        fill: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        self.chunk(out, |root| {
            root.array("choices", |array| {
                array.object(|object| {
                    object.number("index", u64::from(choice));
                    object.object("delta", fill);
                    match finish {
                        Some(reason) => object.text("finish_reason", reason),
                        None => object.null("finish_reason"),
                    }
                });
            });
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        sse::write(out, None, |root| {
            root.text("id", &self.start.id);
            root.text("object", "chat.completion.chunk");
            root.number("created", self.created);
            root.text("model", &self.start.model);
            root.optional_text("service_tier", self.start.service_tier.as_deref());
            root.optional_text("system_fingerprint", self.start.system_fingerprint.as_deref());
            fill(root);
        });
    }

    fn open(&mut self, choice: u32, part: u32, content: &Content, out: &mut Vec<u8>) {
        let parts = self.choices.entry(choice).or_default();
        if parts.is_empty() && choice > 0 {
            parts.reserve(1);
            self.role(choice, out);
        }
        let parts = self.choices.entry(choice).or_default();
        let calls = parts.iter().filter(|open| matches!(open, Open::Call { .. })).count() as u64;
        let open = match content {
            Content::Text(_) => Open::Text("content"),
            Content::Refusal(_) => Open::Text("refusal"),
            Content::Reasoning(_) => Open::Text("reasoning_content"),
            Content::ToolCall(call) => {
                Open::Call { index: calls, has_arguments: !call.arguments.is_empty() }
            }
            Content::Image(_) => Open::Picture,
            _ => Open::Other,
        };
        // Parts open in the order of their numbers.
        parts.resize((part as usize).min(parts.len()), Open::Other);
        parts.push(open);
        match (content, open) {
            (Content::ToolCall(call), Open::Call { index, .. })
                if self.forms.kind(&call.name) == CallKind::Custom =>
            {
                self.texts.insert((choice, part), <(String, InputReader)>::default());
                let name = Some((call.id.as_str(), call.name.as_str()));
                self.custom(out, (choice, index), name, "");
                self.grow(choice, part, &Delta::Arguments(call.arguments.clone()), out);
            }
            (Content::ToolCall(call), Open::Call { index, .. }) => {
                self.choice(out, choice, None, |delta| write_call(delta, index, call));
            }
            (Content::Text(text), _) if !text.text.is_empty() => {
                self.choice(out, choice, None, |delta| delta.text("content", &text.text));
            }
            (Content::Reasoning(reasoning), _) => {
                self.reasoning_part(out, (choice, part), reasoning);
            }
            _ => self.medium(out, choice, content),
        }
    }

    /// Writes an image, audio, or a link for what the dialect lacks.
    fn medium(&self, out: &mut Vec<u8>, choice: u32, content: &Content) {
        match content {
            Content::Image(image) => {
                let parts = self.choices.get(&choice).map(Vec::as_slice).unwrap_or_default();
                let before = parts.iter().filter(|open| **open == Open::Picture).count() as u64;
                let Some(url) = image.media.url() else { return };
                self.choice(out, choice, None, |delta| {
                    delta.array("images", |array| {
                        array.object(|it| write_image(it, before.saturating_sub(1), &url));
                    });
                });
            }
            Content::Audio(Media { source: MediaSource::Base64(data), .. }) => {
                let id = format!("{AUDIO_ID}{}_{choice}", self.created);
                self.choice(out, choice, None, |delta| {
                    delta.object("audio", |audio| write_sound(audio, data, (&id, self.created)));
                });
            }
            content => {
                if let Some(link) = link(content) {
                    self.choice(out, choice, None, |delta| delta.text("content", &link));
                }
            }
        }
    }

    fn role(&self, choice: u32, out: &mut Vec<u8>) {
        self.choice(out, choice, None, |delta| {
            delta.text("role", "assistant");
            delta.text("content", "");
        });
    }

    fn reasoning_part(&self, out: &mut Vec<u8>, (choice, part): (u32, u32), reasoning: &Reasoning) {
        if !reasoning.text.is_empty() {
            self.choice(out, choice, None, |delta| {
                delta.text("reasoning_content", &reasoning.text);
            });
        }
        if reasoning.sealed.is_some() || reasoning.signature.is_some() {
            self.thinking(out, (choice, part), reasoning);
        }
    }

    fn thinking(&self, out: &mut Vec<u8>, (choice, part): (u32, u32), reasoning: &Reasoning) {
        self.choice(out, choice, None, |delta| {
            delta.array("reasoning_details", |array| {
                reasoning_details::write(array, reasoning, u64::from(part));
            });
            delta.array("thinking_blocks", |array| {
                array.object(|block| write_thinking(block, reasoning));
            });
        });
    }

    fn grow(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let parts = self.choices.get_mut(&choice);
        let Some(open) = parts.and_then(|parts| parts.get_mut(part as usize)) else { return };
        if let (Delta::Arguments(piece), Open::Call { has_arguments, .. }) = (delta, &mut *open) {
            *has_arguments |= !piece.is_empty();
        }
        match (delta, *open) {
            (Delta::Text(text), Open::Text(key)) => {
                self.choice(out, choice, None, |delta| delta.text(key, text));
            }
            (Delta::Arguments(piece), Open::Call { index, .. })
                if self.texts.contains_key(&(choice, part)) =>
            {
                let Some((all, reader)) = self.texts.get_mut(&(choice, part)) else { return };
                all.push_str(piece);
                let text = reader.push(piece);
                if !text.is_empty() {
                    self.custom(out, (choice, index), None, &text);
                }
            }
            (Delta::Arguments(piece), Open::Call { index, .. }) => {
                self.arguments(choice, index, piece, out);
            }
            (Delta::Citation(citation), Open::Text(_)) => {
                self.choice(out, choice, None, |delta| {
                    delta.array("annotations", |array| {
                        array.object(|object| write_citation(object, citation));
                    });
                });
            }
            (Delta::Signature(signature), Open::Text(_)) => {
                let text = self.reasoning.get(&(choice, part)).cloned().unwrap_or_default();
                let signature = Some(signature.clone());
                self.thinking(
                    out,
                    (choice, part),
                    &Reasoning { text, signature, ..Reasoning::default() },
                );
            }
            (Delta::Signature(signature), Open::Call { index, .. }) => {
                let signature = Some(signature.clone());
                let call = ToolCall { signature, ..ToolCall::default() };
                self.choice(out, choice, None, |delta| {
                    delta.array("tool_calls", |array| {
                        array.object(|object| {
                            object.number("index", index);
                            super::write_messages::write_signature_of_call(object, &call);
                        });
                    });
                });
            }
            _ => {}
        }
    }

    /// Appends a fragment of a custom tool's input; the first has id and name.
    fn custom(
        &self,
        out: &mut Vec<u8>,
        (choice, index): (u32, u64),
        named: Option<(&str, &str)>,
        text: &str,
    ) {
        self.choice(out, choice, None, |delta| {
            delta.array("tool_calls", |array| {
                array.object(|object| {
                    object.number("index", index);
                    if let Some((id, _)) = named {
                        object.text("id", id);
                        object.text("type", "custom");
                    }
                    object.object("custom", |custom| {
                        custom.optional_text("name", named.map(|(_, name)| name));
                        custom.text("input", text);
                    });
                });
            });
        });
    }

    /// Writes the rest of a custom tool's input.
    fn close_custom(&mut self, choice: u32, part: u32, out: &mut Vec<u8>) {
        let Some((all, mut reader)) = self.texts.remove(&(choice, part)) else { return };
        let rest = reader.finish(&all);
        let parts = self.choices.get_mut(&choice);
        let open = parts.and_then(|parts| parts.get_mut(part as usize));
        if let Some(Open::Call { index, has_arguments }) = open {
            // The input of a custom tool may be empty.
            *has_arguments = true;
            let index = *index;
            if !rest.is_empty() {
                self.custom(out, (choice, index), None, &rest);
            }
        }
    }

    /// Appends a fragment of a call's arguments.
    fn arguments(&self, choice: u32, index: u64, piece: &str, out: &mut Vec<u8>) {
        self.choice(out, choice, None, |delta| {
            delta.array("tool_calls", |array| {
                array.object(|object| {
                    object.number("index", index);
                    object.object("function", |it| it.text("arguments", piece));
                });
            });
        });
    }

    /// Ends the parts of a choice that `is_ended` selects. A call without arguments gets an empty
    /// object, since clients parse it.
    fn close(&mut self, choice: u32, is_ended: impl Fn(usize) -> bool, out: &mut Vec<u8>) {
        let open = self.texts.keys().filter(|(it, part)| *it == choice && is_ended(*part as usize));
        for (choice, part) in open.copied().collect::<Vec<_>>() {
            self.close_custom(choice, part, out);
        }
        let parts = self.choices.get_mut(&choice).map(Vec::as_mut_slice).unwrap_or_default();
        let mut empty = Vec::new();
        for (_, open) in parts.iter_mut().enumerate().filter(|(part, _)| is_ended(*part)) {
            if let Open::Call { index, has_arguments: has_arguments @ false } = open {
                *has_arguments = true;
                empty.push(*index);
            }
        }
        empty.into_iter().for_each(|index| self.arguments(choice, index, "{}", out));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage.filter(|_| self.include_usage) {
            self.chunk(out, |root| {
                root.array("choices", |_| {});
                root.object("usage", |object| write_usage(object, &usage));
            });
        }
        write_data(out, b"[DONE]");
    }
}

fn write_call(delta: &mut ObjectWriter<'_>, index: u64, call: &ToolCall) {
    delta.array("tool_calls", |array| {
        array.object(|object| {
            object.number("index", index);
            object.text("id", &call.id);
            object.text("type", "function");
            object.object("function", |function| {
                function.text("name", &call.name);
                function.text("arguments", &call.arguments);
            });
            super::write_messages::write_signature_of_call(object, call);
        });
    });
}

impl StreamEncoder for Encoder {
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        match chunk {
            Chunk::Start(start) => {
                self.created = start.created.unwrap_or(self.created);
                self.start.clone_from(start);
                // Once, rather than with each event.
                self.start.id = answer_id::for_client(ID_PREFIX, &start.id).into_owned();
                let tier = start.service_tier.as_deref().and_then(service_tier::of_answer);
                self.start.service_tier = tier.map(str::to_owned);
                self.role(0, out);
            }
            Chunk::BlockStart { choice, part, content } => {
                if let Content::Reasoning(reasoning) = content {
                    self.reasoning.insert((*choice, *part), reasoning.text.clone());
                }
                self.open(*choice, *part, content, out);
            }
            Chunk::BlockDelta { choice, part, delta } => {
                if let Delta::Text(text) = delta
                    && let Some(reasoning) = self.reasoning.get_mut(&(*choice, *part))
                {
                    reasoning.push_str(text);
                }
                self.grow(*choice, *part, delta, out);
            }
            Chunk::Logprobs { choice, tokens } => self.chunk(out, |root| {
                root.array("choices", |array| {
                    array.object(|object| {
                        object.number("index", u64::from(*choice));
                        object.object("delta", |_| {});
                        write_logprobs(object, tokens);
                        object.null("finish_reason");
                    });
                });
            }),
            Chunk::BlockStop { choice, part } => {
                self.close(*choice, |place| place == *part as usize, out);
            }
            Chunk::Finish { choice, reason } => {
                self.close(*choice, |_| true, out);
                self.choice(out, *choice, Some(finish_reason(reason)), |_| {});
            }
            Chunk::Usage(usage) => {
                let before = self.usage.unwrap_or_default();
                self.usage = Some(before.then(*usage));
            }
            Chunk::Error(error) => {
                let mut data = Vec::new();
                error::write(error, &mut data);
                write_data(out, &data);
            }
            Chunk::Done => self.end(out),
            Chunk::Ping => out.extend_from_slice(b": ping\n\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Dialect, Signature};

    #[test]
    fn reasoning_signature_follows_its_text() {
        let mut encoder = Encoder::new(&ChatRequest::default(), 0);
        let mut out = Vec::new();
        let signature = Signature { dialect: Dialect::AnthropicMessages, text: "S==".to_owned() };
        let grow = |delta| Chunk::BlockDelta { choice: 0, part: 0, delta };
        for chunk in [
            Chunk::BlockStart {
                choice: 0,
                part: 0,
                content: Content::Reasoning(Reasoning::default()),
            },
            grow(Delta::Text("first ".to_owned())),
            grow(Delta::Text("the file".to_owned())),
            grow(Delta::Signature(signature)),
        ] {
            encoder.push(&chunk, &mut out);
        }
        let text = String::from_utf8(out).expect("UTF-8");
        let block = r#""thinking_blocks":[{"type":"thinking","thinking":"first the file","signature":"anthropic-messages#S=="}]"#;
        assert!(text.contains(block), "{text}");
        assert!(text.contains(r#""reasoning_content":"the file""#), "{text}");
    }
}
