//! Embeddings on Bedrock through `InvokeModel` (user guide, "Inference request parameters and response
//! fields": Titan Text Embeddings and Cohere Embed, read November 2026), whose bodies are those of each
//! model's vendor. The model is in the path.
//!
//! Titan embeds one text a call; a request with several goes in [`EmbeddingsRequest::parts`].

use super::{EmbeddingsCodec, cohere, texts, vector, warn_of_user};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Malformed, Node, Usage, Within,
    write_object,
};

const DIALECT: Dialect = Dialect::BedrockConverse;

/// Titan Text Embeddings, generation 1.
pub(super) const TITAN_1: Titan = Titan { has_dimensions: false };

/// Titan Text Embeddings, version 2.
pub(super) const TITAN_2: Titan = Titan { has_dimensions: true };

/// Amazon's own shape.
pub(super) struct Titan {
    has_dimensions: bool,
}

/// Cohere's shape, without the model.
pub(super) struct CohereOnBedrock;

/// The path of a call; whatever is no plain letter of a path is escaped, as Amazon's signature has it.
fn invoke_path(target: &TargetModel<'_>) -> String {
    let mut path = "/model/".to_owned();
    for byte in target.model.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path.push_str("/invoke");
    path
}

impl EmbeddingsCodec for Titan {
    fn path(&self, target: &TargetModel<'_>) -> String {
        invoke_path(target)
    }

    fn inputs_max(&self, _: &str) -> usize {
        1
    }

    fn read_request(
        &self,
        root: Node<'_>,
        model: Option<&str>,
    ) -> Result<EmbeddingsRequest, Malformed> {
        let text = root.expect_text_at("inputText")?.to_owned();
        let mut request = EmbeddingsRequest {
            model: model.unwrap_or_default().to_owned(),
            inputs: vec![EmbeddingsInput::Text(text)],
            ..EmbeddingsRequest::default()
        };
        for (key, value) in root.members() {
            match key {
                "inputText" => {}
                "dimensions" => request.dimensions = Some(value.expect_u64().within(key)?),
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
        if request.purpose.is_some() {
            warnings.dropped("input_type", "titan has one kind of vector");
        }
        if request.dimensions.is_some() && !self.has_dimensions {
            return Err(Unsupported::new("a length of vectors", "this model has one only"));
        }
        let [text] = texts(request)?[..] else {
            return Err(Unsupported::new("several inputs at once", "titan embeds one text a call"));
        };
        write_object(out, |root| {
            root.text("inputText", text);
            root.optional_number("dimensions", request.dimensions);
            extra_fields::write_flat(root, &request.extra_fields, DIALECT, warnings);
        });
        Ok(())
    }

    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        let told = root.get("inputTextTokenCount").and_then(Node::u64);
        Some(EmbeddingsAnswer {
            vectors: vec![vector::read(root.get("embedding")?)?],
            usage: told.map(|input_tokens| Usage { input_tokens, ..Usage::default() }),
            ..EmbeddingsAnswer::default()
        })
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

impl EmbeddingsCodec for CohereOnBedrock {
    fn path(&self, target: &TargetModel<'_>) -> String {
        invoke_path(target)
    }

    fn inputs_max(&self, _: &str) -> usize {
        96
    }

    fn read_request(
        &self,
        root: Node<'_>,
        model: Option<&str>,
    ) -> Result<EmbeddingsRequest, Malformed> {
        cohere::read_request(root, model, DIALECT)
    }

    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        _: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        write_object(out, |root| cohere::write_members(root, request, DIALECT, warnings))
    }

    /// What it used is not in the body, but in a header field.
    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        cohere::read_answer(root)
    }

    fn write_answer(
        &self,
        answer: &EmbeddingsAnswer,
        request: &EmbeddingsRequest,
        out: &mut Vec<u8>,
    ) {
        let silent = EmbeddingsAnswer { usage: None, ..answer.clone() };
        cohere::write_answer(&silent, request, out);
    }
}
