//! Why a model cannot be used, and why a text has no vector.

use std::io;
use std::path::PathBuf;

use super::limits::{TEXT_BYTES_MAX, TOKENS_MAX};

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
