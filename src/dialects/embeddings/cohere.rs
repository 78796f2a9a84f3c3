//! Cohere's embeddings, version 2 (API reference, "Embed", read November 2026).
//!
//! What the vectors are for is required there. Where the client says nothing it is `search_document`,
//! the kind that most texts are embedded as, and `image` for pictures, which the reference wants.
//! Numbers are always asked for as floats: a client that wants base64 gets it from the gateway.

use super::{EmbeddingsCodec, at_least_one, no_tokens, purpose, text_inputs, vector, warn_of_user};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Malformed, Media,
    MediaSource, Node, ObjectWriter, Usage, Within, write_object,
};

const DIALECT: Dialect = Dialect::CohereChat;

/// The shape.
pub(super) struct Cohere;

impl EmbeddingsCodec for Cohere {
    fn path(&self, _: &TargetModel<'_>) -> String {
        "/v2/embed".to_owned()
    }

    fn inputs_max(&self, _: &str) -> usize {
        96
    }

    fn read_request(
        &self,
        root: Node<'_>,
        model: Option<&str>,
    ) -> Result<EmbeddingsRequest, Malformed> {
        read_request(root, model, DIALECT)
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

    fn write_answer(
        &self,
        answer: &EmbeddingsAnswer,
        request: &EmbeddingsRequest,
        out: &mut Vec<u8>,
    ) {
        write_answer(answer, request, out);
    }
}

/// Reads what Cohere has, at its own address and elsewhere.
pub(super) fn read_request(
    root: Node<'_>,
    model: Option<&str>,
    dialect: Dialect,
) -> Result<EmbeddingsRequest, Malformed> {
    let model = model.unwrap_or_default().to_owned();
    let mut request = EmbeddingsRequest { model, ..EmbeddingsRequest::default() };
    for (key, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "model" => request.model = value.expect_text().within(key)?.to_owned(),
            "texts" => request.inputs.extend(text_inputs(value).within(key)?),
            "images" => request.inputs.extend(value.read_items(image).within(key)?),
            "inputs" => request.inputs.extend(value.read_items(mixed).within(key)?),
            "output_dimension" => request.dimensions = Some(value.expect_u64().within(key)?),
            "input_type" => {
                request.purpose = purpose::read(purpose::COHERE, value.expect_text().within(key)?);
            }
            "embedding_types" if is_floats(value) => {}
            _ => extra_fields::keep(&mut request.extra_fields, dialect, key, value),
        }
    }
    at_least_one(&request, "texts")?;
    Ok(request)
}

fn is_floats(value: Node<'_>) -> bool {
    value.count() == 1 && value.items().all(|item| item.text() == Some("float"))
}

fn image(value: Node<'_>) -> Result<EmbeddingsInput, Malformed> {
    value.expect_text().map(|url| EmbeddingsInput::Image(Media::of_url(url)))
}

/// One of `inputs`: of its parts, one is read, which is all that other shapes can say.
fn mixed(value: Node<'_>) -> Result<EmbeddingsInput, Malformed> {
    let content = value.expect("content", "an array of parts")?;
    let parts = content.read_items(|part| {
        if let Some(text) = part.text_at("text")? {
            return Ok(EmbeddingsInput::Text(text.to_owned()));
        }
        let url = part.expect("image_url", "an object with a url")?;
        let url = url.text().map_or_else(|| url.expect_text_at("url"), Ok).within("image_url")?;
        Ok(EmbeddingsInput::Image(Media::of_url(url)))
    });
    let mut parts = parts.within("content")?.into_iter();
    match (parts.next(), parts.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Malformed::new("an array of one part")).within("content"),
    }
}

/// Writes all members but the model.
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
    let word = request.purpose.and_then(|it| purpose::word(purpose::COHERE, it, warnings));
    let usual = if has_texts { "search_document" } else { "image" };
    root.text("input_type", word.unwrap_or(usual));
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

/// Writes one of `inputs` with one part.
fn part(array: &mut ArrayWriter<'_>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
    array.object(|input| input.array("content", |content| content.object(fill)));
}

/// Reads an answer: by kinds of numbers, or, where no kind was asked for, floats alone.
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

/// What is billed: tokens of text, and of pictures, which are counted apart.
fn usage(billed: Node<'_>) -> Option<Usage> {
    let count = |key: &str| billed.get(key).and_then(Node::u64).unwrap_or(0);
    let pictures = count("image_tokens");
    // `text_tokens` repeats `input_tokens` where there are both.
    let words = count("input_tokens").max(count("text_tokens"));
    let is_told = ["input_tokens", "text_tokens", "image_tokens"].iter();
    is_told.clone().any(|key| billed.get(key).is_some()).then(|| Usage {
        input_tokens: words.saturating_add(pictures),
        input_image_tokens: pictures,
        ..Usage::default()
    })
}

/// Appends an answer by kinds of numbers.
pub(super) fn write_answer(
    answer: &EmbeddingsAnswer,
    request: &EmbeddingsRequest,
    out: &mut Vec<u8>,
) {
    let texts = request.inputs.iter().filter_map(|input| match input {
        EmbeddingsInput::Text(text) => Some(text.as_str()),
        _ => None,
    });
    write_object(out, |root| {
        root.text("id", &answer.id);
        root.text("response_type", "embeddings_by_type");
        root.texts("texts", texts);
        root.object("embeddings", |kinds| {
            kinds.array("float", |array| vector::write_all(array, &answer.vectors));
        });
        if let Some(usage) = &answer.usage {
            root.object("meta", |meta| {
                meta.object("billed_units", |units| {
                    let pictures = usage.input_image_tokens;
                    units.number("input_tokens", usage.input_tokens.saturating_sub(pictures));
                    if pictures > 0 {
                        units.number("image_tokens", pictures);
                    }
                });
            });
        }
    });
}
