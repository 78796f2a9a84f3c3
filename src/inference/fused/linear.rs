//! The linear layers: int8 weights times int8 activations, exact 32-bit sums, f32 out.
//!
//! Weights have one scale per output, fixed when they are packed; activations one per row, computed
//! from the row. So `output = sum × row scale × output scale + bias`.
//!
//! A row may have one outlier: after `[CLS]` nearly all of a state's length is in one column, and a
//! scale for it leaves three bits for the rest. Such a row is scaled by its second largest number;
//! the part of the outlier beyond int8, [`RowOverflow`], is multiplied separately, once for each
//! output. That halves the error at every length (cosine to the reference, mean of 3 tokens: 0.992
//! to 0.998; of 14: 0.9966 to 0.9990) for 3 % of the time at 8 tokens.
//!
//! Weights are stored in the order of their use: panels of neighboring outputs; in a panel, for
//! each [`Quad`] of inputs, the quads of all its outputs. A panel of 384 inputs is 18 KB (AVX-512)
//! and stays in the L1 cache while all rows pass.
#![expect(clippy::indexing_slicing, reason = "shapes are checked when the model is loaded")]

use super::simd::{Line, Quad, Simd, Stage, power_of_two, row_groups, with_row_count};

/// The largest int8 in use; -128 is excluded, so that the range is symmetric.
const INT8_MAX: f32 = 127.0;

/// Smallest range of a row, so that a row of zeros causes no division by zero.
const RANGE_MIN: f32 = 1e-9;

/// Largest ratio of an outlier to [`INT8_MAX`].
const PEAK_STEPS_MAX: f32 = 16.0;

/// A linear layer's weights, packed for one instruction set.
#[derive(Debug)]
pub(super) struct PackedLinear {
    inputs: usize,
    outputs: usize,
    /// `outputs ÷ panel width` panels of equal size.
    lines: Vec<Line>,
    /// Scale of each output's int8 weights.
    scales: Vec<f32>,
    bias: Vec<f32>,
}

impl PackedLinear {
    /// Rounds and packs `weights`, `outputs × inputs` row-major, for `S`. `bias` is as long as there
    /// are outputs; inputs are a multiple of 4, outputs of the panel's width.
    pub(super) fn pack<S: Simd>(weights: &[f32], bias: Vec<f32>) -> Self {
        let outputs = bias.len();
        let inputs = weights.len() / outputs;
        let width = S::LANES * S::TILE_REGISTERS;
        debug_assert!(inputs.is_multiple_of(4) && outputs.is_multiple_of(width));
        let mut lines = vec![Line([0; Line::BYTES]); outputs * inputs / Line::BYTES];
        let mut scales = Vec::with_capacity(outputs);
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            let largest = row.iter().fold(RANGE_MIN, |largest, it| largest.max(it.abs()));
            let scale = largest / INT8_MAX;
            scales.push(scale);
            let panel = output / width * width * inputs;
            for (input, weight) in row.iter().enumerate() {
                let place = panel + (input / 4 * width + output % width) * 4 + input % 4;
                let line = &mut lines[place / Line::BYTES];
                line.0[place % Line::BYTES] = packed_byte(weight / scale, S::WEIGHT_OFFSET);
            }
        }
        Self { inputs, outputs, lines, scales, bias }
    }
}

/// A weight in units of its scale, -127..=127, plus the offset, as a byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within -127..=127 by its scale; the low byte is the two's complement that is wanted"
)]
fn packed_byte(steps: f32, offset: i32) -> u8 {
    (steps.round() as i32 + offset) as u8
}

/// Rows of activations as int8, each with its own scale.
#[derive(Debug, Default)]
pub(super) struct Activations {
    /// Row-major.
    quads: Vec<Quad>,
    /// Scale of each row.
    scales: Vec<f32>,
    /// The sum of each row's bytes, including the overflow of its outlier.
    sums: Vec<i32>,
    peaks: Vec<RowOverflow>,
}

/// The part of a row's outlier beyond the row's bytes: `count` times the quad at `step`.
#[derive(Clone, Copy, Debug, Default)]
struct RowOverflow {
    step: usize,
    /// Zero except for one byte of ±127.
    quad: Quad,
    /// An integer; 0 for nearly all rows.
    count: f32,
}

impl Activations {
    /// Memory for `rows` of at most `inputs`.
    pub(super) fn with_room(rows: usize, inputs: usize) -> Self {
        Self {
            quads: vec![[0; 4]; rows * inputs / 4],
            scales: vec![0.0; rows],
            sums: vec![0; rows],
            peaks: vec![RowOverflow::default(); rows],
        }
    }
}

/// Rounds f32 rows, `inputs` wide, to int8.
pub(super) struct Quantize<'a> {
    pub(super) inputs: usize,
    /// Row-major.
    pub(super) rows: &'a [f32],
    pub(super) into: &'a mut Activations,
}

impl Stage for Quantize<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Activations { quads, scales, sums, peaks } = self.into;
        let quads = quads.chunks_exact_mut(self.inputs / 4);
        for (index, (row, quads)) in self.rows.chunks_exact(self.inputs).zip(quads).enumerate() {
            let bytes = quads.as_flattened_mut();
            let extent = Extent::of(simd, row);
            let range = extent.largest.max(RANGE_MIN);
            if extent.has_peak() {
                let rounded = round_with_peak(simd, row, range, bytes);
                (scales[index], sums[index], peaks[index]) = rounded;
            } else {
                scales[index] = range / INT8_MAX;
                sums[index] = round_row(simd, row, INT8_MAX / range, bytes);
                peaks[index] = RowOverflow::default();
            }
        }
    }
}

/// The magnitude of a row.
struct Extent {
    /// Its largest magnitude.
    largest: f32,
    /// The sum of its squares.
    squares: f32,
}

impl Extent {
    #[inline(always)]
    fn of<S: Simd>(simd: S, row: &[f32]) -> Self {
        // Two chains, so that neither waits for the other.
        let mut high = [simd.splat(0.0); 2];
        let mut low = [simd.splat(0.0); 2];
        let mut squares = [simd.splat(0.0); 2];
        for pair in row.chunks_exact(2 * S::LANES) {
            let (first, second) = pair.split_at(S::LANES);
            for (chain, lanes) in [first, second].into_iter().enumerate() {
                let lanes = simd.load(lanes);
                high[chain] = simd.larger(lanes, high[chain]);
                low[chain] = simd.smaller(lanes, low[chain]);
                squares[chain] = simd.multiply_add(lanes, lanes, squares[chain]);
            }
        }
        let high = simd.larger(high[0], high[1]);
        let low = simd.smaller(low[0], low[1]);
        Self {
            largest: simd.largest(simd.larger(high, simd.subtract(simd.splat(0.0), low))),
            squares: simd.sum(simd.add(squares[0], squares[1])),
        }
    }

    /// True if the largest number is longer than all others together.
    #[inline(always)]
    fn has_peak(&self) -> bool {
        2.0 * self.largest * self.largest > self.squares
    }
}

/// Rounds a row with the largest magnitude `range` by its second largest. Returns its scale, the
/// sum of its bytes and the overflow.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 127 × 16 steps; the quotient is at most 16, the remainder at most 127"
)]
fn round_with_peak<S: Simd>(
    simd: S,
    row: &[f32],
    range: f32,
    bytes: &mut [i8],
) -> (f32, i32, RowOverflow) {
    let place = row.iter().position(|number| number.abs() >= range).unwrap_or(0);
    // The few numbers around the outlier one by one, all others in registers.
    let first = place - place % (2 * S::LANES);
    let (before, rest) = row.split_at(first);
    let (around, after) = rest.split_at(2 * S::LANES);
    let near = around.iter().enumerate().filter(|(index, _)| first + index != place);
    let second = near.fold(range / PEAK_STEPS_MAX, |second, (_, it)| second.max(it.abs()));
    let second = second.max(Extent::of(simd, before).largest).max(Extent::of(simd, after).largest);
    let scale = second / INT8_MAX;
    let factor = INT8_MAX / second;
    let sum = round_row(simd, row, factor, bytes);
    // The sum includes the whole outlier; its byte is clamped.
    let steps = (row[place] * factor).round_ties_even() as i32;
    let (count, rest) = (steps / 127, steps % 127);
    let mut peak = RowOverflow { step: place / 4, quad: [0; 4], count: count.abs() as f32 };
    peak.quad[place % 4] = if count < 0 { -127 } else { 127 };
    bytes[place] = rest as i8;
    (scale, sum, peak)
}

/// Writes `row × factor` as bytes; returns the sum of the bytes.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 1536 × 127, exact in f32")]
fn round_row<S: Simd>(simd: S, row: &[f32], factor: f32, bytes: &mut [i8]) -> i32 {
    let factor = simd.splat(factor);
    let mut sum = simd.splat(0.0);
    for (lanes, bytes) in row.chunks_exact(S::LANES).zip(bytes.chunks_exact_mut(S::LANES)) {
        let rounded = simd.round(simd.multiply(simd.load(lanes), factor));
        sum = simd.add(sum, rounded);
        simd.store_bytes(rounded, bytes);
    }
    simd.sum(sum) as i32
}

/// Activation after the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// None.
    Identity,
    /// `x × Φ(x)`.
    Gelu,
}

/// Multiplies activations by a layer's weights.
pub(super) struct Linear<'a> {
    pub(super) layer: &'a PackedLinear,
    pub(super) input: &'a Activations,
    pub(super) activation: Activation,
    /// `rows × outputs`, row-major; its length tells how many rows there are.
    pub(super) output: &'a mut [f32],
}

impl Stage for Linear<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let rows = self.output.len() / self.layer.outputs;
        let panels = self.layer.outputs / (S::LANES * S::TILE_REGISTERS);
        for panel in 0..panels {
            for group in row_groups(rows, S::TILE_ROWS) {
                let (count, at) = (group.len(), TileAt { panel, row: group.start });
                with_row_count!(S, count, tile, simd, &mut self, at);
            }
        }
    }
}

/// Position of a tile in the output.
#[derive(Clone, Copy)]
struct TileAt {
    panel: usize,
    /// Its first row.
    row: usize,
}

/// One panel's outputs for `ROWS` rows.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize>(simd: S, linear: &mut Linear<'_>, at: TileAt) {
    match S::TILE_REGISTERS {
        2 => tile_of::<S, ROWS, 2>(simd, linear, at),
        3 => tile_of::<S, ROWS, 3>(simd, linear, at),
        _ => const { assert!(matches!(S::TILE_REGISTERS, 2 | 3)) },
    }
}

#[inline(always)]
fn tile_of<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    linear: &mut Linear<'_>,
    at: TileAt,
) {
    let PackedLinear { inputs, outputs, lines, scales, bias } = linear.layer;
    let Activations { quads, scales: row_scales, sums, peaks } = linear.input;
    let width = S::LANES * REGISTERS;
    let panel_lines = width * inputs / Line::BYTES;
    let weights = &lines[at.panel * panel_lines..][..panel_lines];
    let steps = inputs / 4;
    let mut rows = [quads.as_slice(); ROWS];
    let mut totals = [[simd.splat_ints(0); REGISTERS]; ROWS];
    for index in 0..ROWS {
        let row = at.row + index;
        rows[index] = &quads[row * steps..][..steps];
        // The offset has added this much to each output of the row.
        totals[index] = [simd.splat_ints(-S::WEIGHT_OFFSET * sums[row]); REGISTERS];
    }
    multiply(simd, weights, rows, &mut totals);
    let step_lines = width * size_of::<Quad>() / Line::BYTES;
    for (index, totals) in totals.into_iter().enumerate() {
        let row = at.row + index;
        let peak = peaks[row];
        let row_scale = simd.splat(row_scales[row]);
        for (register, total) in totals.into_iter().enumerate() {
            let first = at.panel * width + register * S::LANES;
            let scale = simd.multiply(row_scale, simd.load(&scales[first..]));
            let mut sum = simd.to_floats(total);
            if peak.count > 0.0 {
                let packed = simd.load_weights(&weights[peak.step * step_lines..], register);
                let once = simd.dot(simd.splat_ints(0), packed, simd.splat_quad(peak.quad));
                sum = simd.multiply_add(simd.to_floats(once), simd.splat(peak.count), sum);
            }
            let value = simd.multiply_add(sum, scale, simd.load(&bias[first..]));
            let value = match linear.activation {
                Activation::Identity => value,
                Activation::Gelu => gelu(simd, value),
            };
            simd.store(value, &mut linear.output[row * outputs + first..]);
        }
    }
}

/// The innermost loop: nine tenths of all time is spent here.
#[inline(always)]
fn multiply<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    weights: &[Line],
    rows: [&[Quad]; ROWS],
    totals: &mut [[S::Ints; REGISTERS]; ROWS],
) {
    let step_lines = S::LANES * REGISTERS * size_of::<Quad>() / Line::BYTES;
    let mut sums = *totals;
    for (step, lines) in weights.chunks_exact(step_lines).enumerate() {
        let mut packed = [simd.splat_ints(0); REGISTERS];
        for (register, packed) in packed.iter_mut().enumerate() {
            *packed = simd.load_weights(lines, register);
        }
        for row in 0..ROWS {
            let quad = simd.splat_quad(rows[row][step]);
            for register in 0..REGISTERS {
                sums[row][register] = simd.dot(sums[row][register], packed[register], quad);
            }
        }
    }
    *totals = sums;
}

/// `x × Φ(x)`, Φ being the normal distribution, within 1e-4 relative and 3e-5 absolute: a fiftieth
/// of the int8 step that it is rounded to next.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::Floats) -> S::Floats {
    // Φ(x) is near 1 ÷ (1 + 2^-u) with u an odd polynomial of x, fitted for the least error over
    // -6..=6. The usual u (from tanh, two terms) errs by 5e-4. Outside, Φ is 0 or 1 within 1e-9.
    const COEFFICIENTS: [f32; 3] = [1.016_510_5e-3, -1.067_895_6e-1, -2.301_106_1];
    const EDGE: f32 = 6.0;
    let inside = simd.smaller(simd.larger(x, simd.splat(-EDGE)), simd.splat(EDGE));
    let square = simd.multiply(inside, inside);
    let mut slope = simd.splat(COEFFICIENTS[0]);
    slope = simd.multiply_add(slope, square, simd.splat(COEFFICIENTS[1]));
    slope = simd.multiply_add(slope, square, simd.splat(COEFFICIENTS[2]));
    let power = power_of_two(simd, simd.multiply(slope, inside));
    simd.multiply(x, simd.near_reciprocal(simd.add(power, simd.splat(1.0))))
}
