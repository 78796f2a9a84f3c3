//! Voyage's embeddings (API reference, "Text embedding models", and the types of its own client 0.5, read
//! November 2026): OpenAI's but for the names of the length, and with a purpose.

use super::openai::{self, encoding};
use super::{EmbeddingsCodec, at_least_one, purpose, text_inputs, texts, warn_of_user};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, EmbeddingsAnswer, EmbeddingsRequest, Malformed, Node, VectorEncoding, Within,
    write_object,
};

/// Voyage is reached through OpenAI's dialect, and so are members that it alone knows.
const DIALECT: Dialect = Dialect::OpenaiChat;

/// The shape.
pub(super) struct Voyage;

impl EmbeddingsCodec for Voyage {
    fn path(&self, _: &TargetModel<'_>) -> String {
        "/embeddings".to_owned()
    }

    fn inputs_max(&self, _: &str) -> usize {
        1000
    }

    fn read_request(
        &self,
        root: Node<'_>,
        _: Option<&str>,
    ) -> Result<EmbeddingsRequest, Malformed> {
        let mut request = EmbeddingsRequest::default();
        for (key, value) in root.members() {
            if !value.is_null() {
                member(&mut request, key, value).within(key)?;
            }
        }
        at_least_one(&request, "input")?;
        Ok(request)
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
                let word = purpose::word(purpose::VOYAGE, wanted, warnings);
                root.optional_text("input_type", word);
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

fn member(request: &mut EmbeddingsRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "input" => request.inputs = text_inputs(value)?,
        "output_dimension" => request.dimensions = Some(value.expect_u64()?),
        "encoding_format" => request.encoding = encoding(value)?,
        "input_type" => {
            let word = purpose::read(purpose::VOYAGE, value.expect_text()?);
            request.purpose = Some(word.ok_or_else(|| Malformed::new("query or document"))?);
        }
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}
