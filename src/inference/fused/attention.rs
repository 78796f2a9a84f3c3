//! Self-attention of all heads, in f32.
//!
//! For each head the keys are transposed, so that a register holds one component of the keys of
//! neighboring tokens. Then, for a few queries at a time: scores, softmax, weighted values. The
//! scores of those queries stay in the L1 cache, all sums in registers.
#![expect(clippy::indexing_slicing, reason = "shapes are checked when the model is loaded")]
#![expect(clippy::needless_range_loop, reason = "several arrays are walked side by side")]

use super::simd::{Simd, Stage, power_of_two, row_groups, with_row_count};
use super::widths::{HEAD_WIDTH, HEADS, HIDDEN};

/// Width of a token's row: its query, key and value.
const ROW: usize = 3 * HIDDEN;

/// Registers of values summed at a time; divides a head on every instruction set.
const VALUE_REGISTERS: usize = 2;

/// Lower than any score, and far from overflow.
const NO_SCORE: f32 = -1e30;

/// Working memory of [`Attend`], reused between calls.
#[derive(Debug)]
pub(super) struct AttentionWorkspace {
    /// A head's keys, `HEAD_WIDTH × tokens`.
    keys: Vec<f32>,
    /// The scores of a group of queries, `queries × tokens`.
    scores: Vec<f32>,
}

impl AttentionWorkspace {
    /// Memory for so many tokens, a multiple of `S::LANES`.
    pub(super) fn for_tokens<S: Simd>(tokens_max: usize) -> Self {
        Self {
            keys: vec![0.0; HEAD_WIDTH * tokens_max],
            scores: vec![0.0; S::TILE_ROWS * tokens_max],
        }
    }
}

/// `output[i] = Σ softmax(query[i] · key[j] ÷ √HEAD_WIDTH) × value[j]`, head by head.
pub(super) struct Attend<'a> {
    /// `tokens × (query, key, value)`, each `HIDDEN` wide.
    pub(super) qkv: &'a [f32],
    pub(super) workspace: &'a mut AttentionWorkspace,
    /// `tokens × HIDDEN`.
    pub(super) output: &'a mut [f32],
}

impl Stage for Attend<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tokens = self.qkv.len() / ROW;
        let padded = tokens.next_multiple_of(S::LANES);
        for head in 0..HEADS {
            let keys = &mut self.workspace.keys[..HEAD_WIDTH * padded];
            turn_keys(self.qkv, head, padded, keys);
            let head = Head { qkv: self.qkv, keys, index: head, tokens, padded };
            for group in row_groups(tokens, S::TILE_ROWS) {
                let (count, first) = (group.len(), group.start);
                let scores = &mut self.workspace.scores[..count * padded];
                with_row_count!(S, count, attend, simd, &head, first, scores, self.output);
            }
        }
    }
}

/// One head in one call.
struct Head<'a> {
    qkv: &'a [f32],
    /// `HEAD_WIDTH × padded`.
    keys: &'a [f32],
    index: usize,
    tokens: usize,
    /// `tokens`, rounded up to whole registers.
    padded: usize,
}

impl Head<'_> {
    #[inline(always)]
    fn query(&self, token: usize) -> &[f32] {
        &self.qkv[token * ROW + self.index * HEAD_WIDTH..][..HEAD_WIDTH]
    }
}

/// Transposes the head's keys, tokens side by side. Values past the last token are not overwritten:
/// finite numbers, whose scores are not used.
#[inline(always)]
fn turn_keys(qkv: &[f32], head: usize, padded: usize, keys: &mut [f32]) {
    for (token, row) in qkv.chunks_exact(ROW).enumerate() {
        let key = &row[HIDDEN + head * HEAD_WIDTH..][..HEAD_WIDTH];
        for (component, value) in key.iter().enumerate() {
            keys[component * padded + token] = *value;
        }
    }
}

/// One head for the queries `first..first + ROWS`.
#[inline(always)]
fn attend<S: Simd, const ROWS: usize>(
    simd: S,
    head: &Head<'_>,
    first: usize,
    scores: &mut [f32],
    output: &mut [f32],
) {
    score::<S, ROWS>(simd, head, first, scores);
    let mut shares = [0.0; ROWS];
    for (row, share) in scores.chunks_exact_mut(head.padded).zip(&mut shares) {
        *share = 1.0 / soften(simd, row, head.tokens);
    }
    let group = VALUE_REGISTERS * S::LANES;
    for component in (0..HEAD_WIDTH).step_by(group) {
        let mixed = mix::<S, ROWS>(simd, head, component, scores);
        for (row, mixed) in mixed.into_iter().enumerate() {
            let share = simd.splat(shares[row]);
            let start = (first + row) * HIDDEN + head.index * HEAD_WIDTH + component;
            for (register, value) in mixed.into_iter().enumerate() {
                let to = &mut output[start + register * S::LANES..];
                simd.store(simd.multiply(value, share), to);
            }
        }
    }
}

/// The dot product of each query and each key.
#[inline(always)]
fn score<S: Simd, const ROWS: usize>(simd: S, head: &Head<'_>, first: usize, scores: &mut [f32]) {
    let mut queries = [head.keys; ROWS];
    for (row, query) in queries.iter_mut().enumerate() {
        *query = head.query(first + row);
    }
    for token in (0..head.padded).step_by(S::LANES) {
        let mut sums = [simd.splat(0.0); ROWS];
        for component in 0..HEAD_WIDTH {
            let keys = simd.load(&head.keys[component * head.padded + token..]);
            for row in 0..ROWS {
                let query = simd.splat(queries[row][component]);
                sums[row] = simd.multiply_add(query, keys, sums[row]);
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            simd.store(sum, &mut scores[row * head.padded + token..]);
        }
    }
}

/// Scores to weights: `e^((score - largest) ÷ √HEAD_WIDTH)`, and their sum. Weights past `tokens`
/// are zero.
#[inline(always)]
fn soften<S: Simd>(simd: S, scores: &mut [f32], tokens: usize) -> f32 {
    scores[tokens..].fill(NO_SCORE);
    let mut largest = simd.splat(NO_SCORE);
    for lanes in scores.chunks_exact(S::LANES) {
        largest = simd.larger(largest, simd.load(lanes));
    }
    // e^x is 2^(x × log2 e).
    let factor = std::f32::consts::LOG2_E / (HEAD_WIDTH as f32).sqrt();
    let shift = simd.splat(-simd.largest(largest) * factor);
    let factor = simd.splat(factor);
    let mut sum = simd.splat(0.0);
    for lanes in scores.chunks_exact_mut(S::LANES) {
        let weight = power_of_two(simd, simd.multiply_add(simd.load(lanes), factor, shift));
        sum = simd.add(sum, weight);
        simd.store(weight, lanes);
    }
    simd.sum(sum)
}

/// The weighted sum of the values, for two registers of their components.
#[inline(always)]
fn mix<S: Simd, const ROWS: usize>(
    simd: S,
    head: &Head<'_>,
    component: usize,
    weights: &[f32],
) -> [[S::Floats; VALUE_REGISTERS]; ROWS] {
    let mut sums = [[simd.splat(0.0); VALUE_REGISTERS]; ROWS];
    let start = 2 * HIDDEN + head.index * HEAD_WIDTH + component;
    let mut rows = [weights; ROWS];
    for (index, row) in rows.iter_mut().enumerate() {
        *row = &weights[index * head.padded..][..head.tokens];
    }
    for (token, row) in head.qkv.chunks_exact(ROW).enumerate() {
        let values = &row[start..][..VALUE_REGISTERS * S::LANES];
        let low = simd.load(values);
        let high = simd.load(&values[S::LANES..]);
        for row in 0..ROWS {
            let weight = simd.splat(rows[row][token]);
            sums[row][0] = simd.multiply_add(weight, low, sums[row][0]);
            sums[row][1] = simd.multiply_add(weight, high, sums[row][1]);
        }
    }
    sums
}
