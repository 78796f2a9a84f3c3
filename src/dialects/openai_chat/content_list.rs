//! Response content that is a list of parts, complete or a fragment of a stream. Mistral's reasoning
//! models send it, and others for images.

use crate::llm::{Image, Media, Node};

/// One part of such a list.
pub(super) enum ListPart<'a> {
    Text(&'a str),
    Thought(String),
    Refusal(&'a str),
    Image(Image),
}

impl<'a> ListPart<'a> {
    /// Reads one part. None for parts that are ignored, such as references to documents.
    pub(super) fn read(value: Node<'a>) -> Option<Self> {
        let filled = |key: &str| Some(value.text_of(key)).filter(|text| !text.is_empty());
        match value.text_of("type") {
            "thinking" | "reasoning" => {
                let reasoning = value.get("thinking").or_else(|| value.get("text"));
                reasoning.map(list_text).filter(|text| !text.is_empty()).map(Self::Thought)
            }
            "refusal" => filled("refusal").map(Self::Refusal),
            "image_url" | "image" => read_image(value).map(Self::Image),
            _ => filled("text").map(Self::Text),
        }
    }
}

/// The text of a string, or of the texts in a list.
pub(super) fn list_text(value: Node<'_>) -> String {
    match value.text() {
        Some(text) => text.to_owned(),
        None => value.items().map(|item| item.text_of("text")).collect(),
    }
}

/// Reads an image in content, or in OpenRouter's `images`.
pub(super) fn read_image(value: Node<'_>) -> Option<Image> {
    let holder = value.get("image_url").unwrap_or(value);
    let url = holder.text().unwrap_or_else(|| holder.text_of("url"));
    (!url.is_empty()).then(|| Image { media: Media::of_url(url), detail: None })
}
