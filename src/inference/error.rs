//! Why a model cannot be loaded, and why a text cannot be embedded.

use std::io;
use std::path::PathBuf;

use super::limits::{TEXT_BYTES_MAX, TOKENS_MAX};

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the model is missing or unreadable.
    #[error("cannot read {}: {source}; `ringgate models fetch` brings the model", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file exceeds the size limit.
    #[error("{} has {bytes} bytes, expected at most {bytes_max}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// The configuration is not supported by the embedders.
    #[error("{} is not a configuration of MiniLM's shape: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The weights are not a safetensors file, or truncated.
    #[error("{} is not a whole safetensors file: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is missing, or has another type or shape than configured.
    #[error("tensor {name} of {}: {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The vocabulary cannot be parsed.
    #[error("{} is not a tokenizer: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The CPU lacks the instructions of this embedder.
    #[error("this CPU has neither AVX-512 with VNNI nor AVX2, which the fused embedder needs")]
    Cpu,
    /// candle rejected the model.
    #[error("candle cannot load the model: {reason}")]
    Candle {
        /// Its error.
        reason: String,
    },
}

/// Why a text cannot be embedded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The text is longer than the limit.
    #[error("expected at most {TEXT_BYTES_MAX} bytes of text, got {bytes}")]
    TextSize {
        /// Its size in bytes.
        bytes: usize,
    },
    /// The tokenizer failed.
    #[error("the tokenizer failed: {reason}")]
    Tokenizer {
        /// Its error.
        reason: String,
    },
    /// The sequence is empty or too long.
    #[error("expected 1 to {TOKENS_MAX} tokens, got {count}")]
    TokenCount {
        /// Number of tokens.
        count: usize,
    },
    /// The tokenizer does not belong to the model.
    #[error("token {id} is not in the model's vocabulary of {vocabulary}")]
    TokenId {
        /// The id.
        id: u32,
        /// Size of the model's vocabulary.
        vocabulary: usize,
    },
    /// candle failed.
    #[error("candle failed: {reason}")]
    Candle {
        /// Its error.
        reason: String,
    },
    /// The embedder panicked; standard error has the message.
    #[error("the embedder panicked")]
    Panicked,
    /// The request was canceled, or is past its deadline.
    #[error("given up before an embedder thread had time for it")]
    Abandoned,
    /// The embedder threads have stopped.
    #[error("the embedder threads have ended")]
    Stopped,
}
