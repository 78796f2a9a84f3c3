//! Local models: texts to vectors on the machine itself, without a call to anyone.
//!
//! An [`Embedder`] is synchronous and belongs to one thread; a [`EmbedderPool`] of embedder threads takes
//! texts from the shards over a bounded queue and never makes them wait. Which embedder runs is
//! decided once, by [`EMBEDDERS`]: our own int8 pass where the CPU has the instructions (16 tokens
//! in about 0.9 ms on a Zen 4 core), else the reference in f32 (11 ms).
//!
//! A model's files are data: they are fetched ([`fetch_model`]), checked against the list compiled
//! in, and may be missing. Then there is no embedder, and whoever needs one goes without.

mod candle;
mod checkpoint;
mod embedding;
mod fetch;
mod fused;
mod pool;
#[cfg(test)]
mod samples;
mod tokenizer;
mod vectors;

use std::io;
use std::path::{Path, PathBuf};

pub use checkpoint::Checkpoint;
use embedding::check_tokens;
pub use embedding::{Embedding, TokenIds};
pub use fetch::{FetchError, FetchedFile, FileSource, MODEL_FILES, MODEL_NAME, fetch_model};
pub use pool::{
    Cancel, EmbedReply, EmbedRequest, EmbedderPool, PoolCounts, PoolOptions, SubmitError, Submitter,
};
pub use tokenizer::{TEXT_BYTES_MAX, Tokenizer};
pub use vectors::{BLOCK, Kernels, LANES, WORDS};

/// Numbers in an [`Embedding`].
pub const DIMENSIONS: usize = 384;

/// Tokens of a text that are read, `[CLS]` and `[SEP]` included; what comes after does not count.
/// 256 is what all-MiniLM-L6-v2 was published with (its card, 2021).
pub const TOKENS_MAX: usize = 256;

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
    /// When a sequence is empty, longer than [`TOKENS_MAX`] or names an id the model has not; then
    /// none is embedded.
    fn embed(&mut self, sequences: &[TokenIds]) -> Result<Vec<Embedding>, EmbedError>;

    /// An embedder for another thread, of the same weights in the same memory.
    fn share(&self) -> Box<dyn Embedder>;
}

/// A kind of embedder.
#[derive(Clone, Copy, Debug)]
pub struct EmbedderKind {
    /// What it is called.
    pub name: &'static str,
    /// True if it runs on this machine.
    pub is_available: fn() -> bool,
    /// Makes one of a model.
    pub open: fn(&Checkpoint) -> Result<Box<dyn Embedder>, ModelError>,
}

/// All kinds, the best first.
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
    /// Names weights and arithmetic: vectors of one id may be compared, vectors of two must not.
    pub id: String,
}

impl LocalModel {
    /// Opens the model in `directory` with the best embedder of this machine.
    ///
    /// # Errors
    /// When a file is missing or not what it should be.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        // The last kind runs anywhere.
        let mut kinds = EMBEDDERS.iter().filter(|kind| (kind.is_available)());
        Self::open_kind(directory, kinds.next().ok_or(ModelError::Cpu)?)
    }

    /// Opens the model in `directory` with an embedder of this kind.
    ///
    /// # Errors
    /// When a file is missing or not what it should be, or the machine lacks what the kind needs.
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
    /// When the text is too long to be read, or the embedder fails.
    pub fn embed(&mut self, text: &str) -> Result<Embedding, EmbedError> {
        let ids = self.tokenizer.encode(text)?;
        let count = ids.len();
        let mut embeddings = self.embedder.embed(&[ids])?;
        embeddings.pop().ok_or(EmbedError::TokenCount { count })
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the model is missing or unreadable.
    #[error("cannot read {}: {source}; `ringgate models fetch` brings the model", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any model's.
    #[error("{} has {bytes} bytes, expected at most {bytes_max}", path.display())]
    Size {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The configuration is not that of a model the embedders are written for.
    #[error("{} is not a configuration of MiniLM's shape: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The weights are no safetensors file, or a truncated one.
    #[error("{} is not a whole safetensors file: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is missing, or has another type or shape than the configuration says.
    #[error("tensor {name} of {}: {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The vocabulary cannot be read.
    #[error("{} is not a tokenizer: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The CPU lacks the instructions.
    #[error("this CPU has neither AVX-512 with VNNI nor AVX2, which the fused embedder needs")]
    Cpu,
    /// The reference implementation refused the model.
    #[error("candle cannot load the model: {reason}")]
    Candle {
        /// What it said.
        reason: String,
    },
}

/// Why a text has no vector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// More text than is ever read.
    #[error("expected at most {TEXT_BYTES_MAX} bytes of text, got {bytes}")]
    TextSize {
        /// Its size.
        bytes: usize,
    },
    /// The vocabulary could not take the text apart.
    #[error("the tokenizer failed: {reason}")]
    Tokenizer {
        /// What it said.
        reason: String,
    },
    /// A sequence that no embedder takes.
    #[error("expected 1 to {TOKENS_MAX} tokens, got {count}")]
    TokenCount {
        /// How many there were.
        count: usize,
    },
    /// The tokenizer is not that of the model.
    #[error("token {id} is not in the model's vocabulary of {vocabulary}")]
    TokenId {
        /// The id.
        id: u32,
        /// How many words the model has.
        vocabulary: usize,
    },
    /// The reference implementation failed.
    #[error("candle failed: {reason}")]
    Candle {
        /// What it said.
        reason: String,
    },
    /// The embedder has a bug, of which standard error tells.
    #[error("the embedder panicked")]
    Panicked,
    /// Nobody waits for it any more: cancelled, or past its deadline.
    #[error("given up before an embedder thread had time for it")]
    Abandoned,
    /// The embedder threads have ended.
    #[error("the embedder threads have ended")]
    Stopped,
}
