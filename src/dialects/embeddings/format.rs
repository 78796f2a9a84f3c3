//! What every format of embeddings can do, in two halves: one for clients, one for providers.

use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::warnings::Warnings;
use crate::llm::{EmbeddingsAnswer, EmbeddingsRequest, Malformed, Node};

/// The half of a format that faces clients.
pub trait ClientEmbeddings: Sync {
    /// Reads a request. The model is empty if the format has it in the URL.
    ///
    /// # Errors
    /// If a known member has the wrong type or a required one is missing.
    fn read_request(&self, root: Node<'_>) -> Result<EmbeddingsRequest, Malformed>;

    /// Appends the response to `request`.
    fn write_answer(
        &self,
        answer: &EmbeddingsAnswer,
        request: &EmbeddingsRequest,
        out: &mut Vec<u8>,
    );
}

/// The half of a format that faces providers.
pub trait ProviderEmbeddings: Sync {
    /// The path, relative to the provider's base URL.
    fn path(&self, target: &TargetModel<'_>) -> String;

    /// How many inputs one call to `model` accepts; see [`EmbeddingsRequest::parts`].
    fn inputs_max(&self, model: &str) -> usize;

    /// Appends the request as `target` accepts it.
    ///
    /// # Errors
    /// If the target does not support what the request asks for.
    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported>;

    /// Reads a response. None if it is not one, or has a vector that is not of numbers.
    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer>;
}
