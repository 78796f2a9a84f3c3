//! Google's embeddings at Vertex AI (generative AI reference, "Text embeddings API", read November
//! 2026), which go through the older `predict`.

use super::{EmbeddingsCodec, at_least_one, purpose, texts, vector, warn_of_user};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Malformed, Node, Usage, Within,
    write_object,
};

const DIALECT: Dialect = Dialect::Gemini;

/// The shape.
pub(super) struct Vertex;

impl EmbeddingsCodec for Vertex {
    fn path(&self, target: &TargetModel<'_>) -> String {
        format!("/models/{}:predict", target.model)
    }

    fn inputs_max(&self, model: &str) -> usize {
        if model.contains("gemini-embedding") { 1 } else { 250 }
    }

    fn read_request(
        &self,
        root: Node<'_>,
        model: Option<&str>,
    ) -> Result<EmbeddingsRequest, Malformed> {
        let model = model.unwrap_or_default().to_owned();
        let mut request = EmbeddingsRequest { model, ..EmbeddingsRequest::default() };
        let instances = root.expect("instances", "an array")?;
        request.inputs = instances
            .read_items(|item| {
                if let Some(word) = item.text_at("task_type")? {
                    request.purpose = purpose::read(purpose::GOOGLE, word);
                }
                let text = item.expect_text_at("content")?.to_owned();
                Ok(EmbeddingsInput::Text(text))
            })
            .within("instances")?;
        at_least_one(&request, "instances")?;
        let parameters = root.get("parameters");
        for (key, value) in parameters.into_iter().flat_map(Node::members) {
            match key {
                "outputDimensionality" => {
                    let read = value.expect_u64().within(key).within("parameters");
                    request.dimensions = Some(read?);
                }
                _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
            }
        }
        Ok(request)
    }

    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        _: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        warn_of_user(request, warnings);
        let word = request.purpose.and_then(|it| purpose::word(purpose::GOOGLE, it, warnings));
        let texts = texts(request)?;
        write_object(out, |root| {
            root.array("instances", |array| {
                for text in texts {
                    array.object(|instance| {
                        instance.text("content", text);
                        instance.optional_text("task_type", word);
                    });
                }
            });
            root.object("parameters", |parameters| {
                parameters.optional_number("outputDimensionality", request.dimensions);
                extra_fields::write_flat(parameters, &request.extra_fields, DIALECT, warnings);
            });
        });
        Ok(())
    }

    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        let predictions = root.get("predictions").filter(|it| it.is_array())?;
        let mut answer = EmbeddingsAnswer::default();
        let mut tokens = Some(0_u64);
        for prediction in predictions.items() {
            let embeddings = prediction.get("embeddings")?;
            answer.vectors.push(vector::read(embeddings.get("values")?)?);
            let count = embeddings.get("statistics").and_then(|it| it.get("token_count"));
            let count = count.and_then(Node::u64);
            tokens = tokens.zip(count).map(|(sum, count)| sum.saturating_add(count));
        }
        answer.usage = tokens.map(|input_tokens| Usage { input_tokens, ..Usage::default() });
        Some(answer)
    }

    fn write_answer(&self, answer: &EmbeddingsAnswer, _: &EmbeddingsRequest, out: &mut Vec<u8>) {
        // Counted for each input there: here all of it with the first.
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
