//! A scan over sign bits, and a closer look at the few that come out near.
//!
//! Per vector 48 bytes of sign bits, 384 bytes of int8 and 8 of id, with half a word of books. A slot
//! that was freed is taken by the next insert. Bits of free slots stay and are passed over.

use crate::inference::{BLOCK, DIMENSIONS, Kernels, LANES, WORDS};

/// Vectors that are looked at closely, at least, while there are as many. Of 64, sign bits miss the
/// nearest of 100,000 vectors of real questions less than once in 200.
const CANDIDATES: usize = 64;

/// What an int8 of 127 stands for. Numbers of a vector of 384 that has length 1 are about 0.05; an
/// int8 of one vector and one of another are scaled alike.
const SCALE: f32 = 0.25;

/// Where a vector is kept, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(u32);

/// A stored vector that is near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// What was given at insert.
    pub entry: u64,
    /// Where it is kept.
    pub slot: Slot,
    /// The cosine as far as int8 tells it: within 0.01 of the true one for a vector whose numbers
    /// stay under [`SCALE`], less if they do not.
    pub cosine: f32,
}

/// Vectors of one partition.
pub struct Segment {
    kernels: Kernels,
    bits: Vec<[u64; BLOCK]>,
    vectors: Vec<[i8; DIMENSIONS]>,
    /// 1 over the length of each int8 vector.
    lengths: Vec<f32>,
    entries: Vec<u64>,
    /// A bit for each slot that is free, as many words as cover the slots.
    tombstones: Vec<u64>,
    free: Vec<u32>,
    /// Room for the distances of a search, kept from one to the next.
    distances: Vec<[u16; LANES]>,
}

impl Segment {
    /// An empty segment.
    #[must_use]
    pub fn new(kernels: Kernels) -> Self {
        Self {
            kernels,
            bits: Vec::new(),
            vectors: Vec::new(),
            lengths: Vec::new(),
            entries: Vec::new(),
            tombstones: Vec::new(),
            free: Vec::new(),
            distances: Vec::new(),
        }
    }

    /// Vectors that have not been removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vectors.len() - self.free.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots, taken or free: what a search runs over.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.vectors.len()
    }

    /// Bytes that the vectors take, with room kept for more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bits.capacity() * size_of::<[u64; BLOCK]>()
            + self.vectors.capacity() * DIMENSIONS
            + self.lengths.capacity() * 4
            + (self.entries.capacity() + self.tombstones.capacity()) * 8
            + self.free.capacity() * 4
            + self.distances.capacity() * size_of::<[u16; LANES]>()
    }

    /// Keeps a vector of length 1 under the caller's number. Nothing if 2³² slots are taken.
    pub fn insert(&mut self, entry: u64, vector: &[f32; DIMENSIONS]) -> Option<Slot> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => self.grow()?,
        };
        let at = index(place);
        let bytes = quantize(vector);
        if let Some(block) = self.bits.get_mut(at / LANES) {
            let lanes = block.iter_mut().skip(at % LANES).step_by(LANES);
            for (word, bits) in lanes.zip(signs(vector)) {
                *word = bits;
            }
        }
        set(&mut self.lengths, at, inverse_length(self.kernels.dot(&bytes, &bytes)));
        set(&mut self.vectors, at, bytes);
        set(&mut self.entries, at, entry);
        if let Some(word) = self.tombstones.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
        Some(Slot(place))
    }

    /// Forgets a vector; what its number was. Nothing if the slot is free already.
    pub fn remove(&mut self, slot: Slot) -> Option<u64> {
        let at = index(slot.0);
        let entry = *self.entries.get(at)?;
        let word = self.tombstones.get_mut(at / 64)?;
        if *word & (1 << (at % 64)) != 0 {
            return None;
        }
        *word |= 1 << (at % 64);
        self.free.push(slot.0);
        Some(entry)
    }

    /// A vector as it is kept.
    #[must_use]
    pub fn vector(&self, slot: Slot) -> Option<[i8; DIMENSIONS]> {
        self.vectors.get(index(slot.0)).copied()
    }

    /// Up to `count` nearest vectors, the nearest first.
    pub fn nearest(&mut self, query: &[f32; DIMENSIONS], count: usize) -> Vec<Match> {
        self.distances.resize(self.bits.len(), [0; LANES]);
        self.kernels.hamming(&self.bits, &signs(query), &mut self.distances);
        let limit = self.limit(CANDIDATES.max(count));
        let bytes = quantize(query);
        let scale = inverse_length(self.kernels.dot(&bytes, &bytes));
        let mut matches = Vec::with_capacity(2 * CANDIDATES);
        for (block, distances) in self.distances.iter().enumerate() {
            // Nearly every block has none: one comparison for all eight.
            if distances.iter().fold(u16::MAX, |least, distance| least.min(*distance)) > limit {
                continue;
            }
            for (lane, _) in
                distances.iter().enumerate().filter(|(_, distance)| **distance <= limit)
            {
                matches.extend(self.look(block * LANES + lane, &bytes, scale));
            }
        }
        matches
            .sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.slot.0.cmp(&b.slot.0)));
        matches.truncate(count);
        matches
    }

    /// The closer look at one slot; nothing if it is free.
    fn look(&self, at: usize, query: &[i8; DIMENSIONS], scale: f32) -> Option<Match> {
        let vector = self.vectors.get(at)?;
        if self.is_free(at) {
            return None;
        }
        let dot = f64::from(self.kernels.dot(vector, query));
        let cosine = single(dot) * scale * self.lengths.get(at)?;
        Some(Match { entry: *self.entries.get(at)?, slot: Slot(u32::try_from(at).ok()?), cosine })
    }

    /// The distance within which `wanted` vectors that are not removed lie, if there are so many.
    fn limit(&self, wanted: usize) -> u16 {
        let mut counts = [0usize; DIMENSIONS + 1];
        for distance in self.distances.as_flattened().iter().take(self.slots()) {
            if let Some(count) = counts.get_mut(usize::from(*distance)) {
                *count += 1;
            }
        }
        // Free slots are counted above, which is quicker than asking of each, and taken off here.
        for place in &self.free {
            let distance = self.distances.as_flattened().get(index(*place)).copied().unwrap_or(0);
            if let Some(count) = counts.get_mut(usize::from(distance)) {
                *count -= 1;
            }
        }
        let mut found = 0;
        let within = counts.iter().position(|count| {
            found += count;
            found >= wanted
        });
        u16::try_from(within.unwrap_or(DIMENSIONS)).unwrap_or(u16::MAX)
    }

    fn is_free(&self, at: usize) -> bool {
        self.tombstones.get(at / 64).is_none_or(|word| word & (1 << (at % 64)) != 0)
    }

    /// One more slot, with a block of bits and a word of tombstones where one begins.
    fn grow(&mut self) -> Option<u32> {
        let at = self.vectors.len();
        let place = u32::try_from(at).ok()?;
        if at.is_multiple_of(LANES) {
            self.bits.push([0; BLOCK]);
        }
        if at.is_multiple_of(64) {
            self.tombstones.push(0);
        }
        self.vectors.push([0; DIMENSIONS]);
        self.lengths.push(0.0);
        self.entries.push(0);
        Some(place)
    }
}

fn set<T>(slots: &mut [T], at: usize, value: T) {
    if let Some(slot) = slots.get_mut(at) {
        *slot = value;
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn signs(vector: &[f32; DIMENSIONS]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, numbers) in words.iter_mut().zip(vector.chunks_exact(64)) {
        let bits = numbers.iter().enumerate();
        *word = bits.fold(0, |word, (bit, number)| word | (u64::from(*number > 0.0) << bit));
    }
    words
}

/// A vector of length 1 as it is kept.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "bounded to -127..=127 right before")]
pub fn quantize(vector: &[f32; DIMENSIONS]) -> [i8; DIMENSIONS] {
    vector.map(|number| (number * (127.0 / SCALE)).round().clamp(-127.0, 127.0) as i8)
}

/// The vector that was kept as `bytes`, about: kept again it is the same.
#[must_use]
pub fn widen(bytes: &[i8; DIMENSIONS]) -> [f32; DIMENSIONS] {
    bytes.map(|number| f32::from(number) * (SCALE / 127.0))
}

/// 1 over the root of a vector's product with itself; 0 for a vector of nothing.
fn inverse_length(dot: i32) -> f32 {
    if dot <= 0 { 0.0 } else { single(1.0 / f64::from(dot).sqrt()) }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded to the nearest f32, never out of range"
)]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of length 1 that look random and are the same in every run.
    fn vector(seed: u64) -> [f32; DIMENSIONS] {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut vector = [0.0; DIMENSIONS];
        for number in &mut vector {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *number = (state >> 40) as f32 / 16_777_216.0 - 0.5;
        }
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        vector.map(|number| number / length)
    }

    fn dot(a: &[f32; DIMENSIONS], b: &[f32; DIMENSIONS]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn the_nearest_is_found_by_every_kernel() {
        for kernels in Kernels::available() {
            let mut segment = Segment::new(kernels);
            for entry in 0..500 {
                segment.insert(entry, &vector(entry)).unwrap();
            }
            for entry in 0..500 {
                let mut query = vector(entry);
                query[0] += 0.1;
                let matches = segment.nearest(&query, 4);
                assert_eq!(matches[0].entry, entry, "{}", kernels.name());
                assert_eq!(matches.len(), 4);
                assert!(matches.is_sorted_by(|a, b| a.cosine >= b.cosine));
                let length = dot(&query, &query).sqrt();
                let expected = dot(&query, &vector(entry)) / length;
                assert!((matches[0].cosine - expected).abs() < 0.01);
            }
        }
    }

    #[test]
    fn what_is_removed_is_not_found_and_its_slot_is_taken_again() {
        let mut segment = Segment::new(Kernels::detect());
        let slots: Vec<Slot> =
            (0..100).map(|entry| segment.insert(entry, &vector(entry)).unwrap()).collect();
        for (entry, slot) in (0..100).zip(&slots).filter(|(entry, _)| entry % 3 != 0) {
            assert_eq!(segment.remove(*slot), Some(entry));
            assert_eq!(segment.remove(*slot), None);
        }
        assert_eq!(segment.len(), 34);
        for entry in 0..100 {
            let found = segment.nearest(&vector(entry), 100);
            assert_eq!(found.len(), 34);
            assert_eq!(found[0].entry == entry, entry % 3 == 0);
            assert!(found.iter().all(|near| near.entry % 3 == 0));
        }
        for entry in 200..266 {
            segment.insert(entry, &vector(entry)).unwrap();
        }
        assert_eq!((segment.len(), segment.slots()), (100, 100));
        assert_eq!(segment.nearest(&vector(250), 1)[0].entry, 250);
    }

    #[test]
    fn an_empty_segment_and_a_vector_of_nothing_are_no_trouble() {
        let mut segment = Segment::new(Kernels::detect());
        assert!(segment.is_empty() && segment.nearest(&vector(1), 3).is_empty());
        assert_eq!(segment.remove(Slot(7)), None);
        segment.insert(1, &[0.0; DIMENSIONS]).unwrap();
        segment.insert(2, &[f32::NAN; DIMENSIONS]).unwrap();
        assert_eq!(segment.nearest(&[f32::NAN; DIMENSIONS], 3).len(), 2);
    }
}
