//! Distances of many vectors: Hamming of sign bits, dot products of signed bytes.
//!
//! A kernel is selected once, at run time, by the features of the processor: AVX-512 with VPOPCNTDQ
//! and VNNI, AVX2, or plain Rust. All give the same numbers. Safe to call: the kernels take arrays
//! and slices whose lengths are checked by type or at run time, and a kernel is reachable only on a
//! processor that supports it.
#![expect(
    unsafe_code,
    reason = "vector instructions have no safe form on every supported processor"
)]

use super::DIMENSIONS;

/// Words of 64 sign bits of a vector.
pub const WORDS: usize = DIMENSIONS / 64;

/// Vectors of a block of sign bits.
pub const LANES: usize = 8;

/// Words of a block: word `w` of vector `lane` is at `w * LANES + lane`, so that one instruction
/// loads a word of all eight.
pub const BLOCK: usize = WORDS * LANES;

/// Writes the distances of a block's vectors from the query.
type Hamming = fn(&[[u64; BLOCK]], &[u64; WORDS], &mut [[u16; LANES]]);

/// The kernels of this processor.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    name: &'static str,
    hamming: Hamming,
    dot: fn(&[i8; DIMENSIONS], &[i8; DIMENSIONS]) -> i32,
}

const PORTABLE: Kernels =
    Kernels { name: "portable", hamming: hamming_portable, dot: dot_portable };

impl Kernels {
    /// The fastest that this processor supports.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().into_iter().next().unwrap_or(PORTABLE)
    }

    /// All that this processor supports, fastest first; the last is the portable one.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        kernels.extend(x86::available());
        kernels.push(PORTABLE);
        kernels
    }

    /// Its name, for logs and benchmarks.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Counts the sign bits in which each vector of `blocks` differs from `query`, 0 to 384. Writes
    /// as many blocks as the shorter of the two slices has.
    pub fn hamming(
        &self,
        blocks: &[[u64; BLOCK]],
        query: &[u64; WORDS],
        distances: &mut [[u16; LANES]],
    ) {
        (self.hamming)(blocks, query, distances);
    }

    /// The dot product of two vectors of signed bytes. -128 does not occur in them.
    #[must_use]
    pub fn dot(&self, a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
        (self.dot)(a, b)
    }
}

fn hamming_portable(blocks: &[[u64; BLOCK]], query: &[u64; WORDS], distances: &mut [[u16; LANES]]) {
    for (block, out) in blocks.iter().zip(distances) {
        *out = [0; LANES];
        for (words, query) in block.chunks_exact(LANES).zip(query) {
            for (sum, word) in out.iter_mut().zip(words) {
                *sum += u16::try_from((word ^ query).count_ones()).unwrap_or(0);
            }
        }
    }
}

fn dot_portable(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Kernels for x86-64.

    use std::arch::x86_64::*;

    use super::{BLOCK, DIMENSIONS, Kernels, LANES, WORDS};

    pub(super) fn available() -> impl Iterator<Item = Kernels> {
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vpopcntdq")
            && is_x86_feature_detected!("avx512vnni");
        let avx512 = Kernels { name: "avx512", hamming: hamming_avx512, dot: dot_avx512 };
        let avx2 = Kernels { name: "avx2", hamming: hamming_avx2, dot: dot_avx2 };
        [(has_avx512, avx512), (is_x86_feature_detected!("avx2"), avx2)]
            .into_iter()
            .filter_map(|(has, kernels)| has.then_some(kernels))
    }

    fn hamming_avx512(
        blocks: &[[u64; BLOCK]],
        query: &[u64; WORDS],
        distances: &mut [[u16; LANES]],
    ) {
        // SAFETY: `available` hands this function out only where the processor has the features.
        unsafe { hamming_avx512_inner(blocks, query, distances) }
    }

    fn dot_avx512(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
        // SAFETY: as above.
        unsafe { dot_avx512_inner(a, b) }
    }

    fn hamming_avx2(blocks: &[[u64; BLOCK]], query: &[u64; WORDS], distances: &mut [[u16; LANES]]) {
        // SAFETY: `available` hands this function out only where the processor has AVX2.
        unsafe { hamming_avx2_inner(blocks, query, distances) }
    }

    fn dot_avx2(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
        // SAFETY: as above.
        unsafe { dot_avx2_inner(a, b) }
    }

    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    fn hamming_avx512_inner(
        blocks: &[[u64; BLOCK]],
        query: &[u64; WORDS],
        distances: &mut [[u16; LANES]],
    ) {
        let query = query.map(|word| _mm512_set1_epi64(word.cast_signed()));
        for (block, out) in blocks.iter().zip(distances) {
            let mut sum = _mm512_setzero_si512();
            for (words, query) in block.as_chunks::<LANES>().0.iter().zip(query) {
                // SAFETY: `words` is 64 bytes, and the load needs no alignment.
                let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
                let differing = _mm512_popcnt_epi64(_mm512_xor_si512(words, query));
                sum = _mm512_add_epi64(sum, differing);
            }
            // SAFETY: `out` is 16 bytes, and the store needs no alignment.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi64_epi16(sum)) };
        }
    }

    /// VNNI multiplies an unsigned byte by a signed one, so 128 is added to `a`, and 128 times the
    /// sum of `b` is subtracted again.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn dot_avx512_inner(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
        let (flip, ones) = (_mm512_set1_epi8(-128), _mm512_set1_epi8(1));
        let (mut product, mut sum) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            // SAFETY: `a` is 64 bytes, and the load needs no alignment.
            let a = unsafe { _mm512_loadu_si512(a.as_ptr().cast()) };
            // SAFETY: likewise `b`.
            let b = unsafe { _mm512_loadu_si512(b.as_ptr().cast()) };
            product = _mm512_dpbusd_epi32(product, _mm512_xor_si512(a, flip), b);
            sum = _mm512_dpbusd_epi32(sum, ones, b);
        }
        _mm512_reduce_add_epi32(product) - 128 * _mm512_reduce_add_epi32(sum)
    }

    /// Counts bits by looking up both halves of each byte.
    #[target_feature(enable = "avx2")]
    fn hamming_avx2_inner(
        blocks: &[[u64; BLOCK]],
        query: &[u64; WORDS],
        distances: &mut [[u16; LANES]],
    ) {
        let counts = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
        ));
        let low = _mm256_set1_epi8(0x0f);
        for (block, out) in blocks.iter().zip(distances) {
            let mut sums = [_mm256_setzero_si256(); 2];
            for (words, query) in block.as_chunks::<LANES>().0.iter().zip(query) {
                let query = _mm256_set1_epi64x(query.cast_signed());
                for (half, sum) in words.as_chunks::<4>().0.iter().zip(&mut sums) {
                    // SAFETY: `half` is 32 bytes, and the load needs no alignment.
                    let half = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
                    let differing = _mm256_xor_si256(half, query);
                    let lower = _mm256_shuffle_epi8(counts, _mm256_and_si256(differing, low));
                    let upper = _mm256_and_si256(_mm256_srli_epi64::<4>(differing), low);
                    let bits = _mm256_add_epi8(lower, _mm256_shuffle_epi8(counts, upper));
                    *sum = _mm256_add_epi64(*sum, _mm256_sad_epu8(bits, _mm256_setzero_si256()));
                }
            }
            for (half, sum) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
                let mut lanes = [0u64; 4];
                // SAFETY: `lanes` is 32 bytes, and the store needs no alignment.
                unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
                *half = lanes.map(|lane| u16::try_from(lane).unwrap_or(u16::MAX));
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn dot_avx2_inner(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
        let mut sum = _mm256_setzero_si256();
        for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
            // SAFETY: `a` is 16 bytes, and the load needs no alignment.
            let a = unsafe { _mm_loadu_si128(a.as_ptr().cast()) };
            // SAFETY: likewise `b`.
            let b = unsafe { _mm_loadu_si128(b.as_ptr().cast()) };
            let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b));
            sum = _mm256_add_epi32(sum, product);
        }
        let mut lanes = [0i32; 8];
        // SAFETY: `lanes` is 32 bytes, and the store needs no alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_kernels_agree(
            words in prop::collection::vec(any::<u64>(), 3 * BLOCK),
            query in prop::array::uniform6(any::<u64>()),
            a in prop::collection::vec(-127i8..=127, DIMENSIONS),
            b in prop::collection::vec(-127i8..=127, DIMENSIONS),
        ) {
            let (blocks, _) = words.as_chunks::<BLOCK>();
            let (a, b) = (a.try_into().unwrap(), b.try_into().unwrap());
            let mut expected = [[0; LANES]; 3];
            PORTABLE.hamming(blocks, &query, &mut expected);
            for kernels in Kernels::available() {
                let mut distances = [[9; LANES]; 3];
                kernels.hamming(blocks, &query, &mut distances);
                prop_assert_eq!(distances, expected, "{}", kernels.name());
                prop_assert_eq!(kernels.dot(&a, &b), PORTABLE.dot(&a, &b), "{}", kernels.name());
            }
        }
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        for kernels in Kernels::available() {
            let (low, high) = ([-127; DIMENSIONS], [127; DIMENSIONS]);
            assert_eq!(kernels.dot(&low, &high), -127 * 127 * 384, "{}", kernels.name());
            assert_eq!(kernels.dot(&low, &low), 127 * 127 * 384, "{}", kernels.name());
        }
    }
}
