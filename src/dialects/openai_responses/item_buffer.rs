//! An item of a streamed response, as far as it was sent.

use super::encrypted_content;
use super::output::{self, OutputPart};
use crate::dialects::openai_tools::{CallForms, InputReader};
use crate::llm::{Content, ObjectWriter, TokenLogprob, write_object};

/// One item.
#[derive(Debug)]
pub(super) struct ItemBuffer {
    pub(super) id: String,
    /// Its parts, until it is complete.
    pub(super) parts: Vec<PartBuffer>,
    /// Its JSON, once it is complete.
    pub(super) written: Vec<u8>,
}

/// One part of an item.
#[derive(Debug)]
pub(super) struct PartBuffer {
    pub(super) content: Content,
    pub(super) logprobs: Vec<TokenLogprob>,
    /// Its index among the parts of a summary.
    pub(super) summary: u64,
    pub(super) is_closed: bool,
    /// Extracts the input of a custom tool from its arguments.
    pub(super) input: InputReader,
}

impl ItemBuffer {
    /// Writes the complete item, and returns its parts.
    pub(super) fn complete(&mut self, status: &str, forms: &CallForms) -> Vec<PartBuffer> {
        let parts = std::mem::take(&mut self.parts);
        let output: Vec<OutputPart<'_>> = parts.iter().map(PartBuffer::output_part).collect();
        output::write_item(&mut self.written, (&self.id, status), &output, forms);
        parts
    }

    /// Number of its parts that are in a summary.
    pub(super) fn summaries(&self) -> u64 {
        self.parts.iter().filter(|part| part.has_reasoning()).count() as u64
    }
}

impl PartBuffer {
    pub(super) fn output_part(&self) -> OutputPart<'_> {
        OutputPart { content: &self.content, logprobs: &self.logprobs }
    }

    /// True for reasoning with text.
    pub(super) fn has_reasoning(&self) -> bool {
        matches!(&self.content, Content::Reasoning(reasoning) if !reasoning.text.is_empty())
    }

    /// Its index in the item, as in events. Calls have none.
    pub(super) fn place(&self, place: usize) -> Option<(&'static str, u64)> {
        match self.content {
            Content::Reasoning(_) => Some(("summary_index", self.summary)),
            Content::ToolCall(_) => None,
            _ => Some(("content_index", place as u64)),
        }
    }

    /// Writes its text under the member's name in events.
    pub(super) fn write_text_of(&self, root: &mut ObjectWriter<'_>) {
        match &self.content {
            Content::Text(text) => root.text("text", &text.text),
            Content::Refusal(text) => root.text("refusal", text),
            Content::Reasoning(reasoning) => root.text("text", &reasoning.text),
            Content::ToolCall(call) => {
                root.text("name", &call.name);
                root.text("arguments", &call.arguments);
            }
            _ => {}
        }
    }
}

/// Writes an item as it begins with `content`.
pub(super) fn write_begun(out: &mut Vec<u8>, id: &str, content: &Content, forms: &CallForms) {
    if let Content::Raw(_) = content {
        let output = OutputPart { content, logprobs: &[] };
        output::write_item(out, (id, "in_progress"), &[output], forms);
        return;
    }
    write_object(out, |item| {
        item.text("id", id);
        match content {
            Content::ToolCall(call) => output::call_members(item, call, "in_progress", forms),
            Content::Image(_) => output::image_members(item, None, "in_progress"),
            Content::Reasoning(reasoning) => {
                item.text("type", "reasoning");
                item.array("summary", |_| {});
                item.optional_text(
                    "encrypted_content",
                    encrypted_content::write(reasoning).as_deref(),
                );
            }
            _ => {
                item.text("type", "message");
                item.text("status", "in_progress");
                item.text("role", "assistant");
                item.array("content", |_| {});
            }
        }
    });
}
