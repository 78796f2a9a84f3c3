//! Images, audio and files in responses, for clients whose dialect lacks them there: as a Markdown link
//! with a data URL (RFC 2397). A client sends it back with its history, where it becomes media again,
//! so that no model reads the bytes as text.

use crate::llm::{Content, File, Image, Media, Part};

/// The text before the URL of an image, of audio, of a video and of a file.
const IMAGE: &str = "![image](";
const AUDIO: &str = "[audio](";
const VIDEO: &str = "[video](";
const FILE: &str = "[file](";

/// The link for `content`. None for text, and for files that are stored at a provider.
pub(super) fn link(content: &Content) -> Option<String> {
    let (label, media) = match content {
        Content::Image(image) => (IMAGE, &image.media),
        Content::Audio(media) => (AUDIO, media),
        Content::Video(media) => (VIDEO, media),
        Content::File(file) => (FILE, &file.media),
        _ => return None,
    };
    Some(format!("{label}{})", media.url()?))
}

/// Converts a text that is such a link back to its media.
pub(super) fn restore(part: &mut Part) {
    let Some(text) = part.as_text() else { return };
    let of = |label: &str| {
        let address = text.strip_prefix(label)?.strip_suffix(')')?;
        let is_whole = address.starts_with("data:") && !address.contains([')', ' ', '\n']);
        is_whole.then(|| Media::of_url(address))
    };
    let image = |media| Content::Image(Image { media, detail: None });
    let file =
        |media| Content::File(File { media, name: None, context: None, with_citations: false });
    let found = of(IMAGE)
        .map(image)
        .or_else(|| of(AUDIO).map(Content::Audio))
        .or_else(|| of(VIDEO).map(Content::Video))
        .or_else(|| of(FILE).map(file));
    if let Some(content) = found {
        part.content = content;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_become_inline_media() {
        let media = || Media::base64("image/png", "AAAA");
        let file = File { media: media(), name: None, context: None, with_citations: false };
        for content in [
            Content::Image(Image { media: media(), detail: None }),
            Content::Audio(Media::base64("audio/wav", "AAAA")),
            Content::Video(Media::base64("video/mp4", "AAAA")),
            Content::File(file),
        ] {
            let mut part = Part::text(&link(&content).expect("a link"));
            restore(&mut part);
            assert_eq!(part.content, content);
        }
        for text in
            ["![image](https://a.example/a.png)", "See ![image](data:image/png;base64,AA)", "x"]
        {
            let mut part = Part::text(text);
            restore(&mut part);
            assert_eq!(part.as_text(), Some(text));
        }
    }
}
