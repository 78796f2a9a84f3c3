//! The client half of the formats that only vendors serve, for tests that play the vendor: it reads
//! what `write_request` wrote, and writes what `read_answer` reads.

use super::bedrock::{CohereOnBedrock, Titan};
use super::cohere::Cohere;
use super::format::ClientEmbeddings;
use super::inputs::{at_least_one, text_inputs};
use super::vertex::Vertex;
use super::voyage::Voyage;
use super::{openai, purpose, vector};
use crate::dialects::extra_fields;
use crate::llm::{
    Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Malformed, Media, Node, Within,
    write_object,
};

impl ClientEmbeddings for Voyage {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        let mut request = EmbeddingsRequest::default();
        root.read_members(|key, value| voyage_member(&mut request, key, value))?;
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
            openai::write_data(root, answer, request);
            root.text("model", &answer.model);
            if let Some(usage) = &answer.usage {
                root.object("usage", |object| object.number("total_tokens", usage.input_tokens));
            }
        });
    }
}

fn voyage_member(
    request: &mut EmbeddingsRequest,
    key: &str,
    value: Node<'_>,
) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "input" => request.inputs = text_inputs(value)?,
        "output_dimension" => request.dimensions = Some(value.expect_u64()?),
        "encoding_format" => request.encoding = openai::encoding(value)?,
        "input_type" => {
            let name = purpose::read(purpose::VOYAGE, value.expect_text()?);
            request.purpose = Some(name.ok_or_else(|| Malformed::new("query or document"))?);
        }
        _ => extra_fields::keep(&mut request.extra_fields, Dialect::OpenaiChat, key, value),
    }
    Ok(())
}

impl ClientEmbeddings for Vertex {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        let mut request = EmbeddingsRequest::default();
        let instances = root.expect("instances", "an array")?;
        request.inputs = instances
            .read_items(|item| {
                if let Some(name) = item.text_at("task_type")? {
                    request.purpose = purpose::read(purpose::GOOGLE, name);
                }
                let text = item.expect_text_at("content")?.to_owned();
                Ok(EmbeddingsInput::Text(text))
            })
            .within("instances")?;
        at_least_one(&request, "instances")?;
        let Some(parameters) = root.get("parameters") else { return Ok(request) };
        let read = parameters.read_members(|key, value| {
            match key {
                "outputDimensionality" => request.dimensions = Some(value.expect_u64()?),
                _ => extra_fields::keep(&mut request.extra_fields, Dialect::Gemini, key, value),
            }
            Ok(())
        });
        read.within("parameters")?;
        Ok(request)
    }

    fn write_answer(&self, answer: &EmbeddingsAnswer, _: &EmbeddingsRequest, out: &mut Vec<u8>) {
        // Vertex counts for each input; here the first has the sum.
        let mut tokens = answer.usage.map(|usage| usage.input_tokens);
        write_object(out, |root| {
            root.array("predictions", |array| {
                for numbers in &answer.vectors {
                    array.object(|prediction| {
                        prediction.object("embeddings", |embeddings| {
                            vector::write(embeddings.key("values"), numbers);
                            if let Some(count) = tokens.as_mut().map(std::mem::take) {
                                embeddings.object("statistics", |statistics| {
                                    statistics.flag("truncated", false);
                                    statistics.number("token_count", count);
                                });
                            }
                        });
                    });
                }
            });
        });
    }
}

impl ClientEmbeddings for Titan {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        let text = root.expect_text_at("inputText")?.to_owned();
        let mut request = EmbeddingsRequest {
            inputs: vec![EmbeddingsInput::Text(text)],
            ..EmbeddingsRequest::default()
        };
        root.read_members(|key, value| {
            let extra = &mut request.extra_fields;
            match key {
                "inputText" => {}
                "dimensions" => request.dimensions = Some(value.expect_u64()?),
                _ => extra_fields::keep(extra, Dialect::BedrockConverse, key, value),
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn write_answer(&self, answer: &EmbeddingsAnswer, _: &EmbeddingsRequest, out: &mut Vec<u8>) {
        let vector = answer.vectors.first().map(Vec::as_slice).unwrap_or_default();
        write_object(out, |root| {
            vector::write(root.key("embedding"), vector);
            let tokens = answer.usage.map(|usage| usage.input_tokens);
            root.optional_number("inputTextTokenCount", tokens);
            if self.has_dimensions {
                root.object("embeddingsByType", |kinds| vector::write(kinds.key("float"), vector));
            }
        });
    }
}

impl ClientEmbeddings for Cohere {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        read_cohere_request(root, Dialect::CohereChat)
    }

    fn write_answer(
        &self,
        answer: &EmbeddingsAnswer,
        request: &EmbeddingsRequest,
        out: &mut Vec<u8>,
    ) {
        write_cohere_answer(answer, request, out);
    }
}

impl ClientEmbeddings for CohereOnBedrock {
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed> {
        read_cohere_request(root, Dialect::BedrockConverse)
    }

    fn write_answer(
        &self,
        answer: &EmbeddingsAnswer,
        request: &EmbeddingsRequest,
        out: &mut Vec<u8>,
    ) {
        let without_usage = EmbeddingsAnswer { usage: None, ..answer.clone() };
        write_cohere_answer(&without_usage, request, out);
    }
}

fn read_cohere_request(root: Node<'_>, dialect: Dialect) -> Result<EmbeddingsRequest, Malformed> {
    let mut request = EmbeddingsRequest::default();
    root.read_members(|key, value| {
        match key {
            "model" => request.model = value.expect_text()?.to_owned(),
            "texts" => request.inputs.extend(text_inputs(value)?),
            "images" => request.inputs.extend(value.read_items(image)?),
            "inputs" => request.inputs.extend(value.read_items(mixed)?),
            "output_dimension" => request.dimensions = Some(value.expect_u64()?),
            "input_type" => {
                request.purpose = purpose::read(purpose::COHERE, value.expect_text()?);
            }
            "embedding_types" if is_floats(value) => {}
            _ => extra_fields::keep(&mut request.extra_fields, dialect, key, value),
        }
        Ok(())
    })?;
    at_least_one(&request, "texts")?;
    Ok(request)
}

fn is_floats(value: Node<'_>) -> bool {
    value.count() == 1 && value.items().all(|item| item.text() == Some("float"))
}

fn image(value: Node<'_>) -> Result<EmbeddingsInput, Malformed> {
    value.expect_text().map(|url| EmbeddingsInput::Image(Media::of_url(url)))
}

/// Reads one of `inputs`, which has one part here.
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

fn write_cohere_answer(answer: &EmbeddingsAnswer, request: &EmbeddingsRequest, out: &mut Vec<u8>) {
    let texts = request.inputs.iter().filter_map(|input| match input {
        EmbeddingsInput::Text(text) => Some(text.as_str()),
        _ => None,
    });
    write_object(out, |root| {
        root.text("id", &answer.id);
        root.text("response_type", "embeddings_by_type");
        root.texts("texts", texts);
        root.object("embeddings", |kinds| {
            kinds.array("float", |array| {
                answer.vectors.iter().for_each(|vector| vector::write(array.item(), vector));
            });
        });
        if let Some(usage) = &answer.usage {
            root.object("meta", |meta| {
                meta.object("billed_units", |units| {
                    let images = usage.input_image_tokens;
                    units.number("input_tokens", usage.input_tokens.saturating_sub(images));
                    if images > 0 {
                        units.number("image_tokens", images);
                    }
                });
            });
        }
    });
}
