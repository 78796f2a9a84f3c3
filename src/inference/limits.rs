//! Sizes that all embedders share.

/// Numbers in an [`Embedding`].
pub const DIMENSIONS: usize = 384;

/// Tokens of a text that are read, `[CLS]` and `[SEP]` included; what comes after does not count.
/// 256 is what all-MiniLM-L6-v2 was published with (its card, 2021).
pub const TOKENS_MAX: usize = 256;

/// Bytes of a text that is taken apart. 256 tokens of English are 1.1 KB; the rest is room for long
/// words and for scripts that take three bytes a letter.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
