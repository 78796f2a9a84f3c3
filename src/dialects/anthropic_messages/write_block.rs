//! Content blocks for providers, and what they share with those for clients.

use super::name;
use crate::dialects::codec::Unsupported;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, CachePoint, Citation, Content, Dialect, File, Image, Json, Media, MediaSource,
    ObjectWriter, Part, Reasoning, Text, ToolCall, ToolResult,
};

/// Image types that the vendor accepts (its page "Vision").
const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Appends the block of `part`.
pub(super) fn write(
    array: &mut ArrayWriter<'_>,
    part: &Part,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    match &part.content {
        Content::Text(text) => array.object(|block| {
            text_block(block, &text.text);
            own_citations(block, text, warnings);
            cache_control(block, part.cache);
        }),
        Content::Refusal(refusal) => array.object(|block| {
            text_block(block, refusal);
            cache_control(block, part.cache);
        }),
        Content::Image(image) => return write_image(array, image, part.cache, warnings),
        Content::File(file) => return write_document(array, file, part.cache),
        Content::ToolCall(call) => array.object(|block| {
            if call.signature.is_some() {
                warnings.dropped("the signature of a call", "another vendor's");
            }
            if tool_use(block, call, &call.id).is_err() {
                warnings
                    .changed("the arguments of a call", "told as text, since they are no object");
            }
            cache_control(block, part.cache);
        }),
        Content::ToolResult(result) => {
            return array.object(|block| tool_result(block, result, part.cache, warnings));
        }
        Content::Reasoning(reasoning) => {
            if part.cache.is_some() {
                warnings.dropped("cache_control of a thought", "refused by anthropic-messages");
            }
            write_reasoning(array, reasoning);
        }
        Content::Raw(foreign) if foreign.dialect == Dialect::AnthropicMessages => {
            array.raw(&foreign.json);
        }
        Content::Raw(_) => {
            warnings.dropped("a part of a message", "only another dialect has it");
        }
        Content::Audio(_) => {
            return Err(Unsupported::new(
                "audio",
                "anthropic-messages takes text, pictures and documents",
            ));
        }
        Content::Video(_) => {
            return Err(Unsupported::new(
                "video",
                "anthropic-messages takes text, pictures and documents",
            ));
        }
    }
    Ok(())
}

/// Writes the members of a text block.
pub(super) fn text_block(block: &mut ObjectWriter<'_>, text: &str) {
    block.text("type", "text");
    block.text("text", text);
}

/// Writes `cache_control`, if it is set.
pub(super) fn cache_control(object: &mut ObjectWriter<'_>, cache: Option<CachePoint>) {
    let Some(cache) = cache else { return };
    object.object("cache_control", |control| {
        control.text("type", "ephemeral");
        if cache == CachePoint::Hour {
            control.text("ttl", "1h");
        }
    });
}

/// Writes citations of the vendor's own: others point into documents that it does not have.
fn own_citations(block: &mut ObjectWriter<'_>, text: &Text, warnings: &mut Warnings) {
    let own = |citation: &Citation| match &citation.original {
        Some(original) if original.dialect == Dialect::AnthropicMessages => {
            Some(original.json.clone())
        }
        _ => None,
    };
    let known: Vec<Json> = text.citations.iter().filter_map(own).collect();
    if known.len() < text.citations.len() {
        warnings.dropped("citations of a text", "another vendor's");
    }
    if !known.is_empty() {
        block.array("citations", |array| known.iter().for_each(|json| array.raw(json)));
    }
}

/// Writes reasoning that the vendor has signed or encrypted, and nothing for that of others.
fn write_reasoning(array: &mut ArrayWriter<'_>, reasoning: &Reasoning) {
    if let Some(signature) =
        reasoning.signature.as_ref().and_then(|it| it.for_provider(Dialect::AnthropicMessages))
    {
        array.object(|block| {
            block.text("type", "thinking");
            block.text("thinking", &reasoning.text);
            block.text("signature", signature);
        });
    }
    if let Some(sealed) =
        reasoning.sealed.as_ref().and_then(|it| it.for_provider(Dialect::AnthropicMessages))
    {
        array.object(|block| {
            block.text("type", "redacted_thinking");
            block.text("data", sealed);
        });
    }
}

/// True if the vendor accepts the reasoning part.
pub(super) fn is_own(reasoning: &Reasoning) -> bool {
    let proofs = reasoning.signature.iter().chain(&reasoning.sealed);
    proofs.into_iter().any(|proof| proof.for_provider(Dialect::AnthropicMessages).is_some())
}

/// The arguments of a call are no JSON object.
pub(super) struct NotAnObject;

/// Writes the members of a call. The vendor requires an object as its input; any other text is put into
/// one.
pub(super) fn tool_use(
    block: &mut ObjectWriter<'_>,
    call: &ToolCall,
    id: &str,
) -> Result<(), NotAnObject> {
    block.text("type", "tool_use");
    block.text("id", &name::write(id));
    block.text("name", &name::write(&call.name));
    if call.arguments.is_empty() {
        block.object("input", |_| {});
        return Ok(());
    }
    match Json::parse_object(&call.arguments) {
        Some(input) => {
            block.raw("input", &input);
            Ok(())
        }
        None => {
            block.object("input", |input| input.text("arguments", &call.arguments));
            Err(NotAnObject)
        }
    }
}

fn tool_result(
    block: &mut ObjectWriter<'_>,
    result: &ToolResult,
    cache: Option<CachePoint>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    block.text("type", "tool_result");
    block.text("tool_use_id", &name::write(&result.id));
    // The vendor rejects an empty text; no content means the same.
    let filled = || result.parts.iter().filter(|part| part.as_text() != Some(""));
    match result.parts.as_slice() {
        [Part { content: Content::Text(text), cache: None }]
            if !text.text.is_empty() && text.citations.is_empty() =>
        {
            block.text("content", &text.text);
        }
        _ if filled().next().is_none() => {}
        _ => block
            .array("content", |array| filled().try_for_each(|part| write(array, part, warnings)))?,
    }
    if result.is_error {
        block.flag("is_error", true);
    }
    cache_control(block, cache);
    Ok(())
}

fn write_image(
    array: &mut ArrayWriter<'_>,
    image: &Image,
    cache: Option<CachePoint>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
        warnings.dropped("detail of an image", "anthropic-messages has no such setting");
    }
    let media_type = match image.media.media_type.as_deref() {
        Some("image/jpg") => "image/jpeg",
        other => other.unwrap_or_default(),
    };
    if matches!(image.media.source, MediaSource::Base64(_)) && !IMAGE_TYPES.contains(&media_type) {
        let why = "anthropic-messages takes JPEG, PNG, GIF and WebP";
        return Err(Unsupported::new("an image of this type", why));
    }
    array.object(|block| {
        block.text("type", "image");
        source(block, &image.media, media_type, "an image")?;
        cache_control(block, cache);
        Ok(())
    })
}

fn write_document(
    array: &mut ArrayWriter<'_>,
    file: &File,
    cache: Option<CachePoint>,
) -> Result<(), Unsupported> {
    let text = file.media.plain_text_content();
    let is_bytes = matches!(file.media.source, MediaSource::Base64(_));
    let media_type = file.media.media_type.as_deref().unwrap_or_default();
    if is_bytes && text.is_none() && media_type != "application/pdf" {
        let why = "anthropic-messages takes PDF and plain text";
        return Err(Unsupported::new("a file of this type", why));
    }
    array.object(|block| {
        block.text("type", "document");
        match text {
            Some(text) => block.object("source", |source| {
                source.text("type", "text");
                source.text("media_type", "text/plain");
                source.text("data", &text);
            }),
            None => source(block, &file.media, media_type, "a file")?,
        }
        block.optional_text("title", file.name.as_deref());
        block.optional_text("context", file.context.as_deref());
        if file.with_citations {
            block.object("citations", |citations| citations.flag("enabled", true));
        }
        cache_control(block, cache);
        Ok(())
    })
}

/// Writes `source`.
fn source(
    block: &mut ObjectWriter<'_>,
    media: &Media,
    media_type: &str,
    what: &str,
) -> Result<(), Unsupported> {
    if let MediaSource::Url(url) = &media.source
        && !(url.starts_with("https://") || url.starts_with("http://"))
    {
        return Err(Unsupported::new(what, "it is neither base64 nor an address on the web"));
    }
    block.object("source", |source| match &media.source {
        MediaSource::Base64(data) => {
            source.text("type", "base64");
            source.text("media_type", media_type);
            source.text("data", data);
        }
        MediaSource::Url(url) => {
            source.text("type", "url");
            source.text("url", url);
        }
        MediaSource::Id(id) => {
            source.text("type", "file");
            source.text("file_id", id);
        }
    });
    Ok(())
}
