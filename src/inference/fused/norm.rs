//! Residual sum and layer normalisation, in f32.
#![expect(clippy::indexing_slicing, reason = "shapes are checked when the model is loaded")]

use super::simd::{Simd, Stage};

/// BERT's epsilon, added to the variance.
const EPSILON: f32 = 1e-12;

/// The learned parameters of a layer normalization.
#[derive(Debug)]
pub(super) struct LayerNorm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// `rows = norm(rows + added)`, both row-major and as wide as the norm.
pub(super) struct AddAndNormalize<'a> {
    pub(super) rows: &'a mut [f32],
    pub(super) added: &'a [f32],
    pub(super) norm: &'a LayerNorm,
}

impl Stage for AddAndNormalize<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.norm.weight.len();
        let rows = self.rows.chunks_exact_mut(width);
        for (row, added) in rows.zip(self.added.chunks_exact(width)) {
            let mean = add(simd, row, added) / width as f32;
            let variance = centre(simd, row, mean) / width as f32;
            stretch(simd, row, 1.0 / (variance + EPSILON).sqrt(), self.norm);
        }
    }
}

/// `row += added`; returns the row's sum. Two chains of additions, here and below, so that neither
/// waits for the other.
#[inline(always)]
fn add<S: Simd>(simd: S, row: &mut [f32], added: &[f32]) -> f32 {
    let mut sums = [simd.splat(0.0); 2];
    let pairs = added.chunks_exact(2 * S::LANES);
    for (row, added) in row.chunks_exact_mut(2 * S::LANES).zip(pairs) {
        for (chain, sum) in sums.iter_mut().enumerate() {
            let row = &mut row[chain * S::LANES..];
            let total = simd.add(simd.load(row), simd.load(&added[chain * S::LANES..]));
            *sum = simd.add(*sum, total);
            simd.store(total, row);
        }
    }
    simd.sum(simd.add(sums[0], sums[1]))
}

/// `row -= mean`; returns the sum of the squares.
#[inline(always)]
fn centre<S: Simd>(simd: S, row: &mut [f32], mean: f32) -> f32 {
    let mean = simd.splat(mean);
    let mut sums = [simd.splat(0.0); 2];
    for row in row.chunks_exact_mut(2 * S::LANES) {
        for (chain, sum) in sums.iter_mut().enumerate() {
            let row = &mut row[chain * S::LANES..];
            let centred = simd.subtract(simd.load(row), mean);
            *sum = simd.multiply_add(centred, centred, *sum);
            simd.store(centred, row);
        }
    }
    simd.sum(simd.add(sums[0], sums[1]))
}

/// `row = row × factor × weight + bias`.
#[inline(always)]
fn stretch<S: Simd>(simd: S, row: &mut [f32], factor: f32, norm: &LayerNorm) {
    let factor = simd.splat(factor);
    let learned = norm.weight.chunks_exact(S::LANES).zip(norm.bias.chunks_exact(S::LANES));
    for (row, (weight, bias)) in row.chunks_exact_mut(S::LANES).zip(learned) {
        let weight = simd.multiply(factor, simd.load(weight));
        simd.store(simd.multiply_add(simd.load(row), weight, simd.load(bias)), row);
    }
}
