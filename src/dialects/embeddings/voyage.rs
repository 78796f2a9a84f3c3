//! Voyage's embeddings (API reference, "Text embedding models", and the types of its own client 0.5,
//! read November 2026): OpenAI's format with another name for the dimensions, and with a purpose.

use super::format::ProviderEmbeddings;
use super::inputs::{texts, warn_of_user};
use super::{openai, purpose};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, EmbeddingsAnswer, EmbeddingsRequest, Node, VectorEncoding, write_object,
};

/// Voyage has OpenAI's dialect, and so do its own members.
const DIALECT: Dialect = Dialect::OpenaiChat;

pub(super) struct Voyage;

impl ProviderEmbeddings for Voyage {
    fn path(&self, _: &TargetModel<'_>) -> String {
        "/embeddings".to_owned()
    }

    fn inputs_max(&self, _: &str) -> usize {
        1000
    }

    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        warn_of_user(request, warnings);
        let texts = texts(request)?;
        write_object(out, |root| {
            root.text("model", target.model);
            root.texts("input", texts);
            root.optional_number("output_dimension", request.dimensions);
            if let Some(wanted) = request.purpose {
                let name = purpose::name(purpose::VOYAGE, wanted, warnings);
                root.optional_text("input_type", name);
            }
            if request.encoding == VectorEncoding::Base64 {
                root.text("encoding_format", "base64");
            }
            extra_fields::write_flat(root, &request.extra_fields, DIALECT, warnings);
        });
        Ok(())
    }

    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        openai::read_answer(root)
    }
}
