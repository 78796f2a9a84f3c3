//! The turns of a request, split into items.

use std::borrow::Cow;

use super::{encrypted_content, output};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::digest::digest;
use crate::dialects::openai_tools::{CallForms, CallKind};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, CachePoint, ChatRequest, Content, Dialect, File, Image, Media, MediaSource,
    ObjectWriter, Part, Reasoning, Role, Signature, ToolCall, ToolResult, Turn,
};

/// Maximum length of a call id at OpenAI, in characters (its error message; seen November 2026).
const CALL_ID_MAX: usize = 64;

/// Writes the items of `turns`, a part of the turns of `request`.
pub(super) fn write(
    items: &mut ArrayWriter<'_>,
    turns: &[Turn],
    request: &ChatRequest,
    (target, forms): (&TargetModel<'_>, &CallForms),
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let is_own = request.origin == Some(Dialect::OpenaiResponses);
    let is_original = target.is_original;
    let other_calls = Vec::new();
    let mut writer = Writer { items, is_own, is_original, forms, other_calls, warnings };
    turns.iter().try_for_each(|turn| writer.turn(turn))
}

struct Writer<'w, 'o> {
    items: &'w mut ArrayWriter<'o>,
    /// The request has this dialect.
    is_own: bool,
    /// The provider is OpenAI itself.
    is_original: bool,
    forms: &'w CallForms,
    /// Ids and kinds of the calls that are not function calls here; their results depend on it.
    other_calls: Vec<(String, CallKind)>,
    warnings: &'w mut Warnings,
}

impl Writer<'_, '_> {
    fn turn(&mut self, turn: &Turn) -> Result<(), Unsupported> {
        if turn.name.is_some() {
            self.warnings.dropped("the name of a speaker", "openai-responses has none");
        }
        for part in &turn.parts {
            if let Content::ToolResult(result) = &part.content {
                self.result(result, part.cache)?;
            }
        }
        let role = match turn.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => {
                self.assistant(&turn.parts);
                return Ok(());
            }
            Role::Tool => {
                self.given(&turn.parts);
                return Ok(());
            }
        };
        self.message(role, &turn.parts)
    }

    /// Writes content next to tool results: items of this dialect.
    fn given(&mut self, parts: &[Part]) {
        for part in parts {
            match &part.content {
                Content::ToolResult(_) => {}
                Content::Raw(foreign) if foreign.dialect == Dialect::OpenaiResponses => {
                    self.items.raw(&foreign.json);
                }
                _ => self.warnings.dropped("a part of a tool's turn", "it is no result"),
            }
        }
    }

    fn message(&mut self, role: &str, parts: &[Part]) -> Result<(), Unsupported> {
        let mut kept = Vec::with_capacity(parts.len());
        for part in parts {
            if self.is_user_message(part) {
                kept.push(part);
            }
        }
        if kept.is_empty() && !parts.is_empty() {
            return Ok(());
        }
        let contents = self.contents(&kept)?;
        self.items.object(|item| {
            item.text("type", "message");
            item.text("role", role);
            item.key("content").extend_from_slice(&contents);
        });
        Ok(())
    }

    /// True for content of a user message; warns about what is dropped.
    fn is_user_message(&mut self, part: &Part) -> bool {
        match &part.content {
            Content::ToolResult(_) => false,
            Content::Raw(foreign) if foreign.dialect != Dialect::OpenaiResponses => {
                self.warnings.dropped("a part of a message", "only another dialect has it");
                false
            }
            Content::ToolCall(_) | Content::Reasoning(_) => {
                self.warnings.dropped("a part of a message", "only the model may say it");
                false
            }
            _ => true,
        }
    }

    fn result(
        &mut self,
        result: &ToolResult,
        cache: Option<CachePoint>,
    ) -> Result<(), Unsupported> {
        if result.is_error {
            let why = "openai-responses reports errors in text only";
            self.warnings.dropped("is_error of a tool result", why);
        }
        if cache.is_some() {
            let why = "openai-responses has them in messages only";
            self.warnings.dropped("a cache point of a tool result", why);
        }
        let mut kept = Vec::with_capacity(result.parts.len());
        for part in &result.parts {
            if self.is_user_message(part) {
                kept.push(part);
            }
        }
        let contents = self.contents(&kept)?;
        let kind = self.other_calls.iter().find(|(id, _)| *id == result.id).map(|(_, kind)| *kind);
        self.items.object(|item| {
            let kind = match kind {
                Some(CallKind::Custom) => "custom_tool_call_output",
                Some(CallKind::ToolSearch) => "tool_search_output",
                Some(CallKind::Function) | None => "function_call_output",
            };
            item.text("type", kind);
            item.text("call_id", &call_id(&result.id));
            if kind == "tool_search_output" {
                // The tools in the result are among those of the request.
                item.text("execution", "client");
                item.text("status", "completed");
                item.array("tools", |_| {});
            } else {
                item.key("output").extend_from_slice(&contents);
            }
        });
        Ok(())
    }

    /// The JSON of parts: a string for a single text, else an array.
    fn contents(&mut self, parts: &[&Part]) -> Result<Vec<u8>, Unsupported> {
        let mut out = Vec::new();
        match parts {
            [] => out.extend_from_slice(b"\"\""),
            [part] if part.cache.is_none() && part.as_text().is_some() => {
                crate::llm::write_text(&mut out, part.as_text().unwrap_or_default());
            }
            _ => crate::llm::write_array(&mut out, |array| {
                parts.iter().try_for_each(|part| self.part(array, part))
            })?,
        }
        Ok(out)
    }

    fn part(&mut self, array: &mut ArrayWriter<'_>, part: &Part) -> Result<(), Unsupported> {
        if let Content::Raw(foreign) = &part.content {
            array.raw(&foreign.json);
            return Ok(());
        }
        array.object(|object| {
            match &part.content {
                Content::Text(text) => {
                    object.text("type", "input_text");
                    object.text("text", &text.text);
                }
                Content::Refusal(refusal) => {
                    object.text("type", "input_text");
                    object.text("text", refusal);
                }
                Content::Image(image) => write_image(object, image),
                Content::File(file) => self.file(object, file),
                Content::Audio(media) => write_audio(object, media)?,
                Content::Video(_) => {
                    return Err(Unsupported::new("a video", "openai-responses has no such part"));
                }
                _ => {}
            }
            self.breakpoint(object, part.cache);
            Ok(())
        })
    }

    /// Writes a cache point of this dialect. Older models reject it and cache by themselves, so cache
    /// points for another vendor are dropped.
    fn breakpoint(&mut self, object: &mut ObjectWriter<'_>, cache: Option<CachePoint>) {
        let Some(cache) = cache else { return };
        if !self.is_own {
            let why = "openai-responses caches by itself, and only newer models take them";
            self.warnings.dropped("a cache point", why);
            return;
        }
        object.object("prompt_cache_breakpoint", |inner| {
            inner.text("mode", "explicit");
            if cache == CachePoint::Hour {
                inner.text("ttl", "12h");
            }
        });
    }

    fn file(&mut self, object: &mut ObjectWriter<'_>, file: &File) {
        if file.with_citations {
            self.warnings.dropped("citations of a document", "openai-responses cites by itself");
        }
        object.text("type", "input_file");
        match &file.media.source {
            MediaSource::Id(id) => object.text("file_id", id),
            MediaSource::Url(url) => object.text("file_url", url),
            MediaSource::Base64(_) => {
                object.text("file_data", &file.media.url().unwrap_or_default());
                // A file without a name is rejected.
                object.text("filename", file.name.as_deref().unwrap_or(file_name(&file.media)));
                return;
            }
        }
        object.optional_text("filename", file.name.as_deref());
    }

    /// Writes the items of a model turn.
    fn assistant(&mut self, parts: &[Part]) {
        for group in parts.chunk_by(|before, next| is_one_item(&before.content, &next.content)) {
            if group.iter().any(|part| part.cache.is_some()) {
                let why = "openai-responses has them in messages of the user only";
                self.warnings.dropped("a cache point of the assistant", why);
            }
            let Some(first) = group.first() else { continue };
            match &first.content {
                Content::Text(_) | Content::Refusal(_) => self.output(group),
                Content::ToolCall(call) => self.call(call),
                Content::Reasoning(_) => self.reasoning_part(group),
                Content::Raw(foreign) if foreign.dialect != Dialect::OpenaiResponses => {
                    self.warnings.dropped("a part of a message", "only another dialect has it");
                }
                Content::Raw(foreign) if output::is_part(&foreign.json) => self.output(group),
                Content::Raw(foreign) => self.items.raw(&foreign.json),
                Content::Image(_) | Content::Audio(_) | Content::Video(_) | Content::File(_) => {
                    let why = "openai-responses takes it from users only";
                    self.warnings.dropped("what the assistant showed", why);
                }
                Content::ToolResult(_) => {}
            }
        }
    }

    fn output(&mut self, parts: &[Part]) {
        self.items.object(|item| {
            item.text("type", "message");
            item.text("role", "assistant");
            match parts {
                [Part { content: Content::Text(text), .. }] if text.citations.is_empty() => {
                    item.text("content", &text.text);
                }
                _ => item.array("content", |array| {
                    for part in parts {
                        write_output_part(array, &part.content);
                    }
                }),
            }
        });
    }

    fn call(&mut self, call: &ToolCall) {
        if call.signature.is_some() {
            self.warnings.dropped("the proof of a tool call", "another vendor's");
        }
        let form = self.forms.find(&call.name);
        let kind = self.forms.kind(&call.name);
        if kind != CallKind::Function {
            self.other_calls.push((call.id.clone(), kind));
        }
        self.items.object(|item| {
            output::call_kind(item, kind);
            item.text("call_id", &call_id(&call.id));
            if kind != CallKind::ToolSearch {
                item.text("name", form.map_or(&call.name, |form| &form.name));
                item.optional_text("namespace", form.and_then(|form| form.namespace.as_deref()));
            }
            output::call_arguments(item, call, kind);
        });
    }

    /// Writes reasoning. OpenAI accepts only what it has encrypted, or stores under an id. Imitators
    /// have the text as its content, and require an id.
    fn reasoning_part(&mut self, parts: &[Part]) {
        let reasoning = || {
            parts.iter().filter_map(|part| match &part.content {
                Content::Reasoning(reasoning) => Some(reasoning),
                _ => None,
            })
        };
        let own = |signature: &Option<Signature>| {
            signature
                .as_ref()
                .and_then(|it| it.for_provider(Dialect::OpenaiResponses))
                .map(str::to_owned)
        };
        let sealed =
            reasoning().filter_map(|it| own(&it.signature).or(own(&it.sealed))).next_back();
        let is_foreign =
            |it: &Reasoning| (it.signature.is_some() || it.sealed.is_some()) && sealed.is_none();
        let (sealed_id, sealed) = match sealed.as_deref().map(encrypted_content::split_item_id) {
            Some((id, sealed)) => (id, Some(sealed)),
            None => (None, None),
        };
        let id = reasoning().find_map(|it| it.id.as_deref()).filter(|_| self.is_own).or(sealed_id);
        let has_text = reasoning().any(|it| !it.text.is_empty());
        if reasoning().any(is_foreign) {
            self.warnings.dropped("the proof of a thought", "another vendor's");
        }
        let is_known = sealed.is_some() || (id.is_some() && !reasoning().any(is_foreign));
        if !is_known && (self.is_original || !has_text) {
            if has_text {
                self.warnings.dropped("a thought", "openai-responses takes back its own only");
            }
            return;
        }
        self.items.object(|item| {
            item.text("type", "reasoning");
            if let Some(id) = id.or((!self.is_original).then_some("rs_0")) {
                item.text("id", id);
            }
            let texts = |key: &str, kind: &str, item: &mut ObjectWriter<'_>| {
                item.array(key, |array| {
                    for reasoning in reasoning().filter(|reasoning| !reasoning.text.is_empty()) {
                        array.object(|part| {
                            part.text("type", kind);
                            part.text("text", &reasoning.text);
                        });
                    }
                });
            };
            if self.is_original || sealed.is_some() {
                texts("summary", "summary_text", item);
            } else {
                item.array("summary", |_| {});
                texts("content", "reasoning_text", item);
            }
            item.optional_text("encrypted_content", sealed);
        });
    }
}

/// As for the items of a response; a part of another vendor joins the text next to it.
fn is_one_item(before: &Content, next: &Content) -> bool {
    let is_message = |content: &Content| match content {
        Content::Text(_) | Content::Refusal(_) => true,
        Content::Raw(foreign) => {
            foreign.dialect == Dialect::OpenaiResponses && output::is_part(&foreign.json)
        }
        _ => false,
    };
    output::is_one_item(before, next) || (is_message(before) && is_message(next))
}

/// Writes one part of a model's message.
fn write_output_part(array: &mut ArrayWriter<'_>, content: &Content) {
    match content {
        Content::Raw(foreign) => array.raw(&foreign.json),
        Content::Refusal(refusal) => array.object(|part| {
            part.text("type", "refusal");
            part.text("refusal", refusal);
        }),
        Content::Text(text) => array.object(|part| {
            part.text("type", "output_text");
            part.text("text", &text.text);
            part.array("annotations", |array| {
                text.citations.iter().for_each(|it| output::write_citation(array.item(), it));
            });
        }),
        _ => {}
    }
}

fn write_image(object: &mut ObjectWriter<'_>, image: &Image) {
    object.text("type", "input_image");
    // Some imitators require it.
    object.text("detail", image.detail.as_deref().unwrap_or("auto"));
    match &image.media.source {
        MediaSource::Id(id) => object.text("file_id", id),
        _ => object.text("image_url", &image.media.url().unwrap_or_default()),
    }
}

fn write_audio(object: &mut ObjectWriter<'_>, media: &Media) -> Result<(), Unsupported> {
    let MediaSource::Base64(data) = &media.source else {
        return Err(Unsupported::new("audio by address", "openai-responses takes its bytes only"));
    };
    let media_type = media.media_type.as_deref().unwrap_or("audio/wav");
    let format = match media_type.strip_prefix("audio/").unwrap_or(media_type) {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    };
    object.text("type", "input_audio");
    object.object("input_audio", |inner| {
        inner.text("data", data);
        inner.text("format", format);
    });
    Ok(())
}

/// A file name for a document without one; the extension gives its type.
fn file_name(media: &Media) -> &'static str {
    match media.media_type.as_deref() {
        Some("application/pdf") => "document.pdf",
        Some("text/plain") => "document.txt",
        Some("text/markdown") => "document.md",
        Some("text/html") => "document.html",
        Some("text/csv") => "document.csv",
        Some("application/json") => "document.json",
        _ => "document",
    }
}

/// The call id, or its digest if it is too long for OpenAI, in the call and in its result.
fn call_id(id: &str) -> Cow<'_, str> {
    if id.chars().count() <= CALL_ID_MAX {
        return id.into();
    }
    format!("call_{}", digest(id, 48)).into()
}
