//! Citations: spans of the text, and the documents or tool results behind them.
//!
//! A citation of Cohere has several sources and the index of its block; a canonical one has one source
//! and belongs to its text. One becomes as many as it has sources, and each keeps its original source.
//! Citations of reasoning and plans are dropped: no other dialect has them.

use crate::llm::{
    Citation, Content, Dialect, DialectJson, Json, Node, ObjectWriter, Part, Text, write_object,
};

/// Reads the citations of a message and attaches each to its text.
pub(super) fn attach(citations: Node<'_>, parts: &mut [Part]) {
    for value in citations.items().filter(|value| is_of_text(*value)) {
        let index = block(value);
        let is_text = |part: &Part| matches!(part.content, Content::Text(_));
        let place = match index {
            Some(index) => Some(index),
            None => parts.iter().position(is_text),
        };
        let part = place.and_then(|place| parts.get_mut(place));
        if let Some(Part { content: Content::Text(text), .. }) = part {
            text.citations.extend(read(value));
        }
    }
}

/// True for a citation of a text, rather than of reasoning or a plan.
pub(super) fn is_of_text(value: Node<'_>) -> bool {
    matches!(value.text_of("type"), "" | "TEXT_CONTENT")
}

/// Index of the block that a citation refers to, if it is sent.
pub(super) fn block(value: Node<'_>) -> Option<usize> {
    value.get("content_index").and_then(Node::u64).and_then(|index| usize::try_from(index).ok())
}

/// Reads one citation.
pub(super) fn read(value: Node<'_>) -> Vec<Citation> {
    let sources: Vec<Node<'_>> = value.get("sources").into_iter().flat_map(Node::items).collect();
    if sources.is_empty() {
        return vec![of_source(value, None)];
    }
    sources.into_iter().map(|source| of_source(value, Some(source))).collect()
}

fn of_source(value: Node<'_>, source: Option<Node<'_>>) -> Citation {
    let number = |key: &str| value.get(key).and_then(Node::u64);
    let held = source.and_then(|source| source.get("document").or(source.get("tool_output")));
    let text = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| held?.get(key)?.text());
        found.map(str::to_owned)
    };
    Citation {
        span: number("start").zip(number("end")),
        url: text(&["url"]),
        title: text(&["title"]),
        quote: text(&["snippet", "text"]),
        original: Some(DialectJson { dialect: Dialect::CohereChat, json: original(value, source) }),
    }
}

/// The original citation with only that source.
fn original(value: Node<'_>, source: Option<Node<'_>>) -> Json {
    let mut out = Vec::new();
    write_object(&mut out, |object| {
        for (key, member) in value.members() {
            match (key, source) {
                ("sources", Some(source)) => {
                    object.array("sources", |array| array.raw(&source.json()));
                }
                // Each message has its own index.
                ("content_index", _) => {}
                _ => object.raw(key, &member.json()),
            }
        }
    });
    Json::of_written(String::from_utf8(out).unwrap_or_default())
}

/// Writes the `citations` of a message; each text comes with the index of its block. Citations of other
/// vendors are included if `with_others`, with the members that are known.
pub(super) fn write_all(message: &mut ObjectWriter<'_>, texts: &[(u64, &Text)], with_others: bool) {
    let wanted = |citation: &&Citation| with_others || is_own(citation);
    if !texts.iter().any(|(_, text)| text.citations.iter().any(|it| wanted(&it))) {
        return;
    }
    message.array("citations", |array| {
        for (index, text) in texts {
            for citation in text.citations.iter().filter(wanted) {
                write(array.item(), citation, &text.text, *index);
            }
        }
    });
}

/// True if it is from Cohere.
pub(super) fn is_own(citation: &Citation) -> bool {
    citation.original.as_ref().is_some_and(|original| original.dialect == Dialect::CohereChat)
}

/// Appends a citation of the text in block `index`.
pub(super) fn write(out: &mut Vec<u8>, citation: &Citation, text: &str, index: u64) {
    let original = citation.original.as_ref().filter(|_| is_own(citation));
    match original.and_then(|original| original.json.text().strip_prefix('{')) {
        Some(members) => {
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(b"{\"content_index\":");
            out.extend_from_slice(digits.format(index).as_bytes());
            let comma: &[u8] = if members == "}" { b"" } else { b"," };
            out.extend_from_slice(comma);
            out.extend_from_slice(members.as_bytes());
        }
        None => write_object(out, |object| write_other(object, citation, text, index)),
    }
}

fn write_other(object: &mut ObjectWriter<'_>, citation: &Citation, text: &str, index: u64) {
    object.number("content_index", index);
    if let Some((start, end)) = citation.span {
        object.number("start", start);
        object.number("end", end);
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let length = place(end).saturating_sub(place(start));
        let cited: String = text.chars().skip(place(start)).take(length).collect();
        object.text("text", &cited);
    }
    object.array("sources", |array| {
        array.object(|source| {
            source.text("type", "document");
            source.object("document", |document| {
                document.optional_text("url", citation.url.as_deref());
                document.optional_text("title", citation.title.as_deref());
                document.optional_text("text", citation.quote.as_deref());
            });
        });
    });
    object.text("type", "TEXT_CONTENT");
}
