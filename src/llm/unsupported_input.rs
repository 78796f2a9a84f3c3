//! Input of a request that its model is known not to support, so that the request is refused instead of
//! answered as if that part had not been there.

use super::catalog::ModelCard;
use super::chat_request::ChatRequest;
use super::content::{Content, Part};

/// What of the request the model is known not to read, in words for people: `an image`. Documents of
/// plain text are text.
#[must_use]
pub fn unsupported_input(request: &ChatRequest, card: &ModelCard) -> Option<&'static str> {
    if !card.reads_text_only() {
        return None;
    }
    request.turns.iter().find_map(|turn| other_than_text(&turn.parts))
}

fn other_than_text(parts: &[Part]) -> Option<&'static str> {
    parts.iter().find_map(|part| match &part.content {
        Content::Image(_) => Some("an image"),
        Content::Audio(_) => Some("audio"),
        Content::Video(_) => Some("a video"),
        Content::File(file) => {
            let kind = file.media.media_type.as_deref().unwrap_or_default();
            match kind {
                "application/pdf" => Some("a PDF"),
                _ if kind.starts_with("image/") => Some("an image"),
                _ if kind.starts_with("audio/") => Some("audio"),
                // Texts, and what only the vendor knows the kind of.
                _ => None,
            }
        }
        // Turns hold results, and results hold no results: one level is all there is.
        Content::ToolResult(result) => result.parts.iter().find_map(|part| match &part.content {
            Content::ToolResult(_) => None,
            _ => other_than_text(std::slice::from_ref(part)),
        }),
        Content::Text(_)
        | Content::ToolCall(_)
        | Content::Reasoning(_)
        | Content::Refusal(_)
        | Content::Raw(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{Catalog, ModelSettings};
    use super::super::content::{File, Image, Media, Role, ToolResult, Turn};
    use super::*;
    use crate::base::Diagnostics;

    fn request_with(content: Content) -> ChatRequest {
        let turns =
            vec![Turn::new(Role::User, vec![Part::text("What is this?"), Part::new(content)])];
        ChatRequest { turns, ..ChatRequest::default() }
    }

    fn image() -> Content {
        let media = Media::of_url("https://pictures.example/cat.png");
        Content::Image(Image { media, detail: None })
    }

    fn file(media_type: &str) -> Content {
        let media = Media::base64(media_type, "AAAA");
        Content::File(File { media, name: None, context: None, with_citations: false })
    }

    #[test]
    fn text_only_model_rejects_media() {
        let catalog = Catalog::default();
        let card = catalog.find("openai", "gpt-3.5-turbo").expect("known");
        let result = ToolResult {
            id: "call_1".to_owned(),
            name: None,
            parts: vec![Part::text("see"), Part::new(image())],
            is_error: false,
        };
        for (content, expected) in [
            (image(), Some("an image")),
            (Content::Audio(Media::base64("audio/wav", "AAAA")), Some("audio")),
            (Content::Video(Media::base64("video/mp4", "AAAA")), Some("a video")),
            (file("application/pdf"), Some("a PDF")),
            (file("image/png"), Some("an image")),
            (file("text/plain"), None),
            (Content::ToolResult(result), Some("an image")),
            (Content::Refusal("no".to_owned()), None),
        ] {
            assert_eq!(
                unsupported_input(&request_with(content.clone()), card),
                expected,
                "{content:?}"
            );
        }
    }

    #[test]
    fn unknown_abilities_are_allowed() {
        let catalog = Catalog::default();
        for (vendor, model, is_refused) in [
            ("openai", "gpt-3.5-turbo", true),
            ("openai", "gpt-3.5-turbo-0125", true),
            ("openai", "o3-mini", true),
            ("openai", "gpt-4o", false),
            ("openai", "gpt-4o-audio-preview-2025-06-03", false),
            // Its row has no images, but nothing else either.
            ("openai", "gpt-5.5-cyber", false),
            ("openai", "ft:gpt-4.1-2025-04-14", false),
            ("groq", "openai/gpt-oss-120b", true),
            ("deepseek", "deepseek-chat", true),
            ("z-ai", "glm-4.6", true),
            ("anthropic", "claude-sonnet-4-5", false),
            ("google", "gemini-2.5-flash", false),
            // What the sources know of these is not all.
            ("databricks", "databricks-claude-sonnet-4-5", false),
            ("deepinfra", "meta-llama/Llama-4-Scout-17B-16E-Instruct", false),
            ("bedrock", "mistral.pixtral-large-2502-v1:0", false),
        ] {
            let card = catalog.find(vendor, model).expect(model);
            assert_eq!(
                unsupported_input(&request_with(image()), card).is_some(),
                is_refused,
                "{vendor}/{model}"
            );
        }
    }

    #[test]
    fn operator_abilities_are_exhaustive() {
        let abilities = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let settings = ModelSettings { abilities: Some(names), ..ModelSettings::default() };
            settings.check("m", None, "p", &mut Diagnostics::default()).expect("sound")
        };
        assert_eq!(
            unsupported_input(&request_with(image()), &abilities(&["tools"])),
            Some("an image")
        );
        assert_eq!(
            unsupported_input(&request_with(image()), &abilities(&["tools", "vision"])),
            None
        );
        let other = ModelSettings { context_tokens: Some(9), ..ModelSettings::default() };
        let card = other.check("m", None, "p", &mut Diagnostics::default()).expect("sound");
        assert_eq!(unsupported_input(&request_with(image()), &card), None);
    }
}
