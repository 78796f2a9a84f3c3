//! How many tokens a request has, roughly, where no vendor counts them.
//!
//! For `count_tokens` toward vendors without such an endpoint, and for limits before a request is
//! sent; never for a bill.

use super::base64::decode_base64;
use super::chat_request::{ChatRequest, Format, Function, Tool};
use super::content::{Content, File, Image, MediaSource, Part, Turn};
use super::usage::estimate_tokens;

/// What each turn costs beside its words (OpenAI's cookbook, "How to count tokens with tiktoken").
const TOKENS_PER_TURN: u64 = 3;

/// An image whose size is not known, and the most that any image costs: Anthropic scales larger ones
/// down to about this (its page "Vision", "Evaluate image size").
const IMAGE_TOKENS_MAX: u64 = 1600;

/// Pixels per token (Anthropic's page "Vision": tokens = width × height / 750).
const PIXELS_PER_TOKEN: u64 = 750;

/// A document whose pages are not known: one page at the upper end of what Anthropic's page "PDF
/// support" gives, 1,500 to 3,000.
const DOCUMENT_TOKENS: u64 = 3000;

/// Bytes of a picture in which its size is looked for.
const PICTURE_HEAD_BYTES: usize = 24;

/// Rough count of the tokens of `request`: its words and tools by [`estimate_tokens`], its images by
/// their size, its documents by a constant.
#[must_use]
pub fn estimate_request_tokens(request: &ChatRequest) -> u64 {
    let turns: u64 = request.turns.iter().map(turn).sum();
    let tools: u64 = request.tools.iter().map(tool).sum();
    let format = match &request.format {
        Some(Format::JsonSchema { schema, .. }) => text(schema.text()),
        _ => 0,
    };
    turns + tools + format
}

fn text(text: &str) -> u64 {
    estimate_tokens(text.len())
}

fn turn(turn: &Turn) -> u64 {
    TOKENS_PER_TURN + turn.parts.iter().map(part).sum::<u64>()
}

fn part(part: &Part) -> u64 {
    match &part.content {
        Content::Text(words) => text(&words.text),
        Content::Refusal(words) => text(words),
        Content::Reasoning(thought) => text(&thought.text),
        Content::ToolCall(call) => text(&call.name) + text(&call.arguments),
        Content::ToolResult(result) => result.parts.iter().map(self::part).sum(),
        Content::Image(image) => image_tokens(image),
        Content::File(file) => file_tokens(file),
        Content::Raw(foreign) => text(foreign.json.text()),
        // No vendor's rule is known for these; a document is the nearest.
        Content::Audio(_) | Content::Video(_) => DOCUMENT_TOKENS,
    }
}

fn tool(tool: &Tool) -> u64 {
    match tool {
        Tool::Function(function) => function_tokens(function),
        Tool::Raw(foreign) => text(foreign.json.text()),
        // Their descriptions are the vendor's own.
        Tool::WebSearch(_) | Tool::CodeExecution => 0,
    }
}

fn function_tokens(function: &Function) -> u64 {
    let description = function.description.as_deref().map_or(0, text);
    let schema = function.parameters.as_ref().map_or(0, |schema| text(schema.text()));
    text(&function.name) + description + schema
}

fn image_tokens(image: &Image) -> u64 {
    let MediaSource::Base64(data) = &image.media.source else { return IMAGE_TOKENS_MAX };
    image_size(data).map_or(IMAGE_TOKENS_MAX, |(width, height)| {
        (u64::from(width) * u64::from(height)).div_ceil(PIXELS_PER_TOKEN).min(IMAGE_TOKENS_MAX)
    })
}

/// Width and height in pixels, from the first bytes of a PNG (section 11.2.2 of its
/// specification) or a GIF (section 18 of GIF89a). In other formats they may be anywhere.
fn image_size(base64: &str) -> Option<(u32, u32)> {
    let head = base64.get(..PICTURE_HEAD_BYTES / 3 * 4)?;
    let bytes = decode_base64(head)?;
    match bytes.as_slice() {
        [
            b'\x89',
            b'P',
            b'N',
            b'G',
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            w0,
            w1,
            w2,
            w3,
            h0,
            h1,
            h2,
            h3,
        ] => Some((
            u32::from_be_bytes([*w0, *w1, *w2, *w3]),
            u32::from_be_bytes([*h0, *h1, *h2, *h3]),
        )),
        [b'G', b'I', b'F', _, _, _, w0, w1, h0, h1, ..] => {
            Some((u16::from_le_bytes([*w0, *w1]).into(), u16::from_le_bytes([*h0, *h1]).into()))
        }
        _ => None,
    }
}

fn file_tokens(file: &File) -> u64 {
    let name = file.name.as_deref().map_or(0, text) + file.context.as_deref().map_or(0, text);
    let is_text = file.media.media_type.as_deref().is_some_and(|it| it.starts_with("text/"));
    match &file.media.source {
        MediaSource::Base64(data) if is_text => name + estimate_tokens(data.len() / 4 * 3),
        _ => name + DOCUMENT_TOKENS,
    }
}

#[cfg(test)]
mod tests {
    use super::super::base64::encode_base64;
    use super::super::content::{Media, Role, ToolResult};
    use super::super::json::Json;
    use super::*;

    fn tokens_of(content: Content) -> u64 {
        let turns = vec![Turn::new(Role::User, vec![Part::new(content)])];
        estimate_request_tokens(&ChatRequest { turns, ..ChatRequest::default() }) - TOKENS_PER_TURN
    }

    fn png(width: u32, height: u32) -> Content {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend_from_slice(&width.to_be_bytes());
        bytes.extend_from_slice(&height.to_be_bytes());
        bytes.extend_from_slice(&[8, 6, 0, 0, 0]);
        let media = Media::base64("image/png", &encode_base64(&bytes));
        Content::Image(Image { media, detail: None })
    }

    #[test]
    fn images_are_estimated_by_size() {
        assert_eq!(tokens_of(png(200, 200)), 54);
        assert_eq!(tokens_of(png(1000, 1000)), 1334);
        assert_eq!(tokens_of(png(u32::MAX, u32::MAX)), IMAGE_TOKENS_MAX);
        let image = |media| Content::Image(Image { media, detail: None });
        let gif = encode_base64(b"GIF89a\xc8\0\xc8\0and then what it shows");
        assert_eq!(tokens_of(image(Media::base64("image/gif", &gif))), 54);
        for media in [
            Media::base64("image/png", "iVBORw0KGgo="),
            Media::base64("image/jpeg", &encode_base64(&[0xff; 40])),
            Media::of_url("https://pictures.example/cat.png"),
        ] {
            assert_eq!(tokens_of(image(media)), IMAGE_TOKENS_MAX);
        }
    }

    #[test]
    fn text_tools_and_documents_are_estimated() {
        let words = |bytes: usize| Part::text(&"x".repeat(bytes));
        assert_eq!(estimate_request_tokens(&ChatRequest::default()), 0);
        let result = ToolResult {
            id: "call_1".to_owned(),
            name: None,
            parts: vec![words(40), words(4)],
            is_error: false,
        };
        assert_eq!(tokens_of(Content::ToolResult(result)), 11);
        let file =
            |media| Content::File(File { media, name: None, context: None, with_citations: false });
        assert_eq!(tokens_of(file(Media::plain_text("x".repeat(1200).as_str()))), 300);
        assert_eq!(tokens_of(file(Media::base64("application/pdf", "JVBE"))), DOCUMENT_TOKENS);
        let function = Function {
            name: "four".to_owned(),
            description: Some("eight by".to_owned()),
            parameters: Json::parse("{\"a\":1}"),
            ..Function::default()
        };
        let tools = vec![Tool::Function(function), Tool::CodeExecution];
        let request = ChatRequest { tools, ..ChatRequest::default() };
        assert_eq!(estimate_request_tokens(&request), 1 + 2 + 2);
    }
}
