//! The trait of all embedders.

use super::{EmbedError, Embedding, TokenIds};

/// Turns token ids into vectors. One thread's own: working memory is inside.
pub trait Embedder: Send {
    /// Name and version of the arithmetic. Vectors of two versions may differ in their last digits
    /// and are not to be mixed where that matters.
    fn version(&self) -> &'static str;

    /// Sequences that are best embedded together; more may be given.
    fn batch_max(&self) -> usize;

    /// One vector for each sequence, in their order.
    ///
    /// # Errors
    /// When a sequence is empty, longer than [`TOKENS_MAX`](super::TOKENS_MAX) or names an id the model has not; then
    /// none is embedded.
    fn embed(&mut self, sequences: &[TokenIds]) -> Result<Vec<Embedding>, EmbedError>;

    /// An embedder for another thread, of the same weights in the same memory.
    fn share(&self) -> Box<dyn Embedder>;
}
