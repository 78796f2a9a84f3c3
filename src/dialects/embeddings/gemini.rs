//! Google's embeddings at AI Studio (Gemini API reference, "Embeddings", read November 2026).
//!
//! The gateway calls `batchEmbedContents`, also for one input. A request of `embedContent` lacks
//! `requests`, and its response has `embedding` instead of `embeddings`; both are read.

use super::format::{ClientEmbeddings, ProviderEmbeddings};
use super::inputs::{at_least_one, no_tokens, warn_of_user};
use super::{purpose, vector};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Malformed, Media, MediaSource,
    Node, ObjectWriter, Usage, Within, write_object,
};

const DIALECT: Dialect = Dialect::Gemini;

pub(super) struct Gemini;

impl ClientEmbeddings for Gemini {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        let mut request = EmbeddingsRequest::default();
        match root.get("requests") {
            Some(requests) => {
                let read = requests.read_items(|item| one(&mut request, item));
                read.within("requests")?;
            }
            None => one(&mut request, root)?,
        }
        at_least_one(&request, "requests")?;
        Ok(request)
    }

    fn write_answer(&self, answer: &EmbeddingsAnswer, _: &EmbeddingsRequest, out: &mut Vec<u8>) {
        write_object(out, |root| {
            root.array("embeddings", |array| {
                for numbers in &answer.vectors {
                    array.object(|item| vector::write(item.key("values"), numbers));
                }
            });
            write_usage(root, answer);
        });
    }
}

impl ProviderEmbeddings for Gemini {
    fn path(&self, target: &TargetModel<'_>) -> String {
        format!("/models/{}:batchEmbedContents", target.model)
    }

    fn inputs_max(&self, _: &str) -> usize {
        100
    }

    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        warn_of_user(request, warnings);
        let name = request.purpose.and_then(|it| purpose::name(purpose::GOOGLE, it, warnings));
        write_object(out, |root| {
            root.array("requests", |array| {
                request.inputs.iter().try_for_each(|input| {
                    array.object(|object| {
                        object.text("model", &format!("models/{}", target.model));
                        object.object("content", |content| write_content(content, input))?;
                        object.optional_text("taskType", name);
                        object.optional_number("outputDimensionality", request.dimensions);
                        extra_fields::write_flat(object, &request.extra_fields, DIALECT, warnings);
                        Ok(())
                    })
                })
            })
        })
    }

    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        let values = |item: Node<'_>| vector::read(item.get("values")?);
        let vectors = match (root.get("embeddings"), root.get("embedding")) {
            (Some(several), _) if several.is_array() => {
                several.items().map(values).collect::<Option<_>>()?
            }
            (_, Some(one)) => vec![values(one)?],
            _ => return None,
        };
        let counts = root.get("usageMetadata").and_then(|usage| usage.get("promptTokenCount"));
        let usage = |input_tokens| Usage { input_tokens, ..Usage::default() };
        Some(EmbeddingsAnswer {
            vectors,
            usage: counts.and_then(Node::u64).map(usage),
            ..EmbeddingsAnswer::default()
        })
    }
}

/// The format of `embedContent`, whose response is one vector.
pub(super) struct EmbedContent;

impl ClientEmbeddings for EmbedContent {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        Gemini.read_request(root)
    }

    fn write_answer(&self, answer: &EmbeddingsAnswer, _: &EmbeddingsRequest, out: &mut Vec<u8>) {
        let numbers = answer.vectors.first().map(Vec::as_slice).unwrap_or_default();
        write_object(out, |root| {
            root.object("embedding", |item| vector::write(item.key("values"), numbers));
            write_usage(root, answer);
        });
    }
}

fn write_usage(root: &mut ObjectWriter<'_>, answer: &EmbeddingsAnswer) {
    if let Some(usage) = &answer.usage {
        root.object("usageMetadata", |counts| {
            counts.number("promptTokenCount", usage.input_tokens);
        });
    }
}

/// Reads one request of a batch. The settings of the last apply to all.
fn one(request: &mut EmbeddingsRequest, value: Node<'_>) -> Result<(), Malformed> {
    let content = value.expect("content", "an object with parts")?;
    let input = input(content).within("content")?;
    request.inputs.push(input);
    let is_first = request.inputs.len() == 1;
    for (key, value) in value.members() {
        match key {
            "content" => {}
            "model" => {
                let name = value.expect_text().within(key)?;
                name.strip_prefix("models/").unwrap_or(name).clone_into(&mut request.model);
            }
            "taskType" => {
                request.purpose = purpose::read(purpose::GOOGLE, value.expect_text().within(key)?);
            }
            "outputDimensionality" => {
                request.dimensions = Some(value.expect_u64().within(key)?);
            }
            _ if is_first => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
            _ => {}
        }
    }
    Ok(())
}

/// The only part of a content: a text or an image. Several texts are joined.
fn input(content: Node<'_>) -> Result<EmbeddingsInput, Malformed> {
    let parts = content.expect("parts", "an array of parts")?;
    let read = parts.read_items(|part| {
        if let Some(text) = part.text_at("text")? {
            return Ok(EmbeddingsInput::Text(text.to_owned()));
        }
        let data = part.expect("inlineData", "a part with text or inlineData")?;
        let media_type = data.expect_text_at("mimeType").within("inlineData")?;
        let bytes = data.expect_text_at("data").within("inlineData")?;
        Ok(EmbeddingsInput::Image(Media::base64(media_type, bytes)))
    });
    let mut whole: Option<EmbeddingsInput> = None;
    for part in read.within("parts")? {
        whole = Some(match (whole, part) {
            (None, part) => part,
            (Some(EmbeddingsInput::Text(before)), EmbeddingsInput::Text(text)) => {
                EmbeddingsInput::Text(before + &text)
            }
            _ => return Err(Malformed::new("parts of text, or one picture")).within("parts"),
        });
    }
    whole.ok_or_else(|| Malformed::new("at least one part")).within("parts")
}

fn write_content(
    content: &mut ObjectWriter<'_>,
    input: &EmbeddingsInput,
) -> Result<(), Unsupported> {
    content.array("parts", |parts| match input {
        EmbeddingsInput::Text(text) => {
            parts.object(|part| part.text("text", text));
            Ok(())
        }
        EmbeddingsInput::Tokens(_) => Err(no_tokens()),
        EmbeddingsInput::Image(media) => match &media.source {
            MediaSource::Base64(data) => {
                let media_type = media.media_type.as_deref().unwrap_or("image/png");
                parts.object(|part| {
                    part.object("inlineData", |inner| {
                        inner.text("mimeType", media_type);
                        inner.text("data", data);
                    });
                });
                Ok(())
            }
            MediaSource::Url(_) | MediaSource::Id(_) => {
                let why = "gemini embeds pictures from their bytes only";
                Err(Unsupported::new("an image by address", why))
            }
        },
    })
}
