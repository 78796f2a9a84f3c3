//! OpenAI's embeddings (API reference, "Embeddings", read November 2026), which many vendors imitate.
//!
//! Beyond the reference it reads common extensions: `input_type` with the values of any vendor, and
//! inputs that are objects with a `text`, an `image` (Jina) or an `image_url`. OpenAI itself rejects
//! unknown members, so that only imitators receive these.

use super::format::{ClientEmbeddings, ProviderEmbeddings};
use super::inputs::{at_least_one, text_inputs};
use super::{purpose, vector};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Malformed, Media,
    Node, ObjectWriter, Usage, VectorEncoding, write_object,
};

const DIALECT: Dialect = Dialect::OpenaiChat;

pub(super) struct Openai;

impl ClientEmbeddings for Openai {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        let mut request = EmbeddingsRequest::default();
        root.read_members(|key, value| member(&mut request, key, value))?;
        at_least_one(&request, "input")?;
        Ok(request)
    }

    fn write_answer(
        &self,
        answer: &EmbeddingsAnswer,
        request: &EmbeddingsRequest,
        out: &mut Vec<u8>,
    ) {
        write_object(out, |root| {
            root.text("object", "list");
            write_data(root, answer, request);
            root.text("model", &answer.model);
            // OpenAI's clients require the counts, even if the provider sent none.
            let tokens = answer.usage.unwrap_or_default().input_tokens;
            root.object("usage", |usage| {
                usage.number("prompt_tokens", tokens);
                usage.number("total_tokens", tokens);
            });
        });
    }
}

impl ProviderEmbeddings for Openai {
    fn path(&self, _: &TargetModel<'_>) -> String {
        "/embeddings".to_owned()
    }

    fn inputs_max(&self, _: &str) -> usize {
        2048
    }

    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        let is_image = |input: &EmbeddingsInput| matches!(input, EmbeddingsInput::Image(_));
        if target.is_original && request.inputs.iter().any(is_image) {
            return Err(Unsupported::new("an image", "openai embeds text only"));
        }
        write_object(out, |root| {
            root.text("model", target.model);
            root.array("input", |array| {
                request.inputs.iter().try_for_each(|input| write_input(array, input))
            })?;
            root.optional_number("dimensions", request.dimensions);
            if request.encoding == VectorEncoding::Base64 {
                root.text("encoding_format", "base64");
            }
            if let Some(wanted) = request.purpose {
                if target.is_original {
                    warnings.dropped("input_type", "openai has no such member");
                } else {
                    let name = purpose::name(purpose::VOYAGE, wanted, warnings);
                    root.optional_text("input_type", name);
                }
            }
            root.optional_text("user", request.user.as_deref());
            extra_fields::write_flat(root, &request.extra_fields, DIALECT, warnings);
            Ok(())
        })
    }

    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        read_answer(root)
    }
}

fn member(request: &mut EmbeddingsRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "input" => request.inputs = inputs(value)?,
        "dimensions" => request.dimensions = Some(value.expect_u64()?),
        "encoding_format" => request.encoding = encoding(value)?,
        "input_type" => request.purpose = Some(purpose::read_any(value.expect_text()?)?),
        "user" => request.user = Some(value.expect_text()?.to_owned()),
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}

/// Reads `encoding_format`, which Voyage has too.
pub(super) fn encoding(value: Node<'_>) -> Result<VectorEncoding, Malformed> {
    match value.text() {
        Some("float") => Ok(VectorEncoding::Floats),
        Some("base64") => Ok(VectorEncoding::Base64),
        _ => Err(Malformed::new("float or base64")),
    }
}

/// Reads one text, several, the token ids of one input, or those of several.
fn inputs(value: Node<'_>) -> Result<Vec<EmbeddingsInput>, Malformed> {
    let is_one = value.items().next().is_some_and(|first| first.f64().is_some());
    if is_one {
        return Ok(vec![tokens(value)?]);
    }
    let is_plain = value.items().all(|item| item.text().is_some());
    if is_plain || !value.is_array() {
        return text_inputs(value);
    }
    value.read_items(|item| {
        if item.is_array() {
            tokens(item)
        } else if item.is_object() {
            part(item)
        } else {
            Ok(EmbeddingsInput::Text(item.expect_text()?.to_owned()))
        }
    })
}

fn tokens(value: Node<'_>) -> Result<EmbeddingsInput, Malformed> {
    value.read_items(Node::expect_u64).map(EmbeddingsInput::Tokens)
}

fn part(value: Node<'_>) -> Result<EmbeddingsInput, Malformed> {
    if let Some(text) = value.text_at("text")? {
        return Ok(EmbeddingsInput::Text(text.to_owned()));
    }
    let url = value.get("image_url");
    let url = url.and_then(|url| url.text().or_else(|| url.get("url")?.text()));
    match value.text_at("image")?.or(url) {
        Some(url) => Ok(EmbeddingsInput::Image(Media::of_url(url))),
        None => Err(Malformed::new("an object with text or image")),
    }
}

fn write_input(array: &mut ArrayWriter<'_>, input: &EmbeddingsInput) -> Result<(), Unsupported> {
    match input {
        EmbeddingsInput::Text(text) => array.text(text),
        EmbeddingsInput::Tokens(tokens) => crate::llm::write_array(array.item(), |ids| {
            let mut digits = itoa::Buffer::new();
            tokens.iter().for_each(|id| {
                ids.item().extend_from_slice(digits.format(*id).as_bytes());
            });
        }),
        EmbeddingsInput::Image(media) => {
            let url = media.url().ok_or_else(|| {
                Unsupported::new("an image by file id", "the provider takes a URL or the bytes")
            })?;
            array.object(|object| object.text("image", &url));
        }
    }
    Ok(())
}

/// Reads the response of OpenAI or an imitator.
pub(super) fn read_answer(root: Node<'_>) -> Option<EmbeddingsAnswer> {
    let data = root.get("data").filter(|data| data.is_array())?;
    let mut vectors = Vec::with_capacity(data.count());
    for (place, item) in (0_u64..).zip(data.items()) {
        let index = item.get("index").and_then(Node::u64).unwrap_or(place);
        vectors.push((index, vector::read(item.get("embedding")?)?));
    }
    // The order is that of the inputs, except at servers that ignore the reference.
    vectors.sort_by_key(|(index, _)| *index);
    Some(EmbeddingsAnswer {
        id: root.text_of("id").to_owned(),
        model: root.text_of("model").to_owned(),
        vectors: vectors.into_iter().map(|(_, vector)| vector).collect(),
        usage: root.get("usage").and_then(Usage::read),
    })
}

/// Writes `data` in the encoding that the request asks for.
pub(super) fn write_data(
    root: &mut ObjectWriter<'_>,
    answer: &EmbeddingsAnswer,
    request: &EmbeddingsRequest,
) {
    root.array("data", |array| {
        for (index, numbers) in (0_u64..).zip(&answer.vectors) {
            array.object(|item| {
                item.text("object", "embedding");
                item.number("index", index);
                match request.encoding {
                    VectorEncoding::Floats => vector::write(item.key("embedding"), numbers),
                    VectorEncoding::Base64 => item.text("embedding", &vector::base64(numbers)),
                }
            });
        }
    });
}
