//! Content blocks of a request.

use super::formats::{self, Formats};
use crate::llm::{
    CachePoint, Citation, Content, Dialect, DialectJson, File, Image, Malformed, Media,
    MediaSource, Node, Part, Reasoning, Signature, Text, ToolCall, ToolResult, Within,
};

/// Reads an array of blocks. A cache point belongs to the part before it.
pub(super) fn parts(value: Node<'_>) -> Result<Vec<Part>, Malformed> {
    let mut parts: Vec<Part> = Vec::with_capacity(value.count());
    for (index, block) in value.expect_array()?.items().enumerate() {
        match (cache_point(block), parts.last_mut()) {
            (Some(cache), Some(last)) => last.cache = Some(cache),
            _ => parts.push(Part::new(content(block).within_item(index)?)),
        }
    }
    Ok(parts)
}

/// The block's `cachePoint`, if that is what it is.
pub(super) fn cache_point(block: Node<'_>) -> Option<CachePoint> {
    let is_hour = block.get("cachePoint")?.get("ttl").and_then(Node::text) == Some("1h");
    Some(if is_hour { CachePoint::Hour } else { CachePoint::Default })
}

fn content(block: Node<'_>) -> Result<Content, Malformed> {
    let members = block.expect_object()?.members();
    let Some((key, value)) = members.into_iter().find(|(_, value)| !value.is_null()) else {
        return Err(Malformed::new("a block of content"));
    };
    let foreign =
        || Content::Raw(DialectJson { dialect: Dialect::BedrockConverse, json: block.json() });
    let known = match key {
        "text" => Some(text(value.expect_text().within(key)?)),
        "image" => {
            let media = media(value, formats::IMAGES).within(key)?;
            media.map(|media| Content::Image(Image { media, detail: None }))
        }
        "audio" => media(value, formats::AUDIO).within(key)?.map(Content::Audio),
        "video" => media(value, formats::VIDEOS).within(key)?.map(Content::Video),
        "document" => document(value).within(key)?,
        "toolUse" => tool_call(value).within(key)?,
        "toolResult" => Some(tool_result(value).within(key)?),
        "reasoningContent" => reasoning_part(value).within(key)?,
        "citationsContent" => Some(cited(value)),
        _ => None,
    };
    Ok(known.unwrap_or_else(foreign))
}

fn text(text: &str) -> Content {
    Content::Text(Text { text: text.to_owned(), citations: Vec::new() })
}

/// True if `value` has no members besides `known`.
fn has_only(value: Node<'_>, known: &[&str]) -> bool {
    value.members().all(|(key, value)| known.contains(&key) || value.is_null())
}

/// Bytes, or a location in Amazon's storage. None if the value has other members.
fn media(value: Node<'_>, formats: Formats) -> Result<Option<Media>, Malformed> {
    let format = value.expect_object()?.text_at("format")?;
    let source = source(value.expect("source", "an object with bytes or s3Location")?);
    let media_type = format.and_then(|format| formats::media_type(formats, format));
    if !has_only(value, &["format", "source"]) || format.is_some() != media_type.is_some() {
        return Ok(None);
    }
    let media = |source| Media { media_type: media_type.map(str::to_owned), source };
    Ok(source.within("source")?.map(media))
}

fn source(value: Node<'_>) -> Result<Option<MediaSource>, Malformed> {
    if let Some(bytes) = value.expect_object()?.text_at("bytes")? {
        return Ok(Some(MediaSource::Base64(bytes.to_owned())));
    }
    let Some(location) = value.get("s3Location") else { return Ok(None) };
    let uri = location.expect_text_at("uri").within("s3Location")?;
    Ok(has_only(location, &["uri"]).then(|| MediaSource::Url(uri.to_owned())))
}

fn document(value: Node<'_>) -> Result<Option<Content>, Malformed> {
    let name = value.expect_object()?.expect_text_at("name")?;
    let format = value.text_at("format")?;
    let source = source(value.expect("source", "an object")?).within("source")?;
    let media_type = format.and_then(|format| formats::media_type(formats::DOCUMENTS, format));
    let with_citations = value.get("citations").and_then(|it| it.get("enabled"));
    let is_known = has_only(value, &["format", "name", "source", "context", "citations"]);
    let (Some(source), Some(media_type), true) = (source, media_type, is_known) else {
        return Ok(None);
    };
    Ok(Some(Content::File(File {
        media: Media { media_type: Some(media_type.to_owned()), source },
        name: Some(name.to_owned()),
        context: value.text_at("context")?.map(str::to_owned),
        with_citations: with_citations.and_then(Node::flag) == Some(true),
    })))
}

/// Reads a call. None for one of the vendor's own tools.
fn tool_call(value: Node<'_>) -> Result<Option<Content>, Malformed> {
    let call = ToolCall {
        id: value.expect_object()?.expect_text_at("toolUseId")?.to_owned(),
        name: value.expect_text_at("name")?.to_owned(),
        arguments: value.expect("input", "an object")?.json().text().to_owned(),
        signature: None,
    };
    Ok(value.get("type").is_none().then_some(Content::ToolCall(call)))
}

fn tool_result(value: Node<'_>) -> Result<Content, Malformed> {
    let id = value.expect_object()?.expect_text_at("toolUseId")?.to_owned();
    let parts = value.expect("content", "an array")?.read_items(|block| {
        // For the other dialects, JSON is text.
        let json = block.get("json").map(|json| text(json.json().text()));
        json.map_or_else(|| content(block), Ok).map(Part::new)
    });
    let is_error = value.get("status").and_then(Node::text) == Some("error");
    Ok(Content::ToolResult(ToolResult {
        id,
        name: None,
        parts: parts.within("content")?,
        is_error,
    }))
}

fn reasoning_part(value: Node<'_>) -> Result<Option<Content>, Malformed> {
    if let Some(sealed) = value.expect_object()?.text_at("redactedContent")? {
        let sealed = Some(Signature::read(Dialect::BedrockConverse, sealed));
        return Ok(Some(Content::Reasoning(Reasoning { sealed, ..Reasoning::default() })));
    }
    let Some(inner) = value.get("reasoningText") else { return Ok(None) };
    let signature = inner.text_at("signature").within("reasoningText")?;
    Ok(Some(Content::Reasoning(Reasoning {
        text: inner.expect_text_at("text").within("reasoningText")?.to_owned(),
        signature: signature.map(|text| Signature::read(Dialect::BedrockConverse, text)),
        ..Reasoning::default()
    })))
}

/// A text with its citations, from a provider or a client.
pub(super) fn cited(value: Node<'_>) -> Content {
    let items = |key: &str| value.get(key).into_iter().flat_map(Node::items);
    Content::Text(Text {
        text: items("content").map(|piece| piece.text_of("text")).collect(),
        citations: items("citations").map(citation).collect(),
    })
}

/// Reads one citation. It covers the whole text and has no span.
pub(super) fn citation(value: Node<'_>) -> Citation {
    let own = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let web = value.get("location").and_then(|location| location.get("web"));
    let source = value.text_of("source");
    let source = if source.starts_with("http") { source } else { "" };
    let quote: String = value
        .get("sourceContent")
        .into_iter()
        .flat_map(Node::items)
        .map(|piece| piece.text_of("text"))
        .collect();
    Citation {
        span: None,
        url: web.and_then(|web| own(web.text_of("url"))).or_else(|| own(source)),
        title: own(value.text_of("title")),
        quote: own(&quote),
        original: Some(DialectJson { dialect: Dialect::BedrockConverse, json: value.json() }),
    }
}
