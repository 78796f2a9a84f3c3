//! Text to token ids: WordPiece as the model was trained with.

use std::path::Path;

use tokenizers::{TruncationParams, utils::truncation::TruncationDirection};

use super::checkpoint::read;
use super::{EmbedError, ModelError, TEXT_BYTES_MAX, TOKENS_MAX, TokenIds};

/// A model's vocabulary. Reading needs no exclusive access: threads may share one.
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads `tokenizer.json` from a model's folder. Its padding and truncation settings are
    /// overridden: texts are not padded, and truncated to [`TOKENS_MAX`].
    ///
    /// # Errors
    /// If the file is missing or not a tokenizer.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        let path = directory.join("tokenizer.json");
        let json = read(&path)?;
        let odd = |error: tokenizers::Error| ModelError::Tokenizer {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json).map_err(odd)?;
        let truncation = TruncationParams {
            max_length: TOKENS_MAX,
            direction: TruncationDirection::Right,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(odd)?;
        tokenizer.with_padding(None);
        Ok(Self(tokenizer))
    }

    /// At most [`TOKENS_MAX`] ids, including `[CLS]` and `[SEP]`. 16 µs for 16 tokens.
    ///
    /// # Errors
    /// If the text has more than [`TEXT_BYTES_MAX`] bytes.
    pub fn encode(&self, text: &str) -> Result<TokenIds, EmbedError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(EmbedError::TextSize { bytes: text.len() });
        }
        let encoding = self
            .0
            .encode_fast(text, true)
            .map_err(|error| EmbedError::Tokenizer { reason: error.to_string() })?;
        Ok(TokenIds(encoding.get_ids().to_vec()))
    }
}
