//! A complete response.

use crate::dialects::answer_id;
use crate::llm::{
    Answer, Choice, Content, ObjectWriter, Part, StopReason, TokenLogprob, Usage, write_array,
    write_object,
};

/// Prefix of OpenAI's completion ids.
pub(super) const ID_PREFIX: &str = "cmpl-";

/// Appends the response.
pub(super) fn write(answer: &Answer, now_unix: u64, out: &mut Vec<u8>) {
    write_object(out, |root| {
        root.text("id", &answer_id::for_client(ID_PREFIX, &answer.id));
        root.text("object", "text_completion");
        root.number("created", answer.created.unwrap_or(now_unix));
        root.text("model", &answer.model);
        root.optional_text("system_fingerprint", answer.system_fingerprint.as_deref());
        root.array("choices", |array| {
            for (index, choice) in (0_u64..).zip(&answer.choices) {
                array.object(|object| write_choice(object, index, choice));
            }
        });
        if let Some(usage) = &answer.usage {
            root.object("usage", |object| write_usage(object, usage));
        }
    });
}

fn write_choice(object: &mut ObjectWriter<'_>, index: u64, choice: &Choice) {
    let text: String = choice.parts.iter().filter_map(text_of).collect();
    object.text("text", &text);
    object.number("index", index);
    write_logprobs(object, &choice.logprobs, &mut 0);
    object.text("finish_reason", finish_reason(&choice.stop));
}

/// The text of a part, or of a refusal.
fn text_of(part: &Part) -> Option<&str> {
    match &part.content {
        Content::Refusal(text) => Some(text),
        _ => part.as_text(),
    }
}

/// The `finish_reason` of a stop reason.
pub(super) fn finish_reason(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::Length => "length",
        StopReason::ContentFilter | StopReason::Refusal => "content_filter",
        _ => "stop",
    }
}

/// Writes `logprobs`, or null if there are none. `offset`, in characters, is the position of the first
/// token in the text; it advances past the last.
pub(super) fn write_logprobs(
    object: &mut ObjectWriter<'_>,
    tokens: &[TokenLogprob],
    offset: &mut u64,
) {
    if tokens.is_empty() {
        object.null("logprobs");
        return;
    }
    // Writing to memory does not fail.
    let float = |out: &mut Vec<u8>, number: f64| drop(serde_json::to_writer(out, &number));
    object.object("logprobs", |inner| {
        inner.texts("tokens", tokens.iter().map(|token| token.token.as_str()));
        write_array(inner.key("token_logprobs"), |array| {
            tokens.iter().for_each(|token| float(array.item(), token.logprob));
        });
        inner.array("top_logprobs", |array| {
            for token in tokens {
                array.object(|top| {
                    token.top.iter().for_each(|(text, logprob)| top.float(text, *logprob));
                });
            }
        });
        write_array(inner.key("text_offset"), |array| {
            for token in tokens {
                let mut digits = itoa::Buffer::new();
                array.item().extend_from_slice(digits.format(*offset).as_bytes());
                *offset += token.token.chars().count() as u64;
            }
        });
    });
}

/// Writes the members of `usage`, as in a chat.
pub(super) fn write_usage(object: &mut ObjectWriter<'_>, usage: &Usage) {
    object.number("prompt_tokens", usage.input_tokens);
    object.number("completion_tokens", usage.output_tokens);
    object.number("total_tokens", usage.input_tokens.saturating_add(usage.output_tokens));
    object.object("prompt_tokens_details", |details| {
        details.number("cached_tokens", usage.cached_tokens);
    });
    object.object("completion_tokens_details", |details| {
        details.number("reasoning_tokens", usage.reasoning_tokens);
    });
}
