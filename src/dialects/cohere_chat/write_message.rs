//! The messages of a request, as Cohere accepts them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::citation;
use crate::dialects::codec::Unsupported;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, Content, Dialect, File, Image, MediaSource, ObjectWriter, Part, Reasoning, Role,
    Text, ToolCall, ToolResult, Turn,
};

/// The reason in warnings about cache points.
pub(super) const NO_CACHE_POINTS: &str = "cohere-chat caches by itself";

/// Media types of text that do not begin with `text/`.
const TEXT_TYPES: [&str; 4] =
    ["application/json", "application/xml", "application/yaml", "application/x-ndjson"];

/// Writes the messages that one turn becomes.
pub(super) fn write(
    messages: &mut ArrayWriter<'_>,
    turn: &Turn,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    warn(turn, warnings);
    let is_result = |part: &&Part| matches!(part.content, Content::ToolResult(_));
    for part in &turn.parts {
        if let Content::ToolResult(result) = &part.content {
            messages.object(|message| write_result(message, result, warnings))?;
        }
    }
    let has_only_results = !turn.parts.is_empty() && turn.parts.iter().all(|it| is_result(&it));
    if turn.role == Role::Tool || has_only_results {
        return Ok(());
    }
    messages.object(|message| match turn.role {
        Role::Assistant => {
            message.text("role", "assistant");
            write_assistant(message, &turn.parts, warnings);
            Ok(())
        }
        Role::System | Role::Developer => {
            message.text("role", "system");
            if turn.parts.iter().any(|part| part.as_text().is_none()) {
                let why = "cohere-chat has text only in instructions";
                return Err(Unsupported::new("an instruction that is no text", why));
            }
            write_content(message, &turn.parts, warnings)
        }
        Role::User | Role::Tool => {
            message.text("role", "user");
            write_content(message, &turn.parts, warnings)
        }
    })
}

/// True for content that an assistant message cannot contain.
pub(super) fn is_lost(role: Role, content: &Content) -> bool {
    let is_lost = match content {
        Content::Reasoning(reasoning) => !is_shown(reasoning),
        Content::Image(_) | Content::Audio(_) | Content::Video(_) | Content::File(_) => true,
        _ => false,
    };
    is_lost && role == Role::Assistant
}

/// Warns about what is dropped from any turn.
fn warn(turn: &Turn, warnings: &mut Warnings) {
    if turn.name.is_some() {
        warnings.dropped("name", "messages of cohere-chat have none");
    }
    if turn.parts.iter().any(|part| part.cache.is_some()) {
        warnings.dropped("cache_control", NO_CACHE_POINTS);
    }
}

fn write_result(
    message: &mut ObjectWriter<'_>,
    result: &ToolResult,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    message.text("role", "tool");
    message.text("tool_call_id", &result.id);
    if result.is_error {
        warnings.dropped("is_error", "cohere-chat reports errors in text only");
    }
    let is_image = |part: &Part| matches!(part.content, Content::Image(_));
    if result.parts.iter().any(is_image) {
        let why = "cohere-chat takes text and documents there";
        return Err(Unsupported::new("an image in a tool result", why));
    }
    if result.parts.iter().any(|part| part.cache.is_some()) {
        warnings.dropped("cache_control", NO_CACHE_POINTS);
    }
    match result.parts.as_slice() {
        [] => message.text("content", ""),
        [Part { content: Content::Text(text), .. }] => message.text("content", &text.text),
        parts => message.array("content", |array| {
            parts.iter().try_for_each(|part| match &part.content {
                Content::File(file) => write_document(array, file),
                _ => write_part(array, part, warnings),
            })
        })?,
    }
    Ok(())
}

/// Writes a text file as a part of a tool message.
fn write_document(array: &mut ArrayWriter<'_>, file: &File) -> Result<(), Unsupported> {
    let text = text_of(file)?;
    array.object(|part| {
        part.text("type", "document");
        part.object("document", |document| document.object("data", |it| data(it, file, &text)));
    });
    Ok(())
}

/// Writes `data` of a document.
pub(super) fn data(object: &mut ObjectWriter<'_>, file: &File, text: &str) {
    object.optional_text("title", file.name.as_deref());
    object.text("text", text);
}

/// The text of a file; the dialect accepts no other files.
pub(super) fn text_of(file: &File) -> Result<String, Unsupported> {
    let why = "cohere-chat takes files of text only, and their bytes";
    let media_type = file.media.media_type.as_deref().unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_text = essence.starts_with("text/") || TEXT_TYPES.contains(&essence);
    let bytes = match &file.media.source {
        MediaSource::Base64(data) if is_text => STANDARD.decode(data).ok(),
        _ => None,
    };
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Unsupported::new("a file", why))
}

/// Writes `content`: a string for a single text, else an array of parts. Files are part of the
/// request's documents.
fn write_content(
    message: &mut ObjectWriter<'_>,
    parts: &[Part],
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let is_here = |part: &&Part| !matches!(part.content, Content::File(_) | Content::ToolResult(_));
    let here: Vec<&Part> = parts.iter().filter(is_here).collect();
    match here.as_slice() {
        [] => message.text("content", ""),
        [Part { content: Content::Text(text), .. }] => message.text("content", &text.text),
        here => message.array("content", |array| {
            here.iter().try_for_each(|part| write_part(array, part, warnings))
        })?,
    }
    Ok(())
}

fn write_part(
    array: &mut ArrayWriter<'_>,
    part: &Part,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    match &part.content {
        Content::Text(text) => write_text(array, &text.text),
        Content::Refusal(text) => {
            warnings.changed("a refusal", "sent as text");
            write_text(array, text);
        }
        Content::Image(image) => return write_image(array, image),
        Content::Audio(_) => return Err(Unsupported::new("audio", "cohere-chat takes none")),
        Content::Video(_) => return Err(Unsupported::new("a video", "cohere-chat takes none")),
        Content::Raw(foreign) if foreign.dialect == Dialect::CohereChat => array.raw(&foreign.json),
        Content::Raw(_) => {
            warnings.dropped("a part of a message", "only another dialect has it");
        }
        Content::Reasoning(_) | Content::ToolCall(_) => {
            warnings.dropped("a thought or call", "cohere-chat has them from the assistant only");
        }
        Content::File(_) | Content::ToolResult(_) => {}
    }
    Ok(())
}

/// Writes a block of text.
pub(super) fn write_text(array: &mut ArrayWriter<'_>, text: &str) {
    array.object(|part| {
        part.text("type", "text");
        part.text("text", text);
    });
}

fn write_image(array: &mut ArrayWriter<'_>, image: &Image) -> Result<(), Unsupported> {
    let url = image.media.url().ok_or_else(|| {
        Unsupported::new("an image by file id", "cohere-chat takes a URL or the bytes")
    })?;
    array.object(|part| {
        part.text("type", "image_url");
        part.object("image_url", |inner| {
            inner.text("url", &url);
            inner.optional_text("detail", image.detail.as_deref());
        });
    });
    Ok(())
}

/// Writes the text, reasoning and calls of an assistant turn.
pub(super) fn write_assistant(
    message: &mut ObjectWriter<'_>,
    parts: &[Part],
    warnings: &mut Warnings,
) {
    parts.iter().for_each(|part| warn_of_proofs(part, warnings));
    let calls = || parts.iter().filter_map(call);
    let plan = if calls().next().is_some() { plan_of(parts) } else { None };
    let is_content = |part: &Part| match &part.content {
        Content::Reasoning(reasoning) => {
            is_shown(reasoning) && !plan.is_some_and(|it| std::ptr::eq(it, reasoning))
        }
        Content::ToolCall(_) => false,
        _ => true,
    };
    let content: Vec<&Part> = parts.iter().filter(|part| is_content(part)).collect();
    write_assistant_content(
        message,
        &content,
        calls().next().is_some() || plan.is_some(),
        warnings,
    );
    message.optional_text("tool_plan", plan.map(|reasoning| reasoning.text.as_str()));
    if calls().next().is_some() {
        message.array("tool_calls", |array| {
            calls().for_each(|call| array.object(|object| write_call(object, call)));
        });
    }
}

fn call(part: &Part) -> Option<&ToolCall> {
    match &part.content {
        Content::ToolCall(call) => Some(call),
        _ => None,
    }
}

fn is_shown(reasoning: &Reasoning) -> bool {
    !reasoning.text.is_empty()
}

/// The reasoning directly before the calls, after all text.
fn plan_of(parts: &[Part]) -> Option<&Reasoning> {
    let last = parts.iter().rev().find(|part| match &part.content {
        Content::Reasoning(reasoning) => is_shown(reasoning),
        Content::ToolCall(_) => false,
        _ => true,
    })?;
    match &last.content {
        Content::Reasoning(reasoning) => Some(reasoning),
        _ => None,
    }
}

fn warn_of_proofs(part: &Part, warnings: &mut Warnings) {
    let (signature, is_sealed) = match &part.content {
        Content::Reasoning(reasoning) => (&reasoning.signature, reasoning.sealed.is_some()),
        Content::ToolCall(call) => (&call.signature, false),
        _ => return,
    };
    let own = signature.as_ref().and_then(|signature| signature.for_provider(Dialect::CohereChat));
    if signature.is_some() && own.is_none() {
        warnings.dropped("signature", "another vendor's proof of a thought");
    }
    if is_sealed {
        warnings.dropped("a sealed thought", "only its vendor can open it");
    }
}

/// Writes `content` and `citations` of an assistant's message.
fn write_assistant_content(
    message: &mut ObjectWriter<'_>,
    content: &[&Part],
    may_be_absent: bool,
    warnings: &mut Warnings,
) {
    let mut texts: Vec<(u64, &Text)> = Vec::new();
    match content {
        [] if may_be_absent => {}
        [] => message.text("content", ""),
        [Part { content: Content::Text(text), .. }] => {
            message.text("content", &text.text);
            texts.push((0, text));
        }
        several => message.array("content", |array| {
            let mut index = 0;
            for part in several {
                if let Content::Text(text) = &part.content {
                    texts.push((index, text));
                }
                index += u64::from(write_block(array, part, warnings));
            }
        }),
    }
    let citations = || texts.iter().flat_map(|(_, text)| &text.citations);
    if citations().any(|it| !citation::is_own(it)) {
        warnings.dropped("citations", "another vendor's");
    }
    citation::write_all(message, &texts, false);
}

/// Writes one block of an assistant message, if the dialect has it.
fn write_block(array: &mut ArrayWriter<'_>, part: &Part, warnings: &mut Warnings) -> bool {
    match &part.content {
        Content::Reasoning(reasoning) => {
            write_reasoning(array, &reasoning.text);
            true
        }
        Content::Text(_) | Content::Refusal(_) => write_part(array, part, warnings).is_ok(),
        Content::Raw(foreign) if foreign.dialect == Dialect::CohereChat => {
            array.raw(&foreign.json);
            true
        }
        _ => {
            let why = "cohere-chat takes it from users only";
            warnings.dropped("what the assistant showed", why);
            false
        }
    }
}

/// Writes a block of reasoning.
pub(super) fn write_reasoning(array: &mut ArrayWriter<'_>, text: &str) {
    array.object(|block| {
        block.text("type", "thinking");
        block.text("thinking", text);
    });
}

/// Writes the members of one of `tool_calls`.
pub(super) fn write_call(object: &mut ObjectWriter<'_>, call: &ToolCall) {
    object.text("id", &call.id);
    object.text("type", "function");
    object.object("function", |function| {
        function.text("name", &call.name);
        function.text("arguments", if call.arguments.is_empty() { "{}" } else { &call.arguments });
    });
}
