//! The items of a response, read and written, complete or at the end of a stream.
//!
//! Adjacent texts and refusals are parts of one message; adjacent reasoning with one id is one
//! reasoning item with several summaries. Everything else is an item of its own. Other vendors'
//! reasoning is written as summaries, which clients show. An image is the result of an image
//! generation.

use std::borrow::Cow;

use super::{encrypted_content, identity};
use crate::dialects::media_link;
use crate::dialects::openai_chat::{arguments, write_tokens};
use crate::dialects::openai_tools::{CallForms, CallKind, arguments_of, flat_name, input_of};
use crate::llm::{
    Citation, Content, Dialect, DialectJson, Image, Json, Media, MediaSource, Node, ObjectWriter,
    Part, Reasoning, Signature, Text, TokenLogprob, ToolCall, write_object,
};

/// Type of the items that are images.
const PICTURE: &str = "image_generation_call";

/// Reads one item of a response into parts.
pub(super) fn read_item(item: Node<'_>, parts: &mut Vec<Part>) {
    match item.text_of("type") {
        "message" => {
            let contents = item.get("content").into_iter().flat_map(Node::items);
            parts.extend(contents.map(|content| Part::new(read_content(content))));
        }
        "function_call" => parts.push(Part::new(Content::ToolCall(ToolCall {
            arguments: arguments(item),
            ..call(item)
        }))),
        "custom_tool_call" => parts.push(Part::new(Content::ToolCall(ToolCall {
            arguments: arguments_of(item.text_of("input")),
            ..call(item)
        }))),
        "reasoning" => read_reasoning(item, parts),
        _ => parts.push(Part::new(image_part(item).unwrap_or_else(|| foreign(item)))),
    }
}

/// Reads one part of a message.
pub(super) fn read_content(value: Node<'_>) -> Content {
    match value.text_of("type") {
        "output_text" | "text" => {
            let text = value.text_of("text").to_owned();
            Content::Text(Text { text, citations: citations(value) })
        }
        "refusal" => Content::Refusal(value.text_of("refusal").to_owned()),
        _ => foreign(value),
    }
}

/// A call whose arguments follow. Some providers omit its id; then it is that of the item.
pub(super) fn call(item: Node<'_>) -> ToolCall {
    let id = match item.text_of("call_id") {
        "" => item.text_of("id"),
        id => id,
    };
    let name = item.text_of("name");
    let name = match item.get("namespace").and_then(Node::text) {
        Some(namespace) => flat_name(Some(namespace), name),
        None => name.to_owned(),
    };
    ToolCall { id: id.to_owned(), name, ..ToolCall::default() }
}

/// Content that only this dialect has.
pub(super) fn foreign(value: Node<'_>) -> Content {
    Content::Raw(DialectJson { dialect: Dialect::OpenaiResponses, json: value.json() })
}

/// The image in an item, if it has one.
pub(super) fn image_part(item: Node<'_>) -> Option<Content> {
    if item.text_of("type") != PICTURE {
        return None;
    }
    let data = item.get("result")?.text()?;
    let format = match item.text_of("output_format") {
        "" => "png",
        format => format,
    };
    let media = Media::base64(&format!("image/{format}"), data);
    Some(Content::Image(Image { media, detail: None }))
}

/// The id of an item, if its provider made it.
pub(super) fn vendor_id(item: Node<'_>) -> Option<&str> {
    let id = item.get("id").and_then(Node::text);
    id.filter(|id| !id.is_empty() && !identity::is_ours(id))
}

/// Reads a reasoning item: a part for each summary and each text that is not empty, the last one with
/// the signature.
pub(super) fn read_reasoning(item: Node<'_>, parts: &mut Vec<Part>) {
    let id = vendor_id(item);
    let before = parts.len();
    for key in ["summary", "content"] {
        for text in item.get(key).into_iter().flat_map(Node::items) {
            let text = text.text_of("text").to_owned();
            if !text.is_empty() {
                let id = id.map(str::to_owned);
                let reasoning = Reasoning { id, text, ..Reasoning::default() };
                parts.push(Part::new(Content::Reasoning(reasoning)));
            }
        }
    }
    if let Some(sealed) = item.get("encrypted_content").and_then(Node::text) {
        encrypted_content::attach(sealed, parts.len() - before, id, parts);
    }
}

/// Reads the citations of a text.
pub(super) fn citations(value: Node<'_>) -> Vec<Citation> {
    value.get("annotations").into_iter().flat_map(Node::items).map(citation).collect()
}

/// Reads one of `annotations`.
pub(super) fn citation(value: Node<'_>) -> Citation {
    let number = |key: &str| value.get(key).and_then(Node::u64);
    let text = |key: &str| value.get(key).and_then(Node::text).map(str::to_owned);
    Citation {
        span: number("start_index").zip(number("end_index")),
        url: text("url"),
        title: text("title").or_else(|| text("filename")),
        quote: None,
        original: Some(DialectJson { dialect: Dialect::OpenaiResponses, json: value.json() }),
    }
}

/// Writes one of `annotations`. A source without a URL becomes a file.
pub(super) fn write_citation(out: &mut Vec<u8>, citation: &Citation) {
    match &citation.original {
        Some(original) if original.dialect == Dialect::OpenaiResponses => {
            out.extend_from_slice(original.json.text().as_bytes());
        }
        _ => write_object(out, |object| citation_members(object, citation)),
    }
}

fn citation_members(object: &mut ObjectWriter<'_>, citation: &Citation) {
    let (start, end) = citation.span.unwrap_or_default();
    let title = citation.title.as_deref().unwrap_or_default();
    match &citation.url {
        Some(url) => {
            object.text("type", "url_citation");
            object.number("start_index", start);
            object.number("end_index", end);
            object.text("url", url);
            object.text("title", title);
        }
        None => {
            object.text("type", "file_citation");
            object.number("index", end);
            object.text("file_id", "");
            object.text("filename", title);
        }
    }
}

/// A part of a response with its log probabilities.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputPart<'a> {
    pub(super) content: &'a Content,
    pub(super) logprobs: &'a [TokenLogprob],
}

/// True if `next` belongs to the same item as `before`.
pub(super) fn is_one_item(before: &Content, next: &Content) -> bool {
    let is_text = |it: &Content| matches!(it, Content::Text(_) | Content::Refusal(_));
    match (before, next) {
        (Content::Reasoning(before), Content::Reasoning(next)) => {
            before.id.is_some() && before.id == next.id
        }
        _ => is_text(before) && is_text(next),
    }
}

/// The content as an item can contain it; media without an item type become a link.
pub(super) fn shown(content: &Content) -> Cow<'_, Content> {
    let link = if kind_of(content, &CallForms::default()).is_none() {
        media_link::link(content)
    } else {
        None
    };
    match link {
        Some(text) => Cow::Owned(Content::Text(Text { text, citations: Vec::new() })),
        None => Cow::Borrowed(content),
    }
}

/// The id prefix of an item with that content. None if there is no such item.
pub(super) fn kind_of(content: &Content, forms: &CallForms) -> Option<&'static str> {
    match content {
        Content::Text(_) | Content::Refusal(_) => Some("msg"),
        Content::ToolCall(call) => Some(match forms.kind(&call.name) {
            CallKind::Function => "fc",
            CallKind::Custom => "ctc",
            CallKind::ToolSearch => "tsc",
        }),
        Content::Reasoning(_) => Some("rs"),
        Content::Image(Image { media: Media { source: MediaSource::Base64(_), .. }, .. }) => {
            Some("ig")
        }
        // It contains its id.
        Content::Raw(foreign) if foreign.dialect == Dialect::OpenaiResponses => Some(""),
        _ => None,
    }
}

/// The id of item `index`: that of reasoning, else a generated one.
pub(super) fn id_of(content: &Content, kind: &str, index: usize, answer: &str) -> String {
    match content {
        Content::Reasoning(Reasoning { id: Some(id), .. }) => id.clone(),
        _ => identity::of_item(kind, index, answer),
    }
}

/// Writes the item that consists of `parts`.
pub(super) fn write_item(
    out: &mut Vec<u8>,
    (id, status): (&str, &str),
    parts: &[OutputPart<'_>],
    forms: &CallForms,
) {
    let Some(first) = parts.first() else { return };
    if let Content::Raw(foreign) = first.content {
        out.extend_from_slice(foreign.json.text().as_bytes());
        return;
    }
    write_object(out, |item| {
        item.text("id", id);
        match first.content {
            Content::ToolCall(call) => {
                call_members(item, call, status, forms);
            }
            Content::Reasoning(_) => write_reasoning(item, parts),
            Content::Image(image) => image_members(item, Some(image), status),
            _ => {
                item.text("type", "message");
                item.text("status", status);
                item.text("role", "assistant");
                item.array("content", |array| {
                    parts
                        .iter()
                        .for_each(|output| array.object(|part| write_output_part(part, *output)));
                });
            }
        }
    });
}

/// The arguments of a complete call.
pub(super) fn all_arguments(call: &ToolCall) -> &str {
    if call.arguments.is_empty() { "{}" } else { &call.arguments }
}

/// Writes the members of a call's item after its id.
pub(super) fn call_members(
    item: &mut ObjectWriter<'_>,
    call: &ToolCall,
    status: &str,
    forms: &CallForms,
) {
    let form = forms.find(&call.name);
    let kind = form.map_or(CallKind::Function, |form| form.kind);
    let is_begun = status == "in_progress";
    call_kind(item, kind);
    item.text("status", status);
    match kind {
        CallKind::Function if is_begun => item.text("arguments", ""),
        CallKind::Custom if is_begun => item.text("input", ""),
        _ => call_arguments(item, call, kind),
    }
    item.text("call_id", &call.id);
    if kind != CallKind::ToolSearch {
        item.text("name", form.map_or(&call.name, |form| &form.name));
        item.optional_text("namespace", form.and_then(|form| form.namespace.as_deref()));
    }
}

/// Writes the type of a call's item.
pub(super) fn call_kind(item: &mut ObjectWriter<'_>, kind: CallKind) {
    let kind = match kind {
        CallKind::Function => "function_call",
        CallKind::Custom => "custom_tool_call",
        CallKind::ToolSearch => "tool_search_call",
    };
    item.text("type", kind);
}

/// Writes the arguments or the input of a complete call.
pub(super) fn call_arguments(item: &mut ObjectWriter<'_>, call: &ToolCall, kind: CallKind) {
    match kind {
        CallKind::Function => item.text("arguments", all_arguments(call)),
        CallKind::Custom => item.text("input", &input_of(&call.arguments)),
        CallKind::ToolSearch => {
            item.text("execution", "client");
            match Json::parse_object(&call.arguments) {
                Some(arguments) => item.raw("arguments", &arguments),
                None => item.object("arguments", |_| {}),
            }
        }
    }
}

/// Writes the members of an image's item after its id.
pub(super) fn image_members(item: &mut ObjectWriter<'_>, image: Option<&Image>, status: &str) {
    item.text("type", PICTURE);
    item.text("status", status);
    match image {
        Some(Image { media: Media { source: MediaSource::Base64(data), media_type }, .. }) => {
            let format = media_type.as_deref().and_then(|it| it.strip_prefix("image/"));
            item.optional_text("output_format", format);
            item.text("result", data);
        }
        _ => item.null("result"),
    }
}

fn write_reasoning(item: &mut ObjectWriter<'_>, parts: &[OutputPart<'_>]) {
    let reasoning = || {
        parts.iter().filter_map(|output| match output.content {
            Content::Reasoning(reasoning) => Some(reasoning),
            _ => None,
        })
    };
    item.text("type", "reasoning");
    item.array("summary", |array| {
        for reasoning in reasoning().filter(|reasoning| !reasoning.text.is_empty()) {
            array.object(|part| write_summary(part, &reasoning.text));
        }
    });
    if let Some(sealed) = reasoning().filter_map(encrypted_content::write).next_back() {
        item.text("encrypted_content", &sealed);
    }
}

/// Writes the members of one part of a summary.
pub(super) fn write_summary(part: &mut ObjectWriter<'_>, text: &str) {
    part.text("type", "summary_text");
    part.text("text", text);
}

/// Writes the members of one part of a message.
pub(super) fn write_output_part(part: &mut ObjectWriter<'_>, output: OutputPart<'_>) {
    match output.content {
        Content::Text(text) => {
            part.text("type", "output_text");
            part.array("annotations", |array| {
                text.citations.iter().for_each(|it| write_citation(array.item(), it));
            });
            part.array("logprobs", |array| write_tokens(array, output.logprobs));
            part.text("text", &text.text);
        }
        Content::Refusal(refusal) => {
            part.text("type", "refusal");
            part.text("refusal", refusal);
        }
        _ => {}
    }
}

/// Writes the item with the signature of a call.
pub(super) fn write_proof_of_call(
    out: &mut Vec<u8>,
    id: &str,
    call_id: &str,
    signature: &Signature,
) {
    write_object(out, |item| {
        item.text("id", id);
        item.text("type", "reasoning");
        item.array("summary", |_| {});
        item.text("encrypted_content", &encrypted_content::write_of_call(call_id, signature));
    });
}

/// True for JSON that is a part of a model's message rather than an item.
pub(super) fn is_part(json: &Json) -> bool {
    #[derive(serde::Deserialize)]
    struct TypedPart<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<TypedPart<'_>>(json.text())
        .is_ok_and(|it| it.kind.starts_with("output_"))
}
