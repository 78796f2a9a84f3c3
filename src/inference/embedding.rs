//! Input and output of embedders: token ids and vectors.

use super::{DIMENSIONS, EmbedError, TOKENS_MAX};

/// The tokens of a text: ids from the vocabulary, `[CLS]` first and `[SEP]` last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIds(pub Vec<u32>);

impl std::ops::Deref for TokenIds {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.0
    }
}

/// Checks that a sequence can be embedded: 1 to [`TOKENS_MAX`] ids below `vocabulary`.
pub(super) fn check_tokens(ids: &TokenIds, vocabulary: usize) -> Result<(), EmbedError> {
    if ids.is_empty() || ids.len() > TOKENS_MAX {
        return Err(EmbedError::TokenCount { count: ids.len() });
    }
    match ids.iter().find(|id| **id as usize >= vocabulary) {
        Some(id) => Err(EmbedError::TokenId { id: *id, vocabulary }),
        None => Ok(()),
    }
}

/// The vector of a text: [`DIMENSIONS`] f32, of length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Box<[f32; DIMENSIONS]>);

impl Embedding {
    /// The mean of `states`, row-major and [`DIMENSIONS`] wide, normalized to length 1.
    #[must_use]
    pub fn mean_of(states: &[f32]) -> Self {
        let mut sum = Box::new([0.0; DIMENSIONS]);
        for state in states.chunks_exact(DIMENSIONS) {
            sum.iter_mut().zip(state).for_each(|(sum, number)| *sum += number);
        }
        // The sum has the direction of the mean; the length is normalized away.
        let length = sum.iter().map(|number| number * number).sum::<f32>().sqrt();
        let factor = 1.0 / length.max(f32::MIN_POSITIVE);
        sum.iter_mut().for_each(|number| *number *= factor);
        Self(sum)
    }

    /// The components.
    #[must_use]
    pub fn as_array(&self) -> &[f32; DIMENSIONS] {
        &self.0
    }

    /// Cosine similarity: -1 to 1, 1 for the same direction.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        self.0.iter().zip(other.0.iter()).map(|(a, b)| a * b).sum()
    }
}
