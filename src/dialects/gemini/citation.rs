//! The citations of a response: search results (`groundingMetadata`) and recitations
//! (`citationMetadata`).
//!
//! Google counts positions in bytes of a part, the canonical form in characters of a text; [`TextOffsets`]
//! converts them. A citation with an original is a recitation, one without is a search result.

use crate::llm::{Citation, Dialect, DialectJson, Node, ObjectWriter};

/// Maximum number of citations of a choice. Google sends a few dozen.
const CITATIONS_MAX: usize = 1024;

/// Maximum length of the text that is kept for conversions, from its first non-ASCII character on.
/// Citations beyond it have no span.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// The text so far, for converting positions.
#[derive(Debug, Default)]
pub(super) struct TextOffsets {
    /// Bytes before the first non-ASCII character, where both counts are equal.
    ascii: usize,
    rest: String,
    is_lost: bool,
}

impl TextOffsets {
    /// Appends text.
    pub(super) fn push(&mut self, text: &str) {
        let mut text = text;
        if self.rest.is_empty() {
            let plain = text.bytes().take_while(u8::is_ascii).count();
            self.ascii += plain;
            text = text.get(plain..).unwrap_or_default();
        }
        if self.is_lost || self.rest.len() + text.len() > TEXT_BYTES_MAX {
            self.is_lost = true;
        } else {
            self.rest.push_str(text);
        }
    }

    /// The number of characters in the first `bytes` bytes.
    fn characters(&self, bytes: u64) -> Option<u64> {
        let bytes = usize::try_from(bytes).ok()?;
        let Some(beyond) = bytes.checked_sub(self.ascii) else { return u64::try_from(bytes).ok() };
        let count = self.rest.get(..beyond)?.chars().count();
        u64::try_from(self.ascii + count).ok()
    }

    /// The number of bytes in the first `characters` characters.
    fn bytes(&self, characters: u64) -> Option<u64> {
        let characters = usize::try_from(characters).ok()?;
        let Some(beyond) = characters.checked_sub(self.ascii) else {
            return u64::try_from(characters).ok();
        };
        let places = self.rest.char_indices().map(|(place, _)| place);
        let place = places.chain([self.rest.len()]).nth(beyond)?;
        u64::try_from(self.ascii + place).ok()
    }

    fn span(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        self.characters(start).zip(self.characters(end))
    }
}

/// Reads the citations of a candidate. `words` is its text, if it has only one.
pub(super) fn read(candidate: Node<'_>, offsets: Option<&TextOffsets>) -> Vec<Citation> {
    let mut found = Vec::new();
    if let Some(metadata) = candidate.get("groundingMetadata") {
        searched(metadata, offsets, &mut found);
    }
    if let Some(metadata) = candidate.get("citationMetadata") {
        // AI Studio and Vertex name them differently.
        let sources = metadata.get("citationSources").or_else(|| metadata.get("citations"));
        let sources = sources.into_iter().flat_map(Node::items);
        found.extend(sources.map(|source| recited(source, offsets)));
    }
    found.truncate(CITATIONS_MAX);
    found
}

fn searched(metadata: Node<'_>, offsets: Option<&TextOffsets>, found: &mut Vec<Citation>) {
    let chunks = metadata.get("groundingChunks").into_iter().flat_map(Node::items);
    let sources: Vec<Citation> = chunks.take(CITATIONS_MAX).map(source).collect();
    let mut is_used = vec![false; sources.len()];
    for support in metadata.get("groundingSupports").into_iter().flat_map(Node::items) {
        let span = support.get("segment").and_then(|segment| {
            let place = |key: &str| segment.get(key).and_then(Node::u64);
            offsets?.span(place("startIndex").unwrap_or(0), place("endIndex")?)
        });
        let indices = support.get("groundingChunkIndices").into_iter().flat_map(Node::items);
        for index in indices.filter_map(Node::u64).filter_map(|index| usize::try_from(index).ok()) {
            if found.len() >= CITATIONS_MAX {
                return;
            }
            if let Some((source, used)) = sources.get(index).zip(is_used.get_mut(index)) {
                *used = true;
                found.push(Citation { span, ..source.clone() });
            }
        }
    }
    // Sources without a span of text.
    let unused = sources.into_iter().zip(is_used).filter(|(_, used)| !used);
    found.extend(unused.map(|(source, _)| source));
}

/// Reads one of `groundingChunks`: a page, a document of the application, a place on the map or an
/// image.
fn source(chunk: Node<'_>) -> Citation {
    let kinds = ["web", "retrievedContext", "maps", "image"];
    let inner = kinds.iter().find_map(|kind| chunk.get(kind)).unwrap_or(chunk);
    let text = |key: &str| inner.get(key).and_then(Node::text).map(str::to_owned);
    Citation {
        span: None,
        url: text("uri").or_else(|| text("sourceUri")),
        title: text("title"),
        quote: text("text"),
        original: None,
    }
}

fn recited(source: Node<'_>, offsets: Option<&TextOffsets>) -> Citation {
    let place = |key: &str| source.get(key).and_then(Node::u64);
    let text = |key: &str| source.get(key).and_then(Node::text).map(str::to_owned);
    let end = place("endIndex");
    Citation {
        span: offsets
            .zip(end)
            .and_then(|(offsets, end)| offsets.span(place("startIndex").unwrap_or(0), end)),
        url: text("uri"),
        title: text("title"),
        quote: None,
        original: Some(DialectJson { dialect: Dialect::Gemini, json: source.json() }),
    }
}

/// Writes the members of a candidate for its citations.
pub(super) fn write(
    candidate: &mut ObjectWriter<'_>,
    citations: &[Citation],
    offsets: &TextOffsets,
) {
    let own = |citation: &Citation| {
        citation.original.clone().filter(|original| original.dialect == Dialect::Gemini)
    };
    let recited: Vec<DialectJson> = citations.iter().filter_map(own).collect();
    if !recited.is_empty() {
        candidate.object("citationMetadata", |metadata| {
            metadata.array("citationSources", |array| {
                recited.iter().for_each(|original| array.raw(&original.json));
            });
        });
    }
    let searched: Vec<&Citation> = citations.iter().filter(|it| own(it).is_none()).collect();
    if searched.is_empty() {
        return;
    }
    candidate.object("groundingMetadata", |metadata| {
        metadata.array("groundingChunks", |array| {
            for citation in &searched {
                array.object(|chunk| write_source(chunk, citation));
            }
        });
        metadata.array("groundingSupports", |array| {
            for (index, citation) in (0_u64..).zip(&searched) {
                let Some((start, end)) = citation.span else { continue };
                let Some((start, end)) = offsets.bytes(start).zip(offsets.bytes(end)) else {
                    continue;
                };
                array.object(|support| {
                    support.object("segment", |segment| {
                        segment.number("startIndex", start);
                        segment.number("endIndex", end);
                    });
                    support.array("groundingChunkIndices", |indices| {
                        let mut digits = itoa::Buffer::new();
                        indices.item().extend_from_slice(digits.format(index).as_bytes());
                    });
                });
            }
        });
    });
}

/// A page, or a document if text is quoted, since only documents have quotes.
fn write_source(chunk: &mut ObjectWriter<'_>, citation: &Citation) {
    let kind = if citation.quote.is_some() { "retrievedContext" } else { "web" };
    chunk.object(kind, |inner| {
        inner.optional_text("uri", citation.url.as_deref());
        inner.optional_text("title", citation.title.as_deref());
        inner.optional_text("text", citation.quote.as_deref());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Scanner, write_object};

    #[test]
    fn citation_offsets_convert_bytes_and_characters() {
        let mut offsets = TextOffsets::default();
        ["ab", "", "cé", "–x"].iter().for_each(|text| offsets.push(text));
        // a b c é(2) –(3) x
        for (bytes, characters) in [(0, 0), (3, 3), (5, 4), (8, 5), (9, 6)] {
            assert_eq!(offsets.characters(bytes), Some(characters), "{bytes}");
            assert_eq!(offsets.bytes(characters), Some(bytes), "{characters}");
        }
        for bytes in [4, 6, 10, u64::MAX] {
            assert_eq!(offsets.characters(bytes), None, "{bytes}");
        }
        assert_eq!(offsets.bytes(7), None);
        offsets.push(&"é".repeat(TEXT_BYTES_MAX));
        assert_eq!(offsets.characters(9), Some(6));
        assert!(offsets.rest.len() < 10, "{}", offsets.rest.len());
    }

    #[test]
    fn citations_round_trip() {
        let candidate = r#"{"groundingMetadata":{
            "groundingChunks":[{"web":{"uri":"https://a.example","title":"A"}},
                {"retrievedContext":{"uri":"gs://b","title":"B","text":"words"}},
                {"web":{"uri":"https://c.example"}}],
            "groundingSupports":[{"segment":{"endIndex":3,"text":"né"},"groundingChunkIndices":[0,1,9]}]},
            "citationMetadata":{"citationSources":[{"startIndex":1,"endIndex":3,"uri":"https://d.example","license":"x"}]}}"#;
        let mut offsets = TextOffsets::default();
        offsets.push("né un");
        let read = |text: &[u8]| {
            Scanner::default().read(text, |root| super::read(root, Some(&offsets))).expect("JSON")
        };
        let found = read(candidate.as_bytes());
        let brief: Vec<_> = found.iter().map(|it| (it.url.as_deref(), it.span)).collect();
        assert_eq!(
            brief,
            [
                (Some("https://a.example"), Some((0, 2))),
                (Some("gs://b"), Some((0, 2))),
                (Some("https://c.example"), None),
                (Some("https://d.example"), Some((1, 2))),
            ]
        );
        assert_eq!(found[1].quote.as_deref(), Some("words"));
        let mut out = Vec::new();
        write_object(&mut out, |candidate| write(candidate, &found, &offsets));
        assert_eq!(read(&out), found);
    }
}
