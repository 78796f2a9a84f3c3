//! Google's embeddings at Vertex AI (generative AI reference, "Text embeddings API", read November
//! 2026), which go through the older `predict`.

use super::format::ProviderEmbeddings;
use super::inputs::{texts, warn_of_user};
use super::{purpose, vector};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{Dialect, EmbeddingsAnswer, EmbeddingsRequest, Node, Usage, write_object};

const DIALECT: Dialect = Dialect::Gemini;

pub(super) struct Vertex;

impl ProviderEmbeddings for Vertex {
    fn path(&self, target: &TargetModel<'_>) -> String {
        format!("/models/{}:predict", target.model)
    }

    fn inputs_max(&self, model: &str) -> usize {
        if model.contains("gemini-embedding") { 1 } else { 250 }
    }

    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        _: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        warn_of_user(request, warnings);
        let name = request.purpose.and_then(|it| purpose::name(purpose::GOOGLE, it, warnings));
        let texts = texts(request)?;
        write_object(out, |root| {
            root.array("instances", |array| {
                for text in texts {
                    array.object(|instance| {
                        instance.text("content", text);
                        instance.optional_text("task_type", name);
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
}
