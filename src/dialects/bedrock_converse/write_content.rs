//! Content blocks, for requests and for responses.

use super::formats::{self, Formats};
use super::names::{DocumentNames, tool_id};
use crate::dialects::codec::Unsupported;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, CachePoint, CachePointUse, Citation, Content, Dialect, File, Image, Json, Media,
    MediaSource, ModelFields, ModelRules, ObjectWriter, Part, Reasoning, Signature, Text, ToolCall,
    ToolResult,
};

/// Writer of the blocks of one request.
pub(super) struct Blocks<'w> {
    rules: &'w ModelRules,
    documents: DocumentNames,
    warnings: &'w mut Warnings,
    /// State of the current message.
    has_text: bool,
    document: Option<String>,
}

impl<'w> Blocks<'w> {
    pub(super) fn new(rules: &'w ModelRules, warnings: &'w mut Warnings) -> Self {
        let documents = DocumentNames::default();
        Self { rules, documents, warnings, has_text: false, document: None }
    }

    /// Writes a part, and its cache point.
    ///
    /// # Errors
    /// For media that the service does not accept.
    pub(super) fn write(
        &mut self,
        array: &mut ArrayWriter<'_>,
        content: &Content,
        cache: Option<CachePoint>,
    ) -> Result<(), Unsupported> {
        match content {
            Content::Text(text) => {
                self.has_text = true;
                self.text(array, text);
            }
            Content::Refusal(text) => {
                self.has_text = true;
                array.object(|block| block.text("text", text));
            }
            Content::Image(image) => self.image(array, image)?,
            Content::Audio(media) => write_media(array, "audio", formats::AUDIO, media)?,
            Content::Video(media) => write_media(array, "video", formats::VIDEOS, media)?,
            Content::File(file) => {
                self.document = Some(self.file(array, file)?);
            }
            Content::ToolCall(call) => self.call(array, call),
            Content::ToolResult(result) => self.result(array, result)?,
            Content::Reasoning(reasoning) => self.reasoning_part(array, reasoning),
            Content::Raw(foreign) => array.raw(&foreign.json),
        }
        if let Some(cache) = cache {
            self.cache_point(array, cache);
        }
        Ok(())
    }

    /// Begins a message.
    pub(super) fn begin_message(&mut self) {
        self.has_text = false;
        self.document = None;
    }

    /// Ends a message. One with a document needs text too.
    pub(super) fn end_message(&mut self, array: &mut ArrayWriter<'_>) {
        if let Some(name) = self.document.take().filter(|_| !self.has_text) {
            let how = "its name was added as text, since bedrock-converse wants words beside it";
            self.warnings.changed("a document without words", how);
            array.object(|block| block.text("text", &name));
        }
    }

    fn text(&mut self, array: &mut ArrayWriter<'_>, text: &Text) {
        let is_own = |citation: &Citation| {
            citation
                .original
                .as_ref()
                .is_some_and(|original| original.dialect == Dialect::BedrockConverse)
        };
        if text.citations.is_empty() || !text.citations.iter().all(is_own) {
            if !text.citations.is_empty() {
                self.warnings.dropped("citations of a text", "another dialect's");
            }
            array.object(|block| block.text("text", &text.text));
        } else {
            write_cited(array, text);
        }
    }

    fn image(&mut self, array: &mut ArrayWriter<'_>, image: &Image) -> Result<(), Unsupported> {
        if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.warnings.dropped("detail of an image", "bedrock-converse has no such setting");
        }
        write_media(array, "image", formats::IMAGES, &image.media)
    }

    /// Writes a document and returns the name it was given.
    fn file(&mut self, array: &mut ArrayWriter<'_>, file: &File) -> Result<String, Unsupported> {
        let what = "a document";
        check_source(&file.media, what)?;
        let plain = || {
            let media_type = file.media.media_type.as_deref();
            media_type.is_some_and(|it| it.starts_with("text/")).then_some("txt")
        };
        let format = formats::format_of(formats::DOCUMENTS, &file.media, file.name.as_deref());
        let format = format.or_else(plain).ok_or_else(|| {
            Unsupported::new(
                what,
                "bedrock-converse takes pdf, csv, doc, docx, xls, xlsx, html, txt, md",
            )
        })?;
        let name = self.documents.next(file.name.as_deref());
        array.object(|block| {
            block.object("document", |document| {
                document.text("format", format);
                document.text("name", &name);
                write_source(document, &file.media);
                document.optional_text("context", file.context.as_deref());
                if file.with_citations {
                    document.object("citations", |citations| citations.flag("enabled", true));
                }
            });
        });
        Ok(name)
    }

    fn call(&mut self, array: &mut ArrayWriter<'_>, call: &ToolCall) {
        if call.signature.is_some() {
            self.warnings.dropped("the signature of a call", "another vendor signed it");
        }
        let input = input(&call.arguments);
        if input.is_none() {
            let how = "wrapped into an object, which bedrock-converse wants";
            self.warnings.changed("arguments of a call that are no object", how);
        }
        let id = tool_id(&call.id, self.rules.model_fields);
        write_call(array, &id, &call.name, input, &call.arguments);
    }

    fn result(
        &mut self,
        array: &mut ArrayWriter<'_>,
        result: &ToolResult,
    ) -> Result<(), Unsupported> {
        let id = tool_id(&result.id, self.rules.model_fields);
        array.object(|block| {
            block.object("toolResult", |object| {
                object.text("toolUseId", &id);
                object.array("content", |content| {
                    result.parts.iter().try_for_each(|part| self.result_part(content, part))
                })?;
                if result.is_error {
                    object.text("status", "error");
                }
                Ok(())
            })
        })
    }

    fn result_part(&mut self, array: &mut ArrayWriter<'_>, part: &Part) -> Result<(), Unsupported> {
        match &part.content {
            Content::Text(Text { text, .. }) | Content::Refusal(text) => {
                if !is_blank(text) {
                    array.object(|block| block.text("text", text));
                }
            }
            Content::Image(image) => self.image(array, image)?,
            Content::Video(media) => write_media(array, "video", formats::VIDEOS, media)?,
            Content::File(file) => {
                self.file(array, file)?;
            }
            Content::Raw(foreign) if foreign.dialect == Dialect::BedrockConverse => {
                array.raw(&foreign.json);
            }
            Content::Audio(_) => {
                let why = "bedrock-converse takes text, images, documents and videos there";
                return Err(Unsupported::new("audio in the result of a tool", why));
            }
            _ => self.warnings.dropped("a part of a tool result", "bedrock-converse has none such"),
        }
        Ok(())
    }

    fn reasoning_part(&self, array: &mut ArrayWriter<'_>, reasoning: &Reasoning) {
        let sealed = reasoning
            .sealed
            .as_ref()
            .and_then(|sealed| sealed.for_provider(Dialect::BedrockConverse));
        let signature = own_signature(reasoning.signature.as_ref(), self.rules);
        write_reasoning(array, &reasoning.text, signature, sealed);
    }

    fn cache_point(&mut self, array: &mut ArrayWriter<'_>, cache: CachePoint) {
        let is_short = self.rules.cache_points == Some(CachePointUse::Turns);
        if is_short && cache == CachePoint::Hour {
            self.warnings.changed("a cache point of an hour", "this model's live five minutes");
            write_cache_point(array, CachePoint::Default);
        } else {
            write_cache_point(array, cache);
        }
    }
}

pub(super) fn write_cache_point(array: &mut ArrayWriter<'_>, cache: CachePoint) {
    array.object(|block| {
        block.object("cachePoint", |point| {
            point.text("type", "default");
            if cache == CachePoint::Hour {
                point.text("ttl", "1h");
            }
        });
    });
}

/// The arguments as an object, which the service requires. None if they are not one.
pub(super) fn input(arguments: &str) -> Option<Json> {
    if arguments.trim().is_empty() {
        return Some(Json::of_written("{}".to_owned()));
    }
    Json::parse_object(arguments)
}

/// Writes a call. Arguments that are not an object are put into one.
pub(super) fn write_call(
    array: &mut ArrayWriter<'_>,
    id: &str,
    name: &str,
    input: Option<Json>,
    arguments: &str,
) {
    array.object(|block| {
        block.object("toolUse", |object| {
            object.text("toolUseId", id);
            object.text("name", name);
            match input {
                Some(input) => object.raw("input", &input),
                None => object.object("input", |inner| inner.text("arguments", arguments)),
            }
        });
    });
}

pub(super) fn write_reasoning(
    array: &mut ArrayWriter<'_>,
    text: &str,
    signature: Option<&str>,
    sealed: Option<&str>,
) {
    array.object(|block| {
        block.object("reasoningContent", |content| match sealed {
            Some(sealed) => content.text("redactedContent", sealed),
            None => content.object("reasoningText", |inner| {
                inner.text("text", text);
                inner.optional_text("signature", signature);
            }),
        });
    });
}

/// Writes a text with its citations.
pub(super) fn write_cited(array: &mut ArrayWriter<'_>, text: &Text) {
    array.object(|block| {
        block.object("citationsContent", |content| {
            content.array("content", |inner| {
                inner.object(|piece| piece.text("text", &text.text));
            });
            content.array("citations", |inner| {
                for citation in &text.citations {
                    match citation
                        .original
                        .as_ref()
                        .filter(|it| it.dialect == Dialect::BedrockConverse)
                    {
                        Some(original) => inner.raw(&original.json),
                        None => inner.object(|object| write_citation(object, citation)),
                    }
                }
            });
        });
    });
}

/// Writes the members of a citation of another dialect.
pub(super) fn write_citation(object: &mut ObjectWriter<'_>, citation: &Citation) {
    object.optional_text("title", citation.title.as_deref());
    object.optional_text("source", citation.url.as_deref());
    if let Some(quote) = &citation.quote {
        object.array("sourceContent", |array| array.object(|piece| piece.text("text", quote)));
    }
    if let Some(url) = &citation.url {
        object.object("location", |location| {
            location.object("web", |web| web.text("url", url));
        });
    }
}

/// Writes a media block.
pub(super) fn write_media(
    array: &mut ArrayWriter<'_>,
    kind: &str,
    formats: Formats,
    media: &Media,
) -> Result<(), Unsupported> {
    let what = match kind {
        "image" => "an image",
        "video" => "a video",
        _ => "sound",
    };
    check_source(media, what)?;
    let format = formats::format_of(formats, media, None)
        .ok_or_else(|| Unsupported::new(what, "bedrock-converse has no word for its media type"))?;
    array.object(|block| {
        block.object(kind, |object| {
            object.text("format", format);
            write_source(object, media);
        });
    });
    Ok(())
}

/// Checks that the source is embedded, or in Amazon's storage.
fn check_source(media: &Media, what: &str) -> Result<(), Unsupported> {
    match &media.source {
        MediaSource::Base64(_) => Ok(()),
        MediaSource::Url(url) if url.starts_with("s3://") => Ok(()),
        MediaSource::Url(_) => {
            let why = "bedrock-converse fetches nothing but s3:// addresses; send its bytes, or \
                       let the gateway fetch https:// pictures (egress.fetch_pictures)";
            Err(Unsupported::new(&format!("{what} by address"), why))
        }
        MediaSource::Id(_) => {
            let why = "bedrock-converse keeps no files; send its bytes";
            Err(Unsupported::new(&format!("{what} by file id"), why))
        }
    }
}

fn write_source(object: &mut ObjectWriter<'_>, media: &Media) {
    object.object("source", |source| match &media.source {
        MediaSource::Base64(bytes) => source.text("bytes", bytes),
        MediaSource::Url(uri) => source.object("s3Location", |location| location.text("uri", uri)),
        MediaSource::Id(_) => {}
    });
}

/// True for text that is empty or white space, which the service rejects.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// The signature, if a model with those `rules` accepts it. Claude accepts Anthropic's on every
/// platform (Claude docs, "Extended thinking").
pub(super) fn own_signature<'s>(
    signature: Option<&'s Signature>,
    rules: &ModelRules,
) -> Option<&'s str> {
    let signature = signature?;
    let of_anthropic = || match rules.model_fields {
        Some(ModelFields::Anthropic) => signature.for_provider(Dialect::AnthropicMessages),
        _ => None,
    };
    signature.for_provider(Dialect::BedrockConverse).or_else(of_anthropic)
}
