//! The service's names of media types, in both directions (API reference, `ImageBlock`,
//! `DocumentBlock`, `AudioBlock`, `VideoBlock`).

use crate::llm::{Media, MediaSource};

/// Format name and media type; the first of several types with one name is the one written.
pub(super) type Formats = &'static [(&'static str, &'static str)];

pub(super) const IMAGES: Formats = &[
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("jpeg", "image/jpg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
];

pub(super) const DOCUMENTS: Formats = &[
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("md", "text/x-markdown"),
    // Plain text without a name of its own.
    ("txt", "application/json"),
    ("txt", "application/xml"),
    ("txt", "text/xml"),
];

pub(super) const AUDIO: Formats = &[
    ("mp3", "audio/mp3"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("wav", "audio/x-wav"),
    ("wav", "audio/wave"),
    ("opus", "audio/opus"),
    ("aac", "audio/aac"),
    ("x-aac", "audio/x-aac"),
    ("flac", "audio/flac"),
    ("mp4", "audio/mp4"),
    ("m4a", "audio/m4a"),
    ("m4a", "audio/x-m4a"),
    ("ogg", "audio/ogg"),
    ("webm", "audio/webm"),
    ("pcm", "audio/pcm"),
    ("mka", "audio/x-matroska"),
    ("mkv", "audio/mkv"),
    ("mpeg", "audio/x-mpeg"),
    ("mpga", "audio/mpga"),
];

pub(super) const VIDEOS: Formats = &[
    ("mp4", "video/mp4"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("webm", "video/webm"),
    ("flv", "video/x-flv"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpg"),
    ("wmv", "video/x-ms-wmv"),
    ("three_gp", "video/3gpp"),
];

/// The media type of a format name.
pub(super) fn media_type(formats: Formats, name: &str) -> Option<&'static str> {
    formats.iter().find(|(known, _)| *known == name).map(|(_, media_type)| *media_type)
}

/// The format name of the media type. Without a media type, that of the file extension.
pub(super) fn format_of(
    formats: Formats,
    media: &Media,
    name: Option<&str>,
) -> Option<&'static str> {
    let media_type =
        media.media_type.as_deref().map(|it| it.split(';').next().unwrap_or_default().trim());
    if let Some(media_type) =
        media_type.filter(|media_type| *media_type != "application/octet-stream")
    {
        let known = formats.iter().find(|(_, known)| known.eq_ignore_ascii_case(media_type));
        return known.map(|(format_of, _)| *format_of);
    }
    let address = match &media.source {
        MediaSource::Url(url) => Some(url.as_str()),
        MediaSource::Base64(_) | MediaSource::Id(_) => None,
    };
    let endings = [name, address].into_iter().flatten().filter_map(|name| name.rsplit_once('.'));
    let mut candidates = endings.filter_map(|(_, ending)| {
        let ending = ending.to_ascii_lowercase();
        let ending = match ending.as_str() {
            "jpg" => "jpeg",
            "3gp" => "three_gp",
            other => other,
        };
        formats.iter().find(|(format_of, _)| *format_of == ending)
    });
    candidates.next().map(|(format_of, _)| *format_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_names_and_media_types_agree() {
        for formats in [IMAGES, DOCUMENTS, AUDIO, VIDEOS] {
            for (known, _) in formats {
                let media = Media::base64(media_type(formats, known).expect("a type"), "");
                assert_eq!(format_of(formats, &media, None), Some(*known));
            }
        }
    }

    #[test]
    fn missing_media_type_follows_the_extension() {
        let at = |url: &str| Media { media_type: None, source: MediaSource::Url(url.to_owned()) };
        assert_eq!(format_of(IMAGES, &at("s3://pictures/a.JPG"), None), Some("jpeg"));
        assert_eq!(format_of(IMAGES, &at("s3://pictures/a"), None), None);
        assert_eq!(format_of(DOCUMENTS, &at("s3://papers/a"), Some("a.b.docx")), Some("docx"));
        let typed = Media::base64("text/plain; charset=utf-8", "");
        assert_eq!(format_of(DOCUMENTS, &typed, Some("a.pdf")), Some("txt"));
        assert_eq!(format_of(IMAGES, &Media::base64("image/tiff", ""), Some("a.png")), None);
    }
}
