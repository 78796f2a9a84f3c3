//! Request ids: unique without coordination, cheap enough for every request.
//!
//! An id names a request; it is not a secret and grants nothing.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A 128-bit request id, written as 32 lower-case hexadecimal digits. The default is all zeros and
/// names no request.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize,
)]
pub struct RequestId(u128);

impl RequestId {
    /// The 32 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> [u8; 32] {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut out = [0_u8; 32];
        for (index, digit) in out.iter_mut().enumerate() {
            let nibble = (self.0 >> (124 - 4 * index)) & 15;
            *digit = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
        }
        out
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// One shard's source of ids and of random numbers for jitter.
///
/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) seeded from the operating system: full period, 2
/// ns a value. Good enough for ids; never used for secrets.
#[derive(Debug)]
pub struct IdSource {
    state: u64,
    high: u64,
}

impl IdSource {
    /// A source seeded from the operating system; two sources never share a sequence in practice.
    #[must_use]
    pub fn from_system() -> Self {
        let seed = || RandomState::new().build_hasher().finish();
        Self { state: seed(), high: seed() }
    }

    /// A source that repeats the same sequence for the same seed; for simulations.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed, high: seed.rotate_left(32) }
    }

    /// The next id.
    pub fn next_id(&mut self) -> RequestId {
        let low = self.next_u64();
        RequestId((u128::from(self.high ^ low.rotate_left(17)) << 64) | u128::from(low))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A random number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        // The 53 bits of a double's mantissa.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A random number below `bound`; 0 if `bound` is 0. The bias is below `bound` in 2^64.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_u64()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_print_as_hex() {
        let mut source = IdSource::from_seed(7);
        let ids: HashSet<RequestId> = (0..10_000).map(|_| source.next_id()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids.iter().take(100) {
            assert_eq!(std::str::from_utf8(&id.hex()), Ok(id.to_string().as_str()));
        }
    }
}
