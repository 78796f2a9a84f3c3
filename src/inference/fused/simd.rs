//! The SIMD interface of the forward pass, and how a stage is compiled for an instruction set.
//!
//! The pass is written once, over [`Simd`]; each instruction set is one small file of one-line
//! operations. A value of a `Simd` type exists only on a CPU with its instructions, so its methods
//! are safe to call. All code must be inlined into [`Simd::launch`], the one function compiled for
//! the instruction set: hence `inline(always)` on each method and stage.

/// Four neighboring activations of a row, the unit of an integer dot product.
pub(super) type Quad = [i8; 4];

/// The quad's bytes as one 32-bit lane. Written out, since `array::map` is not always inlined, and
/// this is the innermost loop.
#[inline(always)]
pub(super) fn in_a_lane([a, b, c, d]: Quad) -> i32 {
    i32::from_ne_bytes([a.cast_unsigned(), b.cast_unsigned(), c.cast_unsigned(), d.cast_unsigned()])
}

/// 64 bytes of packed weights, one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [u8; Line::BYTES]);

impl Line {
    pub(super) const BYTES: usize = 64;
}

/// An instruction set with vectors of [`LANES`](Self::LANES) 32-bit numbers.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// A register of f32.
    type Floats: Copy;
    /// A register of i32, or of packed bytes.
    type Ints: Copy;

    /// Numbers in a register; divides 32, the width of an attention head.
    const LANES: usize;
    /// Rows of a tile: as many as keep its sums in registers.
    const TILE_ROWS: usize;
    /// Registers of weights in a tile, so that a panel is `LANES × TILE_REGISTERS` outputs wide.
    const TILE_REGISTERS: usize;
    /// Offset that packing adds to each int8 weight: 128 if weights are unsigned bytes, otherwise
    /// 0.
    const WEIGHT_OFFSET: i32;

    /// Runs `stage` compiled for this instruction set.
    fn launch(self, stage: impl Stage);

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::Floats;
    /// The first `LANES` numbers of `from`, which must hold as many.
    fn load(self, from: &[f32]) -> Self::Floats;
    /// Writes to the first `LANES` places of `to`, which must hold as many.
    fn store(self, value: Self::Floats, to: &mut [f32]);
    /// `a + b`.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a - b`.
    fn subtract(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a × b`.
    fn multiply(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `1 ÷ a` with a relative error of 1e-4, for `a` of 1 to 2¹²⁶.
    fn near_reciprocal(self, a: Self::Floats) -> Self::Floats;
    /// `a × b + c`, rounded once.
    fn multiply_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// The larger of each pair; the second if either is NaN.
    fn larger(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The smaller of each pair; the second if either is NaN.
    fn smaller(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Rounded to integers, ties to even.
    fn round(self, a: Self::Floats) -> Self::Floats;
    /// `a × 2^power` for integer `power` in -126..=127.
    fn scale(self, a: Self::Floats, power: Self::Floats) -> Self::Floats;
    /// The sum over the lanes.
    fn sum(self, a: Self::Floats) -> f32;
    /// The largest lane.
    fn largest(self, a: Self::Floats) -> f32;

    /// `value` in every lane.
    fn splat_ints(self, value: i32) -> Self::Ints;
    /// The four bytes in every lane.
    fn splat_quad(self, quad: Quad) -> Self::Ints;
    /// Register `index` of a row of packed weights.
    fn load_weights(self, from: &[Line], index: usize) -> Self::Ints;
    /// In each lane: `sum` plus the dot product of four weights and four activations, exact.
    fn dot(self, sum: Self::Ints, weights: Self::Ints, activations: Self::Ints) -> Self::Ints;
    /// To f32; exact up to 2²⁴.
    fn to_floats(self, a: Self::Ints) -> Self::Floats;
    /// Integers in -127..=127 as bytes, into the first `LANES` places of `to`.
    fn store_bytes(self, value: Self::Floats, to: &mut [i8]);
}

/// A part of the forward pass, written for any instruction set.
pub(super) trait Stage {
    /// Runs it. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S);
}

/// The first `N` of `slice`.
#[inline(always)]
pub(super) fn front<T, const N: usize>(slice: &[T]) -> &[T; N] {
    slice.first_chunk().expect("stages cut their rows into whole registers")
}

/// The first `N` of `slice`, to write to.
#[inline(always)]
pub(super) fn front_mut<T, const N: usize>(slice: &mut [T]) -> &mut [T; N] {
    slice.first_chunk_mut().expect("stages cut their rows into whole registers")
}

/// 2^x, for x at most 127; x below -126 gives at most 2⁻¹²⁶. Relative error under 3e-7.
#[inline(always)]
pub(super) fn power_of_two<S: Simd>(simd: S, x: S::Floats) -> S::Floats {
    // Fitted to 2^f over -0.5..=0.5 for the least relative error (1e-7), 1 being exact.
    #[expect(clippy::approx_constant, reason = "near ln 2, but fitted")]
    const COEFFICIENTS: [f32; 5] =
        [1.326_472_6e-3, 9.671_513e-3, 5.550_733_6e-2, 2.402_224_2e-1, 0.693_147];
    let x = simd.larger(x, simd.splat(-126.0));
    let whole = simd.round(x);
    let fraction = simd.subtract(x, whole);
    let mut sum = simd.splat(COEFFICIENTS[0]);
    sum = simd.multiply_add(sum, fraction, simd.splat(COEFFICIENTS[1]));
    sum = simd.multiply_add(sum, fraction, simd.splat(COEFFICIENTS[2]));
    sum = simd.multiply_add(sum, fraction, simd.splat(COEFFICIENTS[3]));
    sum = simd.multiply_add(sum, fraction, simd.splat(COEFFICIENTS[4]));
    sum = simd.multiply_add(sum, fraction, simd.splat(1.0));
    simd.scale(sum, whole)
}

/// The rows `0..count` in groups of nearly equal size, none above `limit`.
pub(super) fn row_groups(
    count: usize,
    limit: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    let groups = count.div_ceil(limit);
    (0..groups).map(move |index| count * index / groups..count * (index + 1) / groups)
}

/// Calls `$function::<S, ROWS>` with the number of rows as a constant, so that a tile's sums are
/// kept in registers.
macro_rules! with_row_count {
    ($simd:ty, $count:expr, $function:ident, $($argument:expr),+ $(,)?) => {
        match $count {
            1 => $function::<$simd, 1>($($argument),+),
            2 => $function::<$simd, 2>($($argument),+),
            3 => $function::<$simd, 3>($($argument),+),
            4 => $function::<$simd, 4>($($argument),+),
            // Unreachable for instruction sets with few registers, and then not compiled.
            5 if <$simd>::TILE_ROWS >= 5 => $function::<$simd, 5>($($argument),+),
            6 if <$simd>::TILE_ROWS >= 6 => $function::<$simd, 6>($($argument),+),
            7 if <$simd>::TILE_ROWS >= 7 => $function::<$simd, 7>($($argument),+),
            8 if <$simd>::TILE_ROWS >= 8 => $function::<$simd, 8>($($argument),+),
            // A group is neither empty nor larger than TILE_ROWS.
            _ => {}
        }
    };
}
pub(super) use with_row_count;
