//! Embeddings on Bedrock through `InvokeModel` (user guide, "Inference request parameters and response
//! fields": Titan Text Embeddings and Cohere Embed, read November 2026). The body has the format of the
//! model's vendor; the model is in the path.
//!
//! Titan embeds one text per call; a request with several is split by [`EmbeddingsRequest::parts`].

use super::format::ProviderEmbeddings;
use super::inputs::{texts, warn_of_user};
use super::{cohere, vector};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{Dialect, EmbeddingsAnswer, EmbeddingsRequest, Node, Usage, write_object};

const DIALECT: Dialect = Dialect::BedrockConverse;

/// Titan Text Embeddings, generation 1.
pub(super) const TITAN_1: Titan = Titan { has_dimensions: false };

/// Titan Text Embeddings, version 2.
pub(super) const TITAN_2: Titan = Titan { has_dimensions: true };

/// Amazon's own format.
pub(super) struct Titan {
    pub(super) has_dimensions: bool,
}

/// Cohere's format, without the model.
pub(super) struct CohereOnBedrock;

/// The path of a call; reserved characters are escaped as Amazon's signature requires.
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

impl ProviderEmbeddings for Titan {
    fn path(&self, target: &TargetModel<'_>) -> String {
        invoke_path(target)
    }

    fn inputs_max(&self, _: &str) -> usize {
        1
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
        let tokens = root.get("inputTextTokenCount").and_then(Node::u64);
        Some(EmbeddingsAnswer {
            vectors: vec![vector::read(root.get("embedding")?)?],
            usage: tokens.map(|input_tokens| Usage { input_tokens, ..Usage::default() }),
            ..EmbeddingsAnswer::default()
        })
    }
}

impl ProviderEmbeddings for CohereOnBedrock {
    fn path(&self, target: &TargetModel<'_>) -> String {
        invoke_path(target)
    }

    fn inputs_max(&self, _: &str) -> usize {
        96
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

    /// The usage is not in the body, but in a header.
    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer> {
        cohere::read_answer(root)
    }
}
