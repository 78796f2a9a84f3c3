//! A client's content blocks: those of the system prompt, of messages and of tool results.
//!
//! Blocks that only this dialect has (server tools and their results, search results, uploads) are kept
//! unchanged.

use super::name;
use super::signature::{self, Redacted};
use crate::llm::{
    CachePoint, Citation, Content, Dialect, DialectJson, File, Image, Malformed, Media,
    MediaSource, Node, Part, Signature, Text, ToolCall, ToolResult, Within,
};

/// Paths of members that no other dialect has; they become extra fields of the request.
pub(super) type UnknownMembers = Vec<&'static str>;

/// A string, or an array of blocks.
pub(super) fn contents(value: Node<'_>, lost: &mut UnknownMembers) -> Result<Vec<Part>, Malformed> {
    if let Some(text) = value.text() {
        return Ok(vec![Part::text(text)]);
    }
    if !value.is_array() {
        return Err(Malformed::new("a string or an array of content blocks"));
    }
    let mut proofs = Vec::new();
    let parts = value.read_items(|item| block(item, lost, &mut proofs))?;
    let mut parts: Vec<Part> = parts.into_iter().flatten().collect();
    signature::attach(&mut parts, proofs);
    Ok(parts)
}

/// Reads one block. Nothing if it is the signature of a call.
fn block(
    value: Node<'_>,
    lost: &mut UnknownMembers,
    proofs: &mut Vec<(String, Signature)>,
) -> Result<Option<Part>, Malformed> {
    let content = match value.expect_text_at("type")? {
        "text" => Content::Text(text(value)?),
        "image" => image(value, lost)?,
        "document" => document(value)?,
        "tool_use" => Content::ToolCall(tool_use(value, lost)?),
        "tool_result" => Content::ToolResult(tool_result(value, lost)?),
        "thinking" => {
            let thinking = value.expect_text_at("thinking")?;
            Content::Reasoning(signature::read_thinking(thinking, value.text_of("signature")))
        }
        "redacted_thinking" => match signature::read_data(value.expect_text_at("data")?) {
            Redacted::Thought(reasoning) => Content::Reasoning(reasoning),
            Redacted::Call(id, signature) => {
                proofs.push((id, signature));
                return Ok(None);
            }
        },
        _ => foreign(value),
    };
    Ok(Some(Part { content, cache: cache_point(value) }))
}

fn foreign(value: Node<'_>) -> Content {
    Content::Raw(DialectJson { dialect: Dialect::AnthropicMessages, json: value.json() })
}

/// Reads `cache_control` of a block or a tool.
pub(super) fn cache_point(value: Node<'_>) -> Option<CachePoint> {
    let control = value.get("cache_control")?;
    let is_hour = control.text_of("ttl") == "1h";
    Some(if is_hour { CachePoint::Hour } else { CachePoint::Default })
}

fn text(value: Node<'_>) -> Result<Text, Malformed> {
    Ok(Text { text: value.expect_text_at("text")?.to_owned(), citations: citations(value) })
}

/// The citations of a text block.
pub(super) fn citations(value: Node<'_>) -> Vec<Citation> {
    value.get("citations").into_iter().flat_map(Node::items).map(citation).collect()
}

/// Reads one citation. It has no span, since it covers the whole block, whose text is not yet known in
/// a stream.
pub(super) fn citation(value: Node<'_>) -> Citation {
    let text = |key: &str| value.get(key).and_then(Node::text).map(str::to_owned);
    Citation {
        span: None,
        url: text("url"),
        title: text("title").or_else(|| text("document_title")),
        quote: text("cited_text"),
        original: Some(DialectJson { dialect: Dialect::AnthropicMessages, json: value.json() }),
    }
}

/// Reads the `source` of an image or a document. None for kinds that only this dialect has.
fn source(value: Node<'_>) -> Result<Option<Media>, Malformed> {
    Ok(match value.expect_text_at("type")? {
        "base64" => {
            let media_type = value.expect_text_at("media_type")?;
            Some(Media::base64(media_type, value.expect_text_at("data")?))
        }
        "url" => Some(Media::of_url(value.expect_text_at("url")?)),
        "file" => {
            let id = value.expect_text_at("file_id")?.to_owned();
            Some(Media { media_type: None, source: MediaSource::Id(id) })
        }
        _ => None,
    })
}

fn image(value: Node<'_>, lost: &mut UnknownMembers) -> Result<Content, Malformed> {
    if value.get("transformations").is_some() {
        lost.push(".messages.transformations");
    }
    let media = source(value.expect("source", "an object")?).within("source")?;
    Ok(match media {
        Some(media) => Content::Image(Image { media, detail: None }),
        None => foreign(value),
    })
}

fn document(value: Node<'_>) -> Result<Content, Malformed> {
    let with_citations =
        value.get("citations").and_then(|it| it.get("enabled")).and_then(Node::flag) == Some(true);
    let inner = value.expect("source", "an object")?;
    let media = match inner.expect_text_at("type").within("source")? {
        "text" => Some(Media::plain_text(inner.expect_text_at("data").within("source")?)),
        // With citations, the borders between blocks matter, and a single text has none.
        "content" if !with_citations => chapters(inner).as_deref().map(Media::plain_text),
        _ => source(inner).within("source")?,
    };
    let Some(media) = media else { return Ok(foreign(value)) };
    Ok(Content::File(File {
        media,
        name: value.text_at("title")?.map(str::to_owned),
        context: value.text_at("context")?.map(str::to_owned),
        with_citations,
    }))
}

/// The text of a document that consists of blocks. None if not all are text.
fn chapters(source: Node<'_>) -> Option<String> {
    let content = source.get("content")?;
    if let Some(text) = content.text() {
        return Some(text.to_owned());
    }
    let texts: Option<Vec<&str>> =
        content.items().map(|block| block.get("text").and_then(Node::text)).collect();
    Some(texts?.join("\n\n"))
}

fn tool_use(value: Node<'_>, lost: &mut UnknownMembers) -> Result<ToolCall, Malformed> {
    let is_direct = |caller: &Node<'_>| caller.text_of("type") == "direct";
    if value.get("caller").is_some_and(|caller| !is_direct(&caller)) {
        lost.push(".messages.caller");
    }
    toolset(value, lost);
    Ok(ToolCall {
        id: name::read(value.expect_text_at("id")?).into_owned(),
        name: name::read(value.expect_text_at("name")?).into_owned(),
        arguments: arguments(value.expect("input", "an object")?),
        signature: None,
    })
}

fn toolset(value: Node<'_>, lost: &mut UnknownMembers) {
    if value.get("toolset_name").is_some() {
        lost.push(".messages.toolset_name");
    }
}

/// The arguments in an `input`; empty if it has none.
pub(super) fn arguments(input: Node<'_>) -> String {
    match input.text() {
        // Some imitators send the object as a string.
        Some(text) => text.to_owned(),
        None if input.is_object() && input.count() == 0 => String::new(),
        None => input.json().text().to_owned(),
    }
}

fn tool_result(value: Node<'_>, lost: &mut UnknownMembers) -> Result<ToolResult, Malformed> {
    toolset(value, lost);
    let parts = match value.get("content") {
        Some(content) => contents(content, lost).within("content")?,
        None => Vec::new(),
    };
    Ok(ToolResult {
        id: name::read(value.expect_text_at("tool_use_id")?).into_owned(),
        name: None,
        parts,
        is_error: value.get("is_error").and_then(Node::flag) == Some(true),
    })
}
