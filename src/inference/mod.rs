//! Local models: vectors of texts, computed on the machine itself.
//!
//! An [`Embedder`] is synchronous and belongs to one thread; an [`EmbedderPool`] of embedder
//! threads receives texts from the shards over a bounded queue and never blocks them. The embedder
//! is selected once, from [`EMBEDDERS`]: the int8 pass if the CPU supports it (16 tokens in about
//! 0.9 ms on a Zen 4 core), otherwise the reference in f32 (11 ms).
//!
//! A model's files are data: they are downloaded ([`fetch_model`]), verified against the
//! compiled-in list, and may be missing. Without them there is no embedder, and callers continue
//! without vectors.

mod candle;
mod checkpoint;
mod embedder;
mod embedding;
mod error;
mod fetch;
mod fused;
mod limits;
mod pool;
#[cfg(test)]
mod samples;
mod tokenizer;
mod vectors;

use std::path::Path;

pub use checkpoint::Checkpoint;
pub use embedder::Embedder;
use embedding::check_tokens;
pub use embedding::{Embedding, TokenIds};
pub use error::{EmbedError, ModelError};
pub use fetch::{FetchError, FetchedFile, FileSource, MODEL_FILES, MODEL_NAME, fetch_model};
pub use limits::{DIMENSIONS, TEXT_BYTES_MAX, TOKENS_MAX};
pub use pool::{
    Cancel, EmbedReply, EmbedRequest, EmbedderPool, PoolCounts, PoolOptions, SubmitError, Submitter,
};
pub use tokenizer::Tokenizer;
pub use vectors::{BLOCK, Kernels, LANES, WORDS};

/// A kind of embedder.
#[derive(Clone, Copy, Debug)]
pub struct EmbedderKind {
    /// Its name.
    pub name: &'static str,
    /// True if it runs on this machine.
    pub is_available: fn() -> bool,
    /// Creates one from a model.
    pub open: fn(&Checkpoint) -> Result<Box<dyn Embedder>, ModelError>,
}

/// All kinds, in order of preference.
pub const EMBEDDERS: &[EmbedderKind] = &[
    EmbedderKind { name: "fused", is_available: fused::is_available, open: fused::open },
    EmbedderKind { name: "candle", is_available: candle::is_available, open: candle::open },
];

/// A model ready to run.
pub struct LocalModel {
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// Ids to vectors.
    pub embedder: Box<dyn Embedder>,
    /// Identifies weights and arithmetic: vectors with different ids must not be compared.
    pub id: String,
}

impl LocalModel {
    /// Opens the model in `directory` with the best embedder of this machine.
    ///
    /// # Errors
    /// If a file is missing or invalid.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        // The last kind runs on any machine.
        let mut kinds = EMBEDDERS.iter().filter(|kind| (kind.is_available)());
        Self::open_kind(directory, kinds.next().ok_or(ModelError::Cpu)?)
    }

    /// Opens the model in `directory` with an embedder of this kind.
    ///
    /// # Errors
    /// If a file is missing or invalid, or the machine does not support the kind.
    pub fn open_kind(directory: &Path, kind: &EmbedderKind) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(directory)?;
        let tokenizer = Tokenizer::open(directory)?;
        let embedder = (kind.open)(&checkpoint)?;
        let id = format!("{}-{}", checkpoint.fingerprint(), embedder.version());
        Ok(Self { tokenizer, embedder, id })
    }

    /// Embeds one text.
    ///
    /// # Errors
    /// If the text is too long, or the embedder fails.
    pub fn embed(&mut self, text: &str) -> Result<Embedding, EmbedError> {
        let ids = self.tokenizer.encode(text)?;
        let count = ids.len();
        let mut embeddings = self.embedder.embed(&[ids])?;
        embeddings.pop().ok_or(EmbedError::TokenCount { count })
    }
}
