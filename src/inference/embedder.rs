//! The trait of all embedders.

use super::{EmbedError, Embedding, TokenIds};

/// Computes vectors from token ids. Owned by one thread, since it contains working memory.
pub trait Embedder: Send {
    /// Name and version of the arithmetic. Vectors of two versions may differ in their last digits
    /// and should not be mixed if that matters.
    fn version(&self) -> &'static str;

    /// Recommended batch size; larger batches are allowed.
    fn batch_max(&self) -> usize;

    /// One vector per sequence, in order.
    ///
    /// # Errors
    /// If a sequence is empty, longer than [`TOKENS_MAX`](super::TOKENS_MAX) or contains an id
    /// outside the vocabulary; then none is embedded.
    fn embed(&mut self, sequences: &[TokenIds]) -> Result<Vec<Embedding>, EmbedError>;

    /// An embedder for another thread that shares the weights.
    fn share(&self) -> Box<dyn Embedder>;
}
