//! A complete response, read and written.

use super::content_list::{ListPart, read_image};
use super::read_request::{AUDIO_ID, arguments, read_reasoning, signature_of_call};
use super::write_messages::{Reader, write_reasoning, write_tool_call};
use crate::dialects::embedded_error::UNKNOWN_STATUS;
use crate::dialects::openai_tools::{CallForms, arguments_of};
use crate::dialects::{answer_id, media_link, service_tier};
use crate::llm::{
    Answer, ApiError, ArrayWriter, Choice, Citation, Content, Dialect, DialectJson, Media,
    MediaSource, Node, ObjectWriter, Part, Reasoning, StopReason, Text, TokenLogprob, ToolCall,
    Usage, write_object,
};

/// Prefix of OpenAI's chat completion ids.
pub(super) const ID_PREFIX: &str = "chatcmpl-";

/// The failure of a complete response without any choices.
pub(in crate::dialects) fn failure(root: Node<'_>) -> Option<ApiError> {
    let choices = root.get("choices").filter(|choices| choices.is_array() && choices.count() == 0);
    choices.map(|_| ApiError {
        status: UNKNOWN_STATUS,
        message: "the provider's answer has no choices".to_owned(),
        kind: String::new(),
        code: None,
        param: None,
    })
}

/// Reads a provider's response. None if it has no choices.
pub(super) fn read(root: Node<'_>) -> Option<Answer> {
    let choices = root.get("choices").filter(|choices| choices.count() > 0)?;
    let text = |key: &str| root.get(key).and_then(Node::text).map(str::to_owned);
    Some(Answer {
        id: root.text_of("id").to_owned(),
        model: root.text_of("model").to_owned(),
        created: root.get("created").and_then(Node::u64),
        choices: choices.items().map(choice).collect(),
        usage: root.get("usage").and_then(Usage::read),
        service_tier: text("service_tier"),
        system_fingerprint: text("system_fingerprint"),
    })
}

fn choice(value: Node<'_>) -> Choice {
    let mut parts = Vec::new();
    if let Some(message) = value.get("message") {
        read_reasoning(message, &mut parts);
        read_content(message, &mut parts);
        for call in message.get("tool_calls").into_iter().flat_map(Node::items) {
            parts.push(Part::new(Content::ToolCall(tool_call(call))));
        }
    }
    Choice {
        parts,
        stop: stop_reason(value.text_of("finish_reason")),
        logprobs: value.get("logprobs").map(logprobs).unwrap_or_default(),
    }
}

/// Reads text, images, audio and refusal of a message.
fn read_content(message: Node<'_>, parts: &mut Vec<Part>) {
    let filled = |key: &str| message.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    if let Some(text) = filled("content") {
        let citations = message.get("annotations").into_iter().flat_map(Node::items);
        let citations = citations.map(citation).collect();
        parts.push(Part::new(Content::Text(Text { text: text.to_owned(), citations })));
    }
    let list = message.get("content").into_iter().flat_map(Node::items);
    for part in list.filter_map(ListPart::read) {
        read_list_part(part, parts);
    }
    for image in message.get("images").into_iter().flat_map(Node::items) {
        parts.extend(read_image(image).map(|image| Part::new(Content::Image(image))));
    }
    if let Some(refusal) = filled("refusal") {
        parts.push(Part::new(Content::Refusal(refusal.to_owned())));
    }
    if let Some(audio) = message.get("audio") {
        // The transcript, for clients without audio.
        let transcript = audio.text_of("transcript");
        if !transcript.is_empty() && filled("content").is_none() {
            parts.push(Part::text(transcript));
        }
        parts.push(Part::new(Content::Audio(Media::base64("audio/wav", audio.text_of("data")))));
    }
}

/// Appends a part of a content list. Adjacent texts are one part, as in a stream.
fn read_list_part(part: ListPart<'_>, parts: &mut Vec<Part>) {
    let last = parts.last_mut().map(|part| &mut part.content);
    let content = match (part, last) {
        (ListPart::Text(text), Some(Content::Text(last))) => return last.text.push_str(text),
        (ListPart::Thought(text), Some(Content::Reasoning(last))) => {
            return last.text.push_str(&text);
        }
        (ListPart::Text(text), _) => {
            Content::Text(Text { text: text.to_owned(), citations: Vec::new() })
        }
        (ListPart::Thought(text), _) => {
            Content::Reasoning(Reasoning { text, ..Reasoning::default() })
        }
        (ListPart::Refusal(text), _) => Content::Refusal(text.to_owned()),
        (ListPart::Image(image), _) => Content::Image(image),
    };
    parts.push(Part::new(content));
}

/// A call of a provider; some omit the id.
fn tool_call(value: Node<'_>) -> ToolCall {
    if let Some(custom) = value.get("custom") {
        return ToolCall {
            id: value.text_of("id").to_owned(),
            name: custom.text_of("name").to_owned(),
            arguments: arguments_of(custom.text_of("input")),
            signature: None,
        };
    }
    let function = value.get("function").unwrap_or(value);
    ToolCall {
        id: value.text_of("id").to_owned(),
        name: function.text_of("name").to_owned(),
        arguments: arguments(function),
        signature: signature_of_call(value),
    }
}

/// Reads one of `annotations`.
pub(super) fn citation(value: Node<'_>) -> Citation {
    let inner = value.get("url_citation").unwrap_or(value);
    let number = |key: &str| inner.get(key).and_then(Node::u64);
    let text = |key: &str| inner.get(key).and_then(Node::text).map(str::to_owned);
    Citation {
        span: number("start_index").zip(number("end_index")),
        url: text("url"),
        title: text("title"),
        quote: None,
        original: Some(DialectJson { dialect: Dialect::OpenaiChat, json: value.json() }),
    }
}

/// The stop reason of a `finish_reason`.
pub(super) fn stop_reason(text: &str) -> StopReason {
    match text {
        // Mistral's value for a full context, and DeepSeek's for an aborted response.
        "length"
        | "max_tokens"
        | "model_length"
        | "model_context_window_exceeded"
        | "insufficient_system_resource" => StopReason::Length,
        "tool_calls" | "function_call" => StopReason::ToolCalls,
        // The second is GLM's.
        "content_filter" | "sensitive" => StopReason::ContentFilter,
        _ => StopReason::Stop,
    }
}

/// The `finish_reason` of a stop reason.
pub(super) fn finish_reason(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::Stop | StopReason::StopSequence(_) | StopReason::Pause => "stop",
        StopReason::Length => "length",
        StopReason::ToolCalls => "tool_calls",
        StopReason::ContentFilter | StopReason::Refusal => "content_filter",
    }
}

/// Reads `logprobs.content`.
pub(super) fn logprobs(value: Node<'_>) -> Vec<TokenLogprob> {
    value.get("content").map(tokens).unwrap_or_default()
}

/// Reads an array of tokens with their log probabilities.
pub(in crate::dialects) fn tokens(value: Node<'_>) -> Vec<TokenLogprob> {
    let number = |node: Node<'_>| node.get("logprob").and_then(Node::f64).unwrap_or_default();
    let token = |node: Node<'_>| TokenLogprob {
        token: node.text_of("token").to_owned(),
        logprob: number(node),
        top: node
            .get("top_logprobs")
            .into_iter()
            .flat_map(Node::items)
            .map(|top| (top.text_of("token").to_owned(), number(top)))
            .collect(),
    };
    value.items().map(token).collect()
}

/// Appends the response for a client.
pub(super) fn write(answer: &Answer, forms: &CallForms, now_unix: u64, out: &mut Vec<u8>) {
    let created = answer.created.unwrap_or(now_unix);
    write_object(out, |root| {
        root.text("id", &answer_id::for_client(ID_PREFIX, &answer.id));
        root.text("object", "chat.completion");
        root.number("created", created);
        root.text("model", &answer.model);
        root.array("choices", |array| {
            for (index, choice) in (0_u64..).zip(&answer.choices) {
                let sound = format!("{AUDIO_ID}{created}_{index}");
                array.object(|object| {
                    write_choice(object, index, choice, ((&sound, created), forms));
                });
            }
        });
        if let Some(usage) = &answer.usage {
            root.object("usage", |object| write_usage(object, usage));
        }
        root.optional_text(
            "service_tier",
            answer.service_tier.as_deref().and_then(service_tier::of_answer),
        );
        root.optional_text("system_fingerprint", answer.system_fingerprint.as_deref());
    });
}

/// `sound` is the id of a response's audio, and its creation time.
fn write_choice(
    object: &mut ObjectWriter<'_>,
    index: u64,
    choice: &Choice,
    (sound, forms): ((&str, u64), &CallForms),
) {
    object.number("index", index);
    object.object("message", |message| {
        write_message(message, &choice.parts, forms);
        write_media(message, &choice.parts, sound);
    });
    write_logprobs(object, &choice.logprobs);
    object.text("finish_reason", finish_reason(&choice.stop));
}

fn write_message(message: &mut ObjectWriter<'_>, parts: &[Part], forms: &CallForms) {
    message.text("role", "assistant");
    let texts: Vec<&Text> = parts
        .iter()
        .filter_map(|part| match &part.content {
            Content::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    let links: String = parts.iter().filter_map(|part| link(&part.content)).collect();
    if texts.is_empty() && links.is_empty() {
        message.null("content");
    } else {
        let text: String = texts.iter().map(|text| text.text.as_str()).collect();
        message.text("content", &(text + &links));
    }
    let refusal = parts.iter().find_map(|part| match &part.content {
        Content::Refusal(refusal) => Some(refusal.as_str()),
        _ => None,
    });
    match refusal {
        Some(refusal) => message.text("refusal", refusal),
        None => message.null("refusal"),
    }
    write_reasoning(message, parts, Reader::Client);
    if texts.iter().any(|text| !text.citations.is_empty()) {
        message.array("annotations", |array| {
            for citation in texts.iter().flat_map(|text| &text.citations) {
                array.object(|object| write_citation(object, citation));
            }
        });
    }
    let is_call = |part: &Part| matches!(part.content, Content::ToolCall(_));
    if parts.iter().any(is_call) {
        message.array("tool_calls", |array| {
            for part in parts {
                if let Content::ToolCall(call) = &part.content {
                    array.object(|object| write_tool_call(object, call, forms));
                }
            }
        });
    }
}

/// The link for content that a response of this dialect cannot contain.
pub(super) fn link(content: &Content) -> Option<String> {
    matches!(content, Content::Video(_) | Content::File(_)).then(|| media_link::link(content))?
}

/// Writes images, as OpenRouter does, and audio.
fn write_media(message: &mut ObjectWriter<'_>, parts: &[Part], (id, created): (&str, u64)) {
    let images = || {
        parts.iter().filter_map(|part| match &part.content {
            Content::Image(image) => image.media.url(),
            _ => None,
        })
    };
    if images().next().is_some() {
        message.array("images", |array| {
            for (index, url) in (0_u64..).zip(images()) {
                array.object(|object| write_image(object, index, &url));
            }
        });
    }
    let sound = parts.iter().find_map(|part| match &part.content {
        Content::Audio(Media { source: MediaSource::Base64(data), .. }) => Some(data),
        _ => None,
    });
    if let Some(data) = sound {
        message.object("audio", |audio| write_sound(audio, data, (id, created)));
    }
}

/// Writes the members of one of `images`.
pub(super) fn write_image(object: &mut ObjectWriter<'_>, index: u64, url: &str) {
    object.number("index", index);
    object.text("type", "image_url");
    object.object("image_url", |image| image.text("url", url));
}

/// Writes the members of `audio`. Nothing is stored, so it expires at once; the transcript is in the
/// content.
pub(super) fn write_sound(audio: &mut ObjectWriter<'_>, data: &str, (id, created): (&str, u64)) {
    audio.text("id", id);
    audio.text("data", data);
    audio.number("expires_at", created);
    audio.text("transcript", "");
}

/// Writes the members of one of `annotations`.
pub(super) fn write_citation(object: &mut ObjectWriter<'_>, citation: &Citation) {
    object.text("type", "url_citation");
    object.object("url_citation", |inner| {
        let (start, end) = citation.span.unwrap_or_default();
        inner.number("start_index", start);
        inner.number("end_index", end);
        inner.text("url", citation.url.as_deref().unwrap_or_default());
        inner.text("title", citation.title.as_deref().unwrap_or_default());
    });
}

/// Writes `logprobs`, or null if there are none.
pub(super) fn write_logprobs(object: &mut ObjectWriter<'_>, tokens: &[TokenLogprob]) {
    if tokens.is_empty() {
        object.null("logprobs");
        return;
    }
    object.object("logprobs", |inner| {
        inner.array("content", |array| write_tokens(array, tokens));
        inner.null("refusal");
    });
}

/// Writes tokens with their log probabilities.
pub(in crate::dialects) fn write_tokens(array: &mut ArrayWriter<'_>, tokens: &[TokenLogprob]) {
    let fill = |object: &mut ObjectWriter<'_>, token: &str, logprob: f64| {
        object.text("token", token);
        object.float("logprob", logprob);
        object.array("bytes", |array| {
            for byte in token.bytes() {
                array.item().extend_from_slice(itoa::Buffer::new().format(byte).as_bytes());
            }
        });
    };
    for token in tokens {
        array.object(|object| {
            fill(object, &token.token, token.logprob);
            object.array("top_logprobs", |top| {
                for (text, logprob) in &token.top {
                    top.object(|object| fill(object, text, *logprob));
                }
            });
        });
    }
}

/// Writes the members of `usage`. OpenAI's input count includes cached tokens, as ours does.
pub(super) fn write_usage(object: &mut ObjectWriter<'_>, usage: &Usage) {
    object.number("prompt_tokens", usage.input_tokens);
    object.number("completion_tokens", usage.output_tokens);
    object.number("total_tokens", usage.input_tokens.saturating_add(usage.output_tokens));
    object.object("prompt_tokens_details", |details| {
        details.number("cached_tokens", usage.cached_tokens);
        details.number("audio_tokens", usage.input_audio_tokens);
        let written = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
        if written > 0 {
            details.number("cache_write_tokens", written);
        }
    });
    object.object("completion_tokens_details", |details| {
        details.number("reasoning_tokens", usage.reasoning_tokens);
        details.number("audio_tokens", usage.output_audio_tokens);
    });
    // Anthropic's names, which OpenAI's clients ignore and billing tools read.
    let written = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
    if written > 0 {
        object.number("cache_creation_input_tokens", written);
        object.object("cache_creation", |details| {
            details.number("ephemeral_5m_input_tokens", usage.cache_write_tokens);
            details.number("ephemeral_1h_input_tokens", usage.cache_write_1h_tokens);
        });
        object.number("cache_read_input_tokens", usage.cached_tokens);
    }
}
