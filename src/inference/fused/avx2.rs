//! AVX2 with FMA: 8 lanes, 16 registers, byte products with 16-bit intermediate sums.
//!
//! `maddubs` multiplies unsigned by signed bytes and adds pairs into 16 bits with saturation. The
//! activation's sign is moved to the weight first: |activation| ≤ 127 and |weight| ≤ 127, so that a
//! pair is at most 2 × 127² = 32,258 and never saturates. The sum is exact, as it is with VNNI.
#![expect(unsafe_code, reason = "vector instructions; see the token")]
#![expect(clippy::indexing_slicing, reason = "shapes are checked when the model is loaded")]

use std::arch::x86_64::{
    __m256, __m256i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm_add_ps, _mm_add_ss,
    _mm_cvtss_f32, _mm_max_ps, _mm_max_ss, _mm_movehdup_ps, _mm_movehl_ps, _mm_packs_epi16,
    _mm_packs_epi32, _mm_storel_epi64, _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cvtepi32_ps,
    _mm256_cvtps_epi32, _mm256_extractf128_ps, _mm256_extracti128_si256, _mm256_fmadd_ps,
    _mm256_fnmadd_ps, _mm256_load_si256, _mm256_loadu_ps, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_rcp_ps, _mm256_round_ps, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_sign_epi8, _mm256_slli_epi32, _mm256_storeu_ps,
    _mm256_sub_ps,
};

use super::simd::{Line, Quad, Simd, Stage, front, front_mut, in_a_lane};

/// Proof that this CPU has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof, if the CPU has them.
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        is_there.then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma")]
fn compiled(simd: Avx2, stage: impl Stage) {
    stage.run(simd);
}

/// One instruction, which the token permits.
macro_rules! instruction {
    ($($call:tt)+) => {
        // SAFETY: the token exists only where the CPU has AVX2 and FMA (`detect`).
        unsafe { $($call)+ }
    };
}

impl Simd for Avx2 {
    type Floats = __m256;
    type Ints = __m256i;

    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;
    const TILE_REGISTERS: usize = 2;
    const WEIGHT_OFFSET: i32 = 0;

    fn launch(self, stage: impl Stage) {
        instruction!(compiled(self, stage));
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        instruction!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        let from: &[f32; 8] = front(from);
        // SAFETY: as for `instruction`; `from` is 8 f32, and no alignment is required.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, value: __m256, to: &mut [f32]) {
        let to: &mut [f32; 8] = front_mut(to);
        // SAFETY: as for `instruction`; `to` is 8 f32, and no alignment is required.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn subtract(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn multiply(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn near_reciprocal(self, a: __m256) -> __m256 {
        // The instruction's relative error is 1.5 × 2⁻¹²; one Newton step squares it.
        let rough = instruction!(_mm256_rcp_ps(a));
        let rest = instruction!(_mm256_fnmadd_ps(a, rough, _mm256_set1_ps(2.0)));
        self.multiply(rough, rest)
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        instruction!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn larger(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn smaller(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        instruction!(_mm256_round_ps::<NEAREST>(a))
    }

    #[inline(always)]
    fn scale(self, a: __m256, power: __m256) -> __m256 {
        // 2^power is built from its exponent bits, biased by 127.
        instruction! {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127));
            _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        instruction! {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        instruction! {
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn splat_ints(self, value: i32) -> __m256i {
        instruction!(_mm256_set1_epi32(value))
    }

    #[inline(always)]
    fn splat_quad(self, quad: Quad) -> __m256i {
        self.splat_ints(in_a_lane(quad))
    }

    #[inline(always)]
    fn load_weights(self, from: &[Line], index: usize) -> __m256i {
        let half: &[u8; 32] = front(&from[index / 2].0[index % 2 * 32..]);
        // SAFETY: as for `instruction`; half a line is 32 bytes at a multiple of 32.
        unsafe { _mm256_load_si256(half.as_ptr().cast()) }
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, weights: __m256i, activations: __m256i) -> __m256i {
        instruction! {
            let signed = _mm256_sign_epi8(weights, activations);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(activations), signed);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn to_floats(self, a: __m256i) -> __m256 {
        instruction!(_mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn store_bytes(self, value: __m256, to: &mut [i8]) {
        let bytes = instruction! {
            let ints = _mm256_cvtps_epi32(value);
            let low = _mm256_castsi256_si128(ints);
            let shorts = _mm_packs_epi32(low, _mm256_extracti128_si256::<1>(ints));
            _mm_packs_epi16(shorts, shorts)
        };
        let to: &mut [i8; 8] = front_mut(to);
        // SAFETY: as for `instruction`; `to` is 8 bytes, and no alignment is required.
        unsafe { _mm_storel_epi64(to.as_mut_ptr().cast(), bytes) }
    }
}
