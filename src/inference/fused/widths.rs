//! Sizes of MiniLM's layers.

use crate::inference::DIMENSIONS;

/// Width of a token's state.
pub(super) const HIDDEN: usize = DIMENSIONS;
/// Attention heads.
pub(super) const HEADS: usize = 12;
/// Width of a head.
pub(super) const HEAD_WIDTH: usize = HIDDEN / HEADS;
/// Width between the two feed-forward layers.
pub(super) const FEED_FORWARD: usize = 4 * HIDDEN;
