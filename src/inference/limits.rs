//! Sizes that all embedders share.

/// Components of an `Embedding`.
pub const DIMENSIONS: usize = 384;

/// Tokens of a text that are used, including `[CLS]` and `[SEP]`; the rest is ignored. 256 is the
/// published limit of all-MiniLM-L6-v2 (its card, 2021).
pub const TOKENS_MAX: usize = 256;

/// Bytes of a text that are tokenized. 256 tokens of English are 1.1 KB; the rest is for long words
/// and for scripts with three bytes per letter.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
