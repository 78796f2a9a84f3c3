//! The conversation as Google accepts it: alternating user and model contents, and the instructions
//! apart.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::signature::{PartSignature, SignedPart, signed};
use crate::dialects::codec::Unsupported;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, ChatRequest, Content, Dialect, File, Json, Media, MediaSource, ModelRules,
    ObjectWriter, Part, RefusedSetting, Role, ToolCall, ToolResult, Turn,
};

/// Google's placeholder for calls that no Gemini model made, such as those of another vendor's model
/// earlier in the conversation ("Thought signatures", questions at its end). Such a call is not
/// verified.
pub(in crate::dialects) const UNCHECKED: &str = "skip_thought_signature_validator";

/// The same in base64, the other form that Google accepts. Clients get this one, since some do not
/// support base64 with `_`.
pub(super) const UNCHECKED_IN_BASE64: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// Writes contents, and remembers the names of calls.
pub(super) struct ContentsWriter<'a> {
    rules: &'a ModelRules,
    /// By call id.
    names: HashMap<&'a str, &'a str>,
}

/// One content: adjacent turns of one role.
struct Group<'a> {
    role: &'static str,
    parts: Vec<SignedPart<'a>>,
}

impl<'a> ContentsWriter<'a> {
    pub(super) fn new(request: &'a ChatRequest, rules: &'a ModelRules) -> Self {
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        let names = parts.filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some((call.id.as_str(), call.name.as_str())),
            _ => None,
        });
        Self { rules, names: names.collect() }
    }

    /// Writes `systemInstruction` and `contents`.
    pub(super) fn write(
        &self,
        root: &mut ObjectWriter<'_>,
        request: &'a ChatRequest,
        warnings: &mut Warnings,
    ) -> Result<(), Unsupported> {
        let (system, conversation): (Vec<&Turn>, Vec<&Turn>) =
            request.turns.iter().partition(|turn| is_instruction(turn));
        let mut groups = groups(&conversation, warnings);
        let mut instructions: Vec<&Part> = system.iter().flat_map(|turn| &turn.parts).collect();
        instructions.retain(|part| part.as_text() != Some(""));
        let first = request.turns.iter().position(|turn| !is_instruction(turn));
        let last = request.turns.iter().rposition(is_instruction);
        if first.zip(last).is_some_and(|(first, last)| first < last) {
            let how = "moved before the conversation, gemini has them nowhere else";
            warnings.changed("a later system message", how);
        }
        if groups.is_empty() && !instructions.is_empty() {
            warnings
                .changed("the system message", "sent as the user's, gemini wants a turn of one");
            let of_user = |part| SignedPart { part, signature: None };
            let parts = instructions.drain(..).map(of_user).collect();
            groups.push(Group { role: "user", parts });
        }
        for part in request.turns.iter().flat_map(|turn| &turn.parts) {
            if part.cache.is_some() {
                let why = "gemini caches by itself, or under a name of its own";
                warnings.dropped("a cache point", why);
            }
        }
        if !instructions.is_empty() {
            root.object("systemInstruction", |system| {
                system.array("parts", |array| {
                    instructions.iter().try_for_each(|part| instruction(array, part))
                })
            })?;
        }
        root.array("contents", |array| {
            groups.iter().try_for_each(|group| self.group(array, group, warnings))
        })
    }

    fn group(
        &self,
        array: &mut ArrayWriter<'_>,
        group: &Group<'a>,
        warnings: &mut Warnings,
    ) -> Result<(), Unsupported> {
        let is_call = |it: &&SignedPart<'_>| matches!(it.part.content, Content::ToolCall(_));
        let first_call = group.parts.iter().find(is_call).map(|it| it.part);
        array.object(|content| {
            content.text("role", group.role);
            content.array("parts", |parts| {
                for signed in &group.parts {
                    let is_first = first_call.is_some_and(|first| std::ptr::eq(first, signed.part));
                    let signature = match &signed.signature {
                        None if is_first && self.rules.signed_calls => {
                            let how =
                                "marked to be taken unsigned, it has no signature of gemini's";
                            warnings.changed("a tool call", how);
                            Some(UNCHECKED)
                        }
                        signature => signature.as_deref(),
                    };
                    self.part(parts, signed.part, signature, warnings)?;
                }
                Ok(())
            })
        })
    }

    fn part(
        &self,
        array: &mut ArrayWriter<'_>,
        part: &Part,
        signature: Option<&str>,
        warnings: &mut Warnings,
    ) -> Result<(), Unsupported> {
        match &part.content {
            Content::ToolResult(result) => self.result(array, result, warnings),
            Content::ToolCall(call) => {
                array.object(|object| {
                    if !write_call(object, call) {
                        let how = "wrapped in an object, they were not one";
                        warnings.changed("arguments of a tool call", how);
                    }
                    object.optional_text("thoughtSignature", signature);
                });
                Ok(())
            }
            Content::Raw(foreign) if foreign.dialect == Dialect::Gemini => {
                array.raw(&foreign.json);
                Ok(())
            }
            Content::Raw(_) => {
                warnings.dropped("a part of a message", "only another dialect has it");
                Ok(())
            }
            content => array.object(|object| {
                write_content(object, content, warnings)?;
                object.optional_text("thoughtSignature", signature);
                Ok(())
            }),
        }
    }

    fn result(
        &self,
        array: &mut ArrayWriter<'_>,
        result: &ToolResult,
        warnings: &mut Warnings,
    ) -> Result<(), Unsupported> {
        let name = self.names.get(result.id.as_str()).copied().or(result.name.as_deref());
        let name = name.ok_or_else(|| {
            let why = "gemini wants the tool's name, and no call before it has its id";
            Unsupported::new("a tool result", why)
        })?;
        let texts: Vec<&str> = result.parts.iter().filter_map(Part::as_text).collect();
        let media: Vec<&Part> =
            result.parts.iter().filter(|part| part.as_text().is_none()).collect();
        let is_inside = !self.rules.always_refuses(RefusedSetting::ToolResultMedia);
        array.object(|object| {
            object.object("functionResponse", |response| {
                response.text("id", &result.id);
                response.text("name", name);
                write_output(response, &texts.join("\n"), result.is_error);
                if is_inside && !media.is_empty() {
                    response.array("parts", |parts| {
                        media.iter().try_for_each(|part| medium(parts, part, warnings))
                    })?;
                }
                Ok(())
            })
        })?;
        if !is_inside && !media.is_empty() {
            warnings.changed("pictures of a tool result", "sent beside it, for an older model");
            media.iter().try_for_each(|part| medium(array, part, warnings))?;
        }
        Ok(())
    }
}

fn is_instruction(turn: &Turn) -> bool {
    matches!(turn.role, Role::System | Role::Developer)
}

/// Groups the turns into contents: adjacent turns of one role are merged, empty ones dropped.
fn groups<'a>(turns: &[&'a Turn], warnings: &mut Warnings) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let role = if turn.role == Role::Assistant { "model" } else { "user" };
        if turn.name.is_some() {
            warnings.dropped("name of a message", "gemini has no names of speakers");
        }
        let mut parts = signed(&turn.parts, |held| own(held, warnings));
        parts.retain(|it| it.signature.is_some() || has_content(&it.part.content));
        match groups.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == role => last.parts.extend(parts),
            _ => groups.push(Group { role, parts }),
        }
    }
    groups
}

/// The signature, if Google can verify it.
fn own<'a>(held: PartSignature<'a>, warnings: &mut Warnings) -> Option<Cow<'a, str>> {
    let text = match held {
        PartSignature::Signature(signature) => signature.for_provider(Dialect::Gemini),
        PartSignature::Sealed(sealed) => sealed.for_provider(Dialect::Gemini),
    };
    if text.is_none() {
        warnings.dropped("the signature of a thought", "another vendor's");
    }
    text.map(Cow::Borrowed)
}

/// True for content that is dropped: empty text, and reasoning without text that is not Google's.
pub(super) fn is_lost(_: Role, content: &Content) -> bool {
    match content {
        Content::Reasoning(reasoning) => {
            let proofs = reasoning.signature.iter().chain(&reasoning.sealed);
            reasoning.text.is_empty()
                && proofs.filter_map(|it| it.for_provider(Dialect::Gemini)).count() == 0
        }
        content => !has_content(content),
    }
}

/// False for empty text, which Google rejects.
fn has_content(content: &Content) -> bool {
    match content {
        Content::Text(text) => !text.text.is_empty(),
        Content::Reasoning(reasoning) => !reasoning.text.is_empty(),
        Content::Refusal(text) => !text.is_empty(),
        _ => true,
    }
}

fn instruction(array: &mut ArrayWriter<'_>, part: &Part) -> Result<(), Unsupported> {
    match &part.content {
        Content::Text(text) => {
            array.object(|object| object.text("text", &text.text));
            Ok(())
        }
        Content::Raw(foreign) if foreign.dialect == Dialect::Gemini => {
            array.raw(&foreign.json);
            Ok(())
        }
        _ => Err(Unsupported::new("a system message that is not text", "gemini takes words there")),
    }
}

/// Writes the members of a text, reasoning or media part.
fn write_content(
    object: &mut ObjectWriter<'_>,
    content: &Content,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    match content {
        Content::Text(text) => object.text("text", &text.text),
        Content::Refusal(text) => object.text("text", text),
        Content::Reasoning(reasoning) => {
            object.text("text", &reasoning.text);
            if !reasoning.text.is_empty() {
                object.flag("thought", true);
            }
        }
        Content::Image(image) => {
            if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
                warnings.dropped("detail of an image", "gemini has it for all of a request only");
            }
            return write_media(object, &image.media, "an image");
        }
        Content::Audio(media) => return write_media(object, media, "audio"),
        Content::Video(media) => return write_media(object, media, "a video"),
        Content::File(File { media, name, context, with_citations }) => {
            // AI Studio rejects the name, and Vertex ignores it.
            if name.is_some() {
                warnings.dropped("the name of a file", "gemini has no place for it");
            }
            if context.is_some() {
                warnings.dropped("the context of a file", "gemini has no place for it");
            }
            if *with_citations {
                warnings.dropped("citations of a file", "gemini cites what it searched only");
            }
            return write_media(object, media, "a file");
        }
        Content::ToolCall(_) | Content::ToolResult(_) | Content::Raw(_) => {}
    }
    Ok(())
}

/// Writes an image or document of a tool result.
fn medium(
    array: &mut ArrayWriter<'_>,
    part: &Part,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    match &part.content {
        Content::Raw(_) => {
            warnings.dropped("a part of a tool result", "only another dialect has it");
            Ok(())
        }
        content => array.object(|object| write_content(object, content, warnings)),
    }
}

/// Writes `inlineData` or `fileData`.
///
/// Supported locations: AI Studio reads its own files, YouTube, and since January 2026 public and
/// signed URLs (Gemini API, "File input methods"); Vertex reads `gs://`, YouTube and public URLs
/// ("Inference"). Which API it is, is unknown here; it rejects what it cannot read.
pub(super) fn write_media(
    object: &mut ObjectWriter<'_>,
    media: &Media,
    what: &str,
) -> Result<(), Unsupported> {
    let declared = media.media_type.as_deref();
    let (key, value) = match &media.source {
        MediaSource::Base64(data) => ("data", data),
        MediaSource::Url(address) if address.starts_with("data:") => {
            return Err(Unsupported::new(what, "gemini takes the bytes in base64 only"));
        }
        MediaSource::Url(address) => ("fileUri", address),
        MediaSource::Id(id) if id.starts_with("gs://") || id.starts_with("https://") => {
            ("fileUri", id)
        }
        MediaSource::Id(_) => {
            return Err(Unsupported::new(what, "it lies at another vendor, under an id"));
        }
    };
    let media_type = declared.or_else(|| type_of_address(value)).ok_or_else(|| {
        let why = "gemini wants its media type, which neither the request nor the address tells; \
                   the gateway finds it out for pictures (egress.fetch_pictures)";
        Unsupported::new(what, why)
    })?;
    let member = if key == "data" { "inlineData" } else { "fileData" };
    object.object(member, |inner| {
        inner.text("mimeType", media_type);
        inner.text(key, value);
    });
    Ok(())
}

/// The media types that both APIs support, by file extension.
const ENDINGS: [(&str, &str); 32] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("bmp", "image/bmp"),
    ("pdf", "application/pdf"),
    ("json", "application/json"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("csv", "text/csv"),
    ("xml", "text/xml"),
    ("css", "text/css"),
    ("rtf", "text/rtf"),
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("aac", "audio/aac"),
    ("aiff", "audio/aiff"),
    ("m4a", "audio/m4a"),
    ("mp4", "video/mp4"),
    ("mov", "video/quicktime"),
    ("avi", "video/avi"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("webm", "video/webm"),
    ("wmv", "video/wmv"),
];

/// True for a URL whose media type is unknown.
pub(super) fn has_unknown_type(media: &Media) -> bool {
    let MediaSource::Url(address) = &media.source else { return false };
    media.media_type.is_none() && type_of_address(address).is_none()
}

/// The media type of the URL's file extension. YouTube videos have none.
fn type_of_address(address: &str) -> Option<&'static str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    if matches!(host, "youtu.be" | "youtube.com" | "www.youtube.com" | "m.youtube.com") {
        return Some("video/mp4");
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, media_type)| *media_type)
}

/// Writes `functionCall`. False if the arguments were not an object and had to be put into one.
pub(super) fn write_call(object: &mut ObjectWriter<'_>, call: &ToolCall) -> bool {
    object.object("functionCall", |inner| {
        inner.optional_text("id", Some(call.id.as_str()).filter(|id| !id.is_empty()));
        inner.text("name", &call.name);
        if call.arguments.trim().is_empty() {
            inner.object("args", |_| {});
            return true;
        }
        match Json::parse_object(&call.arguments) {
            Some(arguments) => {
                inner.raw("args", &arguments);
                true
            }
            None => {
                inner.object("args", |args| args.text("arguments", &call.arguments));
                false
            }
        }
    })
}

/// Writes `response`, which must be an object: the text itself if it is one, else the text in a member.
/// Reading restores the text.
fn write_output(response: &mut ObjectWriter<'_>, text: &str, is_error: bool) {
    if is_error {
        return response.object("response", |inner| inner.text("error", text));
    }
    match Json::parse_object(text).filter(|_| !is_like_ours(text)) {
        Some(object) => response.raw("response", &object),
        None => response.object("response", |inner| inner.text("result", text)),
    }
}

/// True for an object that would be read as a text in a member.
fn is_like_ours(text: &str) -> bool {
    if !["\"result\"", "\"output\"", "\"error\""].iter().any(|key| text.contains(key)) {
        return false;
    }
    let members: HashMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    let is_text = |value: &RawValue| value.get().starts_with('"');
    match members.iter().next() {
        Some((key, value)) if members.len() == 1 => {
            key == "error" || (matches!(key.as_str(), "result" | "output") && is_text(value))
        }
        _ => false,
    }
}
