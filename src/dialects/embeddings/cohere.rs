//! Cohere's embeddings, version 2 (API reference, "Embed", read November 2026).
//!
//! `input_type` is required. Its default here is `search_document`, for which most texts are embedded,
//! and `image` for images, as the reference requires. Vectors are always requested as floats; the
//! gateway encodes base64 for clients that want it.

use super::format::ProviderEmbeddings;
use super::inputs::{no_tokens, warn_of_user};
use super::{purpose, vector};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, MediaSource, Node,
    ObjectWriter, Usage, write_object,
};

const DIALECT: Dialect = Dialect::CohereChat;

pub(super) struct Cohere;

impl ProviderEmbeddings for Cohere {
    fn path(&self, _: &TargetModel<'_>) -> String {
        "/v2/embed".to_owned()
    }

    fn inputs_max(&self, _: &str) -> usize {
        96
    }

    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        write_object(out, |root| {
            root.text("model", target.model);
            write_members(root, request, DIALECT, warnings)
        })
    }

    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        read_answer(root)
    }
}

/// Writes all members except the model.
pub(super) fn write_members(
    root: &mut ObjectWriter<'_>,
    request: &EmbeddingsRequest,
    dialect: Dialect,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    warn_of_user(request, warnings);
    let is_text = |input: &EmbeddingsInput| matches!(input, EmbeddingsInput::Text(_));
    let has_texts = request.inputs.iter().any(is_text);
    let has_others = request.inputs.iter().any(|input| !is_text(input));
    let key = match (has_texts, has_others) {
        (true, true) => "inputs",
        (false, true) => "images",
        _ => "texts",
    };
    root.array(key, |array| {
        request.inputs.iter().try_for_each(|input| write_input(array, input, key == "inputs"))
    })?;
    let name = request.purpose.and_then(|it| purpose::name(purpose::COHERE, it, warnings));
    let usual = if has_texts { "search_document" } else { "image" };
    root.text("input_type", name.unwrap_or(usual));
    root.optional_number("output_dimension", request.dimensions);
    let types = |(key, foreign): &(String, crate::llm::DialectJson)| {
        key == "embedding_types" && foreign.dialect == dialect
    };
    if !request.extra_fields.iter().any(types) {
        root.texts("embedding_types", ["float"]);
    }
    extra_fields::write_flat(root, &request.extra_fields, dialect, warnings);
    Ok(())
}

fn write_input(
    array: &mut ArrayWriter<'_>,
    input: &EmbeddingsInput,
    is_mixed: bool,
) -> Result<(), Unsupported> {
    match input {
        EmbeddingsInput::Tokens(_) => return Err(no_tokens()),
        EmbeddingsInput::Text(text) if is_mixed => part(array, |part| {
            part.text("type", "text");
            part.text("text", text);
        }),
        EmbeddingsInput::Text(text) => array.text(text),
        EmbeddingsInput::Image(media) => {
            let url = match &media.source {
                MediaSource::Base64(_) => media.url().unwrap_or_default(),
                MediaSource::Url(_) | MediaSource::Id(_) => {
                    let why = "cohere embeds pictures from their bytes only";
                    return Err(Unsupported::new("an image by address", why));
                }
            };
            if is_mixed {
                part(array, |part| {
                    part.text("type", "image_url");
                    part.object("image_url", |inner| inner.text("url", &url));
                });
            } else {
                array.text(&url);
            }
        }
    }
    Ok(())
}

/// Writes one of `inputs`, with one part.
fn part(array: &mut ArrayWriter<'_>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
    array.object(|input| input.array("content", |content| content.object(fill)));
}

/// Reads a response, with vectors by type, or as floats only if no type was requested.
pub(super) fn read_answer(root: Node<'_>) -> Option<EmbeddingsAnswer> {
    let embeddings = root.get("embeddings")?;
    let vectors = embeddings.get("float").or_else(|| embeddings.get("base64"));
    Some(EmbeddingsAnswer {
        id: root.text_of("id").to_owned(),
        model: String::new(),
        vectors: vector::read_all(vectors.unwrap_or(embeddings))?,
        usage: root.get("meta").and_then(|meta| usage(meta.get("billed_units")?)),
    })
}

/// The billed tokens; those of images are counted separately.
fn usage(billed: Node<'_>) -> Option<Usage> {
    let count = |key: &str| billed.get(key).and_then(Node::u64).unwrap_or(0);
    let images = count("image_tokens");
    // `text_tokens` repeats `input_tokens` if both are present.
    let texts = count("input_tokens").max(count("text_tokens"));
    let counts = ["input_tokens", "text_tokens", "image_tokens"].iter();
    counts.clone().any(|key| billed.get(key).is_some()).then(|| Usage {
        input_tokens: texts.saturating_add(images),
        input_image_tokens: images,
        ..Usage::default()
    })
}
