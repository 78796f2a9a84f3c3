//! One part of a content, with its members in both spellings.
//!
//! Clients send `camelCase` or `snake_case`; Google accepts both and sends the first.

use super::base64::standard_base64;
use super::hidden;
use super::signature::ThoughtSignature;
use super::write_contents::{UNCHECKED, UNCHECKED_IN_BASE64};
use crate::llm::{
    Content, Dialect, DialectJson, File, Image, Malformed, Media, MediaSource, Node, Part,
    Reasoning, Text, Within,
};

/// Location of uploads in AI Studio's Files API.
const FILES: &str = "https://generativelanguage.googleapis.com/";

/// The members of a part.
#[derive(Default)]
pub(super) struct RawPart<'a> {
    pub text: Option<&'a str>,
    pub is_reasoning: bool,
    pub thought_signature: Option<ThoughtSignature>,
    /// Reasoning that the client did not request and that its signature contained.
    pub hidden: Vec<Reasoning>,
    pub inline_data: Option<Node<'a>>,
    pub file_data: Option<Node<'a>>,
    pub call: Option<Node<'a>>,
    pub response: Option<Node<'a>>,
    /// Members that modify the part, or are unknown.
    pub beside: Vec<(&'a str, Node<'a>)>,
}

impl<'a> RawPart<'a> {
    /// Reads a client's part.
    pub(super) fn read(node: Node<'a>) -> Result<Self, Malformed> {
        let mut part = Self::default();
        for (key, value) in node.expect_object()?.members() {
            if !value.is_null() {
                part.member(key, value).within(key)?;
            }
        }
        Ok(part)
    }

    /// Reads a provider's part, and skips invalid members.
    pub(super) fn of_provider(node: Node<'a>) -> Self {
        let mut part = Self::default();
        for (key, value) in node.members() {
            if !value.is_null() {
                // A member of the wrong type is ignored.
                let _ = part.member(key, value);
            }
        }
        part
    }

    fn member(&mut self, key: &'a str, value: Node<'a>) -> Result<(), Malformed> {
        match key {
            "text" => self.text = Some(value.expect_text()?),
            "thought" => self.is_reasoning = value.expect_flag()?,
            "thoughtSignature" | "thought_signature" => {
                let text = value.expect_text()?;
                // Placeholders are not signatures.
                let is_proof = !["", UNCHECKED, UNCHECKED_IN_BASE64].contains(&text);
                match hidden::read(text) {
                    Some(reasoning) => self.hidden = reasoning,
                    None => self.thought_signature = is_proof.then(|| ThoughtSignature::read(text)),
                }
            }
            "inlineData" | "inline_data" => self.inline_data = Some(value.expect_object()?),
            "fileData" | "file_data" => self.file_data = Some(value.expect_object()?),
            "functionCall" | "function_call" => self.call = Some(value.expect_object()?),
            "functionResponse" | "function_response" => {
                self.response = Some(value.expect_object()?);
            }
            _ => self.beside.push((key, value)),
        }
        Ok(())
    }

    /// True if the part has content that only this dialect has, such as code that it ran.
    pub(super) fn is_foreign(&self) -> bool {
        let known = [self.inline_data, self.file_data, self.call, self.response];
        let is_known = self.text.is_some() || known.iter().any(Option::is_some);
        // An image drawn while thinking is not part of the answer.
        let is_sketch =
            self.is_reasoning && (self.inline_data.is_some() || self.file_data.is_some());
        is_sketch || (!is_known && !self.beside.is_empty())
    }

    /// True for a part with hidden reasoning and nothing else.
    pub(super) fn is_only_hidden(&self) -> bool {
        let others = [self.inline_data, self.file_data, self.call, self.response];
        let is_empty = self.text.is_none_or(str::is_empty) && !others.iter().any(Option::is_some);
        !self.hidden.is_empty() && is_empty
    }

    /// The content of the part, except calls and their results, and a reasoning part for its signature.
    pub(super) fn into_parts(self, node: Node<'a>) -> Result<Vec<Part>, Malformed> {
        if self.is_foreign() {
            let foreign = DialectJson { dialect: Dialect::Gemini, json: node.json() };
            return Ok(vec![Part::new(Content::Raw(foreign))]);
        }
        let mut parts = Vec::with_capacity(2);
        if let Some(data) = self.inline_data {
            parts.push(Part::new(inline(data).within("inlineData")?));
        } else if let Some(data) = self.file_data {
            parts.push(Part::new(file(data).within("fileData")?));
        } else if self.is_reasoning {
            let text = self.text.unwrap_or_default().to_owned();
            let reasoning = match self.thought_signature {
                Some(thought_signature) => thought_signature.reasoning_part(text),
                None => Reasoning { text, ..Reasoning::default() },
            };
            parts.push(Part::new(Content::Reasoning(reasoning)));
            return Ok(parts);
        } else if let Some(text) = self.text.filter(|text| !text.is_empty()) {
            parts.push(Part::text(text));
        } else if self.thought_signature.is_none() {
            parts.push(Part::new(Content::Text(Text::default())));
        }
        if let Some(thought_signature) = self.thought_signature {
            parts.push(Part::new(Content::Reasoning(
                thought_signature.reasoning_part(String::new()),
            )));
        }
        Ok(parts)
    }
}

/// The member `camel` of a client's object, in either spelling.
pub(super) fn either<'a>(node: Node<'a>, camel: &str, snake: &str) -> Option<Node<'a>> {
    node.get(camel).or_else(|| node.get(snake))
}

/// Reads the elements of an array. A single object counts as an array of one, as at Google.
pub(super) fn each<T>(
    node: Node<'_>,
    mut read: impl FnMut(Node<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    if node.is_object() {
        return Ok(vec![read(node)?]);
    }
    node.read_items(read)
}

/// Reads embedded data, by its media type.
pub(super) fn inline(data: Node<'_>) -> Result<Content, Malformed> {
    let media_type = text_of(data, "mimeType", "mime_type")?
        .ok_or_else(|| Malformed::new("a media type"))
        .within("mimeType")?;
    let bytes = standard_base64(data.expect_text_at("data")?);
    let media =
        Media { media_type: Some(media_type.to_owned()), source: MediaSource::Base64(bytes) };
    Ok(of_type(media, display_name(data)?))
}

/// Reads a reference to a file, by its media type.
pub(super) fn file(data: Node<'_>) -> Result<Content, Malformed> {
    let address = text_of(data, "fileUri", "file_uri")?
        .ok_or_else(|| Malformed::new("the address of a file"))
        .within("fileUri")?;
    // Only Google can read its own storage.
    let is_public = address.starts_with("http") && !address.starts_with(FILES);
    let address = address.to_owned();
    let source = if is_public { MediaSource::Url(address) } else { MediaSource::Id(address) };
    let media_type = text_of(data, "mimeType", "mime_type")?.map(str::to_owned);
    let media = Media { media_type, source };
    Ok(of_type(media, display_name(data)?))
}

fn display_name(data: Node<'_>) -> Result<Option<String>, Malformed> {
    Ok(text_of(data, "displayName", "display_name")?.map(str::to_owned))
}

fn text_of<'a>(node: Node<'a>, camel: &str, snake: &str) -> Result<Option<&'a str>, Malformed> {
    either(node, camel, snake).map(|text| text.expect_text().within(camel)).transpose()
}

fn of_type(media: Media, name: Option<String>) -> Content {
    let kind = media.media_type.as_deref().and_then(|text| text.split('/').next());
    match kind {
        Some("image") => Content::Image(Image { media, detail: None }),
        Some("audio") => Content::Audio(media),
        Some("video") => Content::Video(media),
        _ => Content::File(File { media, name, context: None, with_citations: false }),
    }
}
