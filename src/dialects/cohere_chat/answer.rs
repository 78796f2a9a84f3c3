//! A complete response, read and written.

use super::read_request::plan;
use super::write_message::{write_call, write_reasoning};
use super::{citation, write_message as message};
use crate::llm::{
    Answer, ArrayWriter, Choice, Content, Node, ObjectWriter, Part, Reasoning, StopReason, Text,
    TokenLogprob, ToolCall, Usage, write_object,
};

/// Larger counts are left to [`Usage::read`], which checks them.
const EXACT_MAX: u64 = 1_000_000_000;

/// Reads a provider's response. None if it has no message, or reports a failure.
pub(super) fn read(root: Node<'_>) -> Option<Answer> {
    let message = root.get("message").filter(|message| message.is_object())?;
    let stop = stop_reason(root.text_of("finish_reason")).ok()?;
    let logprobs = root.get("logprobs").into_iter().flat_map(Node::items).map(logprob).collect();
    Some(Answer {
        id: root.text_of("id").to_owned(),
        choices: vec![Choice { parts: parts(message), stop, logprobs }],
        usage: root.get("usage").and_then(usage),
        ..Answer::default()
    })
}

fn parts(message: Node<'_>) -> Vec<Part> {
    let blocks = message.get("content").into_iter().flat_map(Node::items);
    let mut parts: Vec<Part> = blocks.map(block).collect();
    if let Some(citations) = message.get("citations") {
        citation::attach(citations, &mut parts);
    }
    // Only now, since citations count all blocks.
    parts.retain(|part| match &part.content {
        Content::Text(text) => !text.text.is_empty(),
        Content::Reasoning(reasoning) => !reasoning.text.is_empty(),
        _ => true,
    });
    parts.extend(plan(message.text_of("tool_plan")));
    let calls = message.get("tool_calls").into_iter().flat_map(Node::items);
    parts.extend(calls.map(|call| {
        let arguments = call.get("function").map(arguments).unwrap_or_default();
        Part::new(Content::ToolCall(ToolCall { arguments: arguments.to_owned(), ..begun(call) }))
    }));
    parts
}

fn block(value: Node<'_>) -> Part {
    match value.get("thinking").and_then(Node::text) {
        Some(reasoning) => {
            let reasoning = Reasoning { text: reasoning.to_owned(), ..Reasoning::default() };
            Part::new(Content::Reasoning(reasoning))
        }
        None => Part::text(value.text_of("text")),
    }
}

/// A call whose arguments follow.
pub(super) fn begun(value: Node<'_>) -> ToolCall {
    let name = value.get("function").map(|function| function.text_of("name"));
    ToolCall {
        id: value.text_of("id").to_owned(),
        name: name.unwrap_or_default().to_owned(),
        ..ToolCall::default()
    }
}

/// The text of the arguments, complete or a fragment.
pub(super) fn arguments(function: Node<'_>) -> &str {
    function.text_of("arguments")
}

/// A text with its log probability: the sum over its tokens, whose own texts are not sent.
pub(super) fn logprob(value: Node<'_>) -> TokenLogprob {
    let tokens = value.get("logprobs").into_iter().flat_map(Node::items);
    TokenLogprob {
        token: value.text_of("text").to_owned(),
        logprob: tokens.filter_map(Node::f64).sum(),
        top: Vec::new(),
    }
}

/// The stop reason of a `finish_reason`, or the status of the failure that it reports.
pub(super) fn stop_reason(text: &str) -> Result<StopReason, u16> {
    match text {
        "MAX_TOKENS" | "ERROR_LIMIT" => Ok(StopReason::Length),
        // The stop sequence itself is not sent.
        "STOP_SEQUENCE" => Ok(StopReason::StopSequence(String::new())),
        "TOOL_CALL" => Ok(StopReason::ToolCalls),
        // Version 1 used it for filtered output.
        "ERROR_TOXIC" => Ok(StopReason::ContentFilter),
        "ERROR" => Err(502),
        "TIMEOUT" => Err(504),
        _ => Ok(StopReason::Stop),
    }
}

/// The `finish_reason` of a stop reason.
pub(super) fn finish_reason(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::Stop | StopReason::Pause => "COMPLETE",
        StopReason::StopSequence(_) => "STOP_SEQUENCE",
        StopReason::Length => "MAX_TOKENS",
        StopReason::ToolCalls => "TOOL_CALL",
        StopReason::ContentFilter | StopReason::Refusal => "ERROR_TOXIC",
    }
}

/// The usage as billed, or as counted if nothing was billed. Cached tokens refer to the whole prompt,
/// of which only a part is billed, so they are limited to that part.
pub(super) fn usage(value: Node<'_>) -> Option<Usage> {
    let usage = ["billed_units", "tokens"].into_iter().find_map(|key| units(value.get(key)?))?;
    let cached = value.get("cached_tokens").and_then(Node::u64).unwrap_or(0);
    Some(Usage { cached_tokens: cached.min(usage.input_tokens), ..usage })
}

/// Token counts. The reference has them as floats; those without a fraction are used.
fn units(value: Node<'_>) -> Option<Usage> {
    let whole = |key: &str| value.get(key).and_then(Node::u64).filter(|count| *count <= EXACT_MAX);
    match (whole("input_tokens"), whole("output_tokens")) {
        (Some(input_tokens), Some(output_tokens)) => {
            Some(Usage { input_tokens, output_tokens, ..Usage::default() })
        }
        _ => Usage::read(value),
    }
}

/// Appends the response for a client.
pub(super) fn write(answer: &Answer, out: &mut Vec<u8>) {
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    write_object(out, |root| {
        root.text("id", &answer.id);
        root.text("finish_reason", finish_reason(&choice.stop));
        root.object("message", |message| write_message(message, &choice.parts));
        if let Some(usage) = &answer.usage {
            root.object("usage", |object| write_usage(object, usage));
        }
        if !choice.logprobs.is_empty() {
            root.array("logprobs", |array| {
                for token in &choice.logprobs {
                    array.object(|object| write_logprob(object, token));
                }
            });
        }
    });
}

/// Unlike in the assistant messages of a request, reasoning stays in place, as blocks.
fn write_message(message: &mut ObjectWriter<'_>, parts: &[Part]) {
    message.text("role", "assistant");
    let mut texts: Vec<(u64, &Text)> = Vec::new();
    let is_content = |part: &&Part| {
        matches!(part.content, Content::Text(_) | Content::Refusal(_) | Content::Reasoning(_))
    };
    if parts.iter().any(|part| is_content(&part)) {
        message.array("content", |array| {
            for (index, part) in (0_u64..).zip(parts.iter().filter(is_content)) {
                if let Content::Text(text) = &part.content {
                    texts.push((index, text));
                }
                write_block(array, part);
            }
        });
    }
    let is_call = |part: &Part| matches!(part.content, Content::ToolCall(_));
    if parts.iter().any(is_call) {
        message.array("tool_calls", |array| {
            for part in parts {
                if let Content::ToolCall(call) = &part.content {
                    array.object(|object| write_call(object, call));
                }
            }
        });
    }
    citation::write_all(message, &texts, true);
}

fn write_block(array: &mut ArrayWriter<'_>, part: &Part) {
    match &part.content {
        Content::Reasoning(reasoning) => write_reasoning(array, &reasoning.text),
        Content::Text(Text { text, .. }) | Content::Refusal(text) => {
            message::write_text(array, text);
        }
        _ => {}
    }
}

/// Writes the members of one of `logprobs`. Token ids are known to the vendor only.
pub(super) fn write_logprob(object: &mut ObjectWriter<'_>, token: &TokenLogprob) {
    object.text("text", &token.token);
    object.array("token_ids", |_| {});
    object.array("logprobs", |array| {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(array.item(), &token.logprob);
    });
}

/// Writes the members of `usage`.
pub(super) fn write_usage(object: &mut ObjectWriter<'_>, usage: &Usage) {
    for key in ["billed_units", "tokens"] {
        object.object(key, |units| {
            units.number("input_tokens", usage.input_tokens);
            units.number("output_tokens", usage.output_tokens);
        });
    }
    object.number("cached_tokens", usage.cached_tokens);
}
