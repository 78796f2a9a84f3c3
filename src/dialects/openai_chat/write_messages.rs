//! The conversation as a provider accepts it.

use super::reasoning_details;
use crate::dialects::adapt::ends_with_answer;
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::openai_tools::{CallForms, CallKind, input_of};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, CachePoint, ChatRequest, Content, Dialect, File, Image, Media, MediaSource,
    ObjectWriter, Part, Prefill, Reasoning, Role, ToolCall, ToolResult, Turn,
};

/// Writes the messages. OpenAI accepts only text in tool results, and nothing between the results of
/// one turn: other content follows in a user message.
pub(super) fn write_turns(
    messages: &mut ArrayWriter<'_>,
    request: &ChatRequest,
    (target, forms): (&TargetModel<'_>, &CallForms),
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let mark = target.rules.prefill.and_then(Prefill::mark).filter(|_| ends_with_answer(request));
    let mut beside: Vec<Part> = Vec::new();
    for (index, turn) in request.turns.iter().enumerate() {
        let results = || {
            turn.parts.iter().filter_map(|part| match &part.content {
                Content::ToolResult(result) => Some(result),
                _ => None,
            })
        };
        if results().next().is_none() && !beside.is_empty() {
            let shown = Turn::new(Role::User, std::mem::take(&mut beside));
            write_turn(messages, &shown, None, (target, forms), warnings)?;
        }
        let mark = mark.filter(|_| index + 1 == request.turns.len());
        write_turn(messages, turn, mark, (target, forms), warnings)?;
        let shown = results().flat_map(|result| &result.parts).filter(|part| !is_text(part));
        beside.extend(shown.cloned());
    }
    if beside.is_empty() {
        return Ok(());
    }
    write_turn(messages, &Turn::new(Role::User, beside), None, (target, forms), warnings)
}

/// True for content that an assistant message cannot contain. Reasoning alone is not a message either.
pub(super) fn is_lost(role: Role, content: &Content) -> bool {
    let is_lost = match content {
        Content::Reasoning(_) | Content::Image(_) | Content::Video(_) | Content::File(_) => true,
        Content::Audio(media) => !matches!(media.source, MediaSource::Id(_)),
        _ => false,
    };
    is_lost && role == Role::Assistant
}

fn is_text(part: &Part) -> bool {
    matches!(part.content, Content::Text(_))
}

/// `mark` is the member that marks a message for continuation by the model.
fn write_turn(
    messages: &mut ArrayWriter<'_>,
    turn: &Turn,
    mark: Option<&str>,
    (target, forms): (&TargetModel<'_>, &CallForms),
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let is_abroad = |part: &Part| matches!(&part.content, Content::Raw(it) if it.dialect != Dialect::OpenaiChat);
    if turn.parts.iter().any(is_abroad) {
        warnings.dropped("a part of a message", "only another dialect has it");
        let parts: Vec<Part> = turn.parts.iter().filter(|part| !is_abroad(part)).cloned().collect();
        if parts.is_empty() {
            return Ok(());
        }
        let turn = Turn { parts, ..turn.clone() };
        return write_turn(messages, &turn, mark, (target, forms), warnings);
    }
    for part in &turn.parts {
        if let Content::ToolResult(result) = &part.content {
            messages
                .object(|message| write_result(message, result, part.cache, target, warnings))?;
        }
    }
    if turn.role == Role::Tool {
        return Ok(());
    }
    let role = match turn.role {
        Role::System => "system",
        Role::Developer if target.is_original => "developer",
        Role::Developer => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    };
    messages.object(|message| {
        message.text("role", role);
        message.optional_text("name", turn.name.as_deref());
        if let Some(mark) = mark {
            message.flag(mark, true);
        }
        if turn.role == Role::Assistant {
            write_assistant(message, &turn.parts, (target, forms), warnings)
        } else {
            write_content(message, &turn.parts, target, warnings)
        }
    })
}

fn write_result(
    message: &mut ObjectWriter<'_>,
    result: &ToolResult,
    cache: Option<CachePoint>,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    message.text("role", "tool");
    message.text("tool_call_id", &result.id);
    if result.is_error {
        warnings.dropped("is_error of a tool result", "openai-chat reports errors in text only");
    }
    // Imitators reject images in results as well.
    if !result.parts.iter().all(is_text) {
        warnings.changed("what a tool showed", "sent by the user behind its result");
        let texts: Vec<Part> = result.parts.iter().filter(|part| is_text(part)).cloned().collect();
        write_content(message, &texts, target, warnings)?;
    } else {
        write_content(message, &result.parts, target, warnings)?;
    }
    write_cache_point(message, cache, target, warnings);
    Ok(())
}

/// Writes `content`: a string for a single text, else an array of parts.
fn write_content(
    message: &mut ObjectWriter<'_>,
    parts: &[Part],
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    match parts {
        [] => message.text("content", ""),
        [Part { content: Content::Text(text), cache: None }] => message.text("content", &text.text),
        _ => {
            message.array("content", |array| {
                parts.iter().try_for_each(|part| write_part(array, part, target, warnings))
            })?;
        }
    }
    Ok(())
}

fn write_assistant(
    message: &mut ObjectWriter<'_>,
    parts: &[Part],
    (target, forms): (&TargetModel<'_>, &CallForms),
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let content: Vec<Part> = parts
        .iter()
        .filter(|part| matches!(part.content, Content::Text(_) | Content::Raw(_)))
        .cloned()
        .collect();
    if content.is_empty() {
        message.null("content");
    } else {
        write_content(message, &content, target, warnings)?;
    }
    let calls = || {
        parts.iter().filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some(call),
            _ => None,
        })
    };
    for part in parts {
        match &part.content {
            Content::Refusal(refusal) => message.text("refusal", refusal),
            Content::Audio(Media { source: MediaSource::Id(id), .. }) => {
                message.object("audio", |audio| audio.text("id", id));
            }
            Content::Image(_) | Content::Audio(_) | Content::Video(_) | Content::File(_) => {
                warnings
                    .dropped("what the assistant showed", "openai-chat takes it from users only");
            }
            _ => {}
        }
    }
    if !target.is_original {
        write_reasoning(message, parts, Reader::Imitator);
    } else if parts.iter().any(|part| matches!(part.content, Content::Reasoning(_))) {
        warnings.dropped("a thought", "openai-chat takes none back");
    }
    if calls().next().is_some() {
        message.array("tool_calls", |array| {
            calls().for_each(|call| {
                array.object(|object| {
                    write_call(object, call, forms);
                    if !target.is_original {
                        write_signature_of_call(object, call);
                    } else if call.signature.is_some() {
                        warnings.dropped("the proof of a call", "another vendor's");
                    }
                });
            });
        });
    }
    Ok(())
}

/// The receiver of reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Client,
    /// A provider that imitates OpenAI.
    Imitator,
}

/// Writes the reasoning among `parts`: its text, and signed reasoning completely. A client gets both
/// common forms, an imitator the form that it sent.
pub(super) fn write_reasoning(message: &mut ObjectWriter<'_>, parts: &[Part], reader: Reader) {
    let reasoning = || {
        parts.iter().filter_map(|part| match &part.content {
            Content::Reasoning(reasoning) => Some(reasoning),
            _ => None,
        })
    };
    let plain: String = reasoning().map(|reasoning| reasoning.text.as_str()).collect();
    if !plain.is_empty() {
        message.text("reasoning_content", &plain);
    }
    let is_signed = |it: &Reasoning| it.signature.is_some() || it.sealed.is_some();
    if !reasoning().any(is_signed) {
        return;
    }
    let has_details = reasoning().any(reasoning_details::is_from_details);
    if has_details || reader == Reader::Client {
        message.array("reasoning_details", |array| {
            reasoning()
                .fold(0, |index, reasoning| reasoning_details::write(array, reasoning, index));
        });
    }
    if !has_details || reader == Reader::Client {
        message.array("thinking_blocks", |array| {
            reasoning()
                .for_each(|reasoning| array.object(|block| write_thinking(block, reasoning)));
        });
    }
}

/// Writes one of `thinking_blocks`.
pub(super) fn write_thinking(block: &mut ObjectWriter<'_>, reasoning: &Reasoning) {
    if let Some(sealed) = &reasoning.sealed {
        block.text("type", "redacted_thinking");
        block.text("data", &sealed.write(Dialect::OpenaiChat));
        return;
    }
    block.text("type", "thinking");
    block.text("thinking", &reasoning.text);
    if let Some(signature) = &reasoning.signature {
        block.text("signature", &signature.write(Dialect::OpenaiChat));
    }
}

/// Writes the members of one of `tool_calls`.
pub(super) fn write_tool_call(object: &mut ObjectWriter<'_>, call: &ToolCall, forms: &CallForms) {
    write_call(object, call, forms);
    write_signature_of_call(object, call);
}

fn write_call(object: &mut ObjectWriter<'_>, call: &ToolCall, forms: &CallForms) {
    object.text("id", &call.id);
    if forms.kind(&call.name) == CallKind::Custom {
        object.text("type", "custom");
        object.object("custom", |custom| {
            custom.text("name", &call.name);
            custom.text("input", &input_of(&call.arguments));
        });
        return;
    }
    object.text("type", "function");
    object.object("function", |function| {
        function.text("name", &call.name);
        function.text("arguments", if call.arguments.is_empty() { "{}" } else { &call.arguments });
    });
}

/// Where Google has it in this dialect.
pub(super) fn write_signature_of_call(object: &mut ObjectWriter<'_>, call: &ToolCall) {
    let Some(signature) = &call.signature else { return };
    object.object("extra_content", |extra| {
        extra.object("google", |google| {
            google.text("thought_signature", &signature.write(Dialect::OpenaiChat));
        });
    });
}

fn write_part(
    array: &mut ArrayWriter<'_>,
    part: &Part,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    match &part.content {
        Content::Text(text) => array.object(|object| {
            object.text("type", "text");
            object.text("text", &text.text);
            write_cache_point(object, part.cache, target, warnings);
        }),
        Content::Image(image) => return write_image(array, image),
        Content::Audio(media) => return write_audio(array, media),
        Content::Video(_) if target.is_original => {
            return Err(Unsupported::new("a video", "openai-chat has no such part"));
        }
        Content::Video(media) => array.object(|object| {
            object.text("type", "video_url");
            object.object("video_url", |inner| {
                inner.text("url", &media.url().unwrap_or_default());
            });
        }),
        Content::File(file) => {
            if file.context.is_some() {
                warnings.dropped("the context of a file", "openai-chat has no place for it");
            }
            if file.with_citations {
                warnings.dropped("citations of a file", "openai-chat has none");
            }
            return write_file(array, file, target, warnings);
        }
        Content::Refusal(refusal) => array.object(|object| {
            object.text("type", "refusal");
            object.text("refusal", refusal);
        }),
        Content::Raw(foreign) if foreign.dialect == Dialect::OpenaiChat => array.raw(&foreign.json),
        Content::Raw(_) => {
            warnings.dropped("a part of a message", "only another dialect has it");
        }
        // Calls, results and reasoning are members of a message here, not parts of its content.
        Content::ToolCall(_) | Content::ToolResult(_) | Content::Reasoning(_) => {}
    }
    Ok(())
}

fn write_image(array: &mut ArrayWriter<'_>, image: &Image) -> Result<(), Unsupported> {
    let url = image.media.url().ok_or_else(|| {
        Unsupported::new("an image by file id", "openai-chat takes a URL or the bytes")
    })?;
    array.object(|object| {
        object.text("type", "image_url");
        object.object("image_url", |inner| {
            inner.text("url", &url);
            inner.optional_text("detail", image.detail.as_deref());
        });
    });
    Ok(())
}

fn write_audio(array: &mut ArrayWriter<'_>, media: &Media) -> Result<(), Unsupported> {
    let MediaSource::Base64(data) = &media.source else {
        return Err(Unsupported::new("audio by address", "openai-chat takes its bytes only"));
    };
    let media_type = media.media_type.as_deref().unwrap_or("audio/wav");
    let format = match media_type.strip_prefix("audio/").unwrap_or(media_type) {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    };
    array.object(|object| {
        object.text("type", "input_audio");
        object.object("input_audio", |inner| {
            inner.text("data", data);
            inner.text("format", format);
        });
    });
    Ok(())
}

/// Writes a file. OpenAI accepts a PDF, and text as a text part; imitators also accept URLs.
fn write_file(
    array: &mut ArrayWriter<'_>,
    file: &File,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    if target.is_original {
        if let Some(text) = file.media.plain_text_content() {
            warnings.changed("a file of text", "sent as words, openai-chat takes PDF files only");
            array.object(|object| {
                object.text("type", "text");
                object.text("text", &text);
            });
            return Ok(());
        }
        if matches!(file.media.source, MediaSource::Url(_)) {
            let why = "openai-chat takes its bytes only, openai-responses fetches it";
            return Err(Unsupported::new("a file by address", why));
        }
    }
    array.object(|object| {
        object.text("type", "file");
        object.object("file", |inner| {
            match &file.media.source {
                MediaSource::Id(id) => inner.text("file_id", id),
                MediaSource::Url(_) | MediaSource::Base64(_) => {
                    inner.text("file_data", &file.media.url().unwrap_or_default());
                }
            }
            inner.optional_text("filename", file.name.as_deref());
        });
    });
    Ok(())
}

/// OpenRouter and others pass it on to Anthropic; OpenAI itself rejects unknown members.
pub(super) fn write_cache_point(
    object: &mut ObjectWriter<'_>,
    cache: Option<CachePoint>,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) {
    let Some(cache) = cache else { return };
    if target.is_original {
        let why = "openai-chat caches by itself, and only newer models take them";
        return warnings.dropped("a cache point", why);
    }
    object.object("cache_control", |control| {
        control.text("type", "ephemeral");
        if cache == CachePoint::Hour {
            control.text("ttl", "1h");
        }
    });
}
