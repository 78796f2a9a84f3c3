//! AVX-512 with VNNI: 16 lanes, 32 registers, four byte products per lane in one instruction.
//!
//! A tile of 8 rows by 48 outputs keeps 24 sums, 3 weights and the activations in registers, and
//! has 24 multiplications for 11 loads.
#![expect(unsafe_code, reason = "vector instructions; see the token")]
#![expect(clippy::indexing_slicing, reason = "shapes are checked when the model is loaded")]

use std::arch::x86_64::{
    __m512, __m512i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm_storeu_si128, _mm512_add_ps,
    _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_cvtsepi32_epi8, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_rcp14_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps,
    _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps,
    _mm512_sub_ps,
};

use super::simd::{Line, Quad, Simd, Stage, front, front_mut, in_a_lane};

/// Proof that this CPU has AVX-512 F, BW and VNNI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, if the CPU has them.
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        is_there.then_some(Self(()))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn compiled(simd: Avx512, stage: impl Stage) {
    stage.run(simd);
}

/// One instruction, which the token permits.
macro_rules! instruction {
    ($($call:tt)+) => {
        // SAFETY: the token exists only where the CPU has AVX-512 F, BW and VNNI (`detect`).
        unsafe { $($call)+ }
    };
}

impl Simd for Avx512 {
    type Floats = __m512;
    type Ints = __m512i;

    const LANES: usize = 16;
    const TILE_ROWS: usize = 8;
    const TILE_REGISTERS: usize = 3;
    const WEIGHT_OFFSET: i32 = 128;

    fn launch(self, stage: impl Stage) {
        instruction!(compiled(self, stage));
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        instruction!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        let from: &[f32; 16] = front(from);
        // SAFETY: as for `instruction`; `from` is 16 f32, and no alignment is required.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32]) {
        let to: &mut [f32; 16] = front_mut(to);
        // SAFETY: as for `instruction`; `to` is 16 f32, and no alignment is required.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn subtract(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn multiply(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn near_reciprocal(self, a: __m512) -> __m512 {
        // A division would occupy the unit for ten cycles; this has a relative error of 2⁻¹⁴.
        instruction!(_mm512_rcp14_ps(a))
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        instruction!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn larger(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn smaller(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        instruction!(_mm512_roundscale_ps::<NEAREST>(a))
    }

    #[inline(always)]
    fn scale(self, a: __m512, power: __m512) -> __m512 {
        instruction!(_mm512_scalef_ps(a, power))
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        instruction!(_mm512_reduce_add_ps(a))
    }

    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        instruction!(_mm512_reduce_max_ps(a))
    }

    #[inline(always)]
    fn splat_ints(self, value: i32) -> __m512i {
        instruction!(_mm512_set1_epi32(value))
    }

    #[inline(always)]
    fn splat_quad(self, quad: Quad) -> __m512i {
        self.splat_ints(in_a_lane(quad))
    }

    #[inline(always)]
    fn load_weights(self, from: &[Line], index: usize) -> __m512i {
        let line = &from[index];
        // SAFETY: as for `instruction`; a line is 64 bytes at a multiple of 64.
        unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        instruction!(_mm512_dpbusd_epi32(sum, weights, activations))
    }

    #[inline(always)]
    fn to_floats(self, a: __m512i) -> __m512 {
        instruction!(_mm512_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn store_bytes(self, value: __m512, to: &mut [i8]) {
        let bytes = instruction!(_mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(value)));
        let to: &mut [i8; 16] = front_mut(to);
        // SAFETY: as for `instruction`; `to` is 16 bytes, and no alignment is required.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), bytes) }
    }
}
