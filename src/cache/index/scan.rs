//! A scan over sign bits, and a closer look at the few that come out near.
//!
//! Per vector 48 bytes of sign bits, 384 bytes of int8 and 8 of books. A slot that was freed is taken
//! by the next insert. Bits of free slots stay and are passed over. Room grows by an eighth, so that
//! little of it is empty.

use crate::inference::{BLOCK, DIMENSIONS, Kernels, LANES, WORDS};

/// Vectors that are looked at closely, at least, while there are as many. Of 64, sign bits miss the
/// nearest of 100,000 vectors of real questions less than once in 200.
const CANDIDATES: usize = 64;

/// Slots of a segment: what fits beside the two bits by which an index distinguishes its parts.
const SLOTS_MAX: u32 = (1 << 30) - 1;

/// What an int8 of 127 stands for. Numbers of a vector of 384 that has length 1 are about 0.05; an
/// int8 of one vector and one of another are scaled alike.
const SCALE: f32 = 0.25;

/// The length of a stored vector, but for rounding: 127 / [`SCALE`].
pub(super) const LENGTH: f32 = 127.0 / SCALE;

/// A vector as it is kept and stored: 127 stands for 0.25.
pub type StoredVector = [i8; DIMENSIONS];

/// Where a vector is kept, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub(super) u32);

/// A stored vector that is near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// What was given at insert.
    pub entry: u32,
    /// Where it is kept.
    pub slot: Slot,
    /// The cosine in int8: within 0.01 of the true one for a vector whose numbers
    /// stay under `SCALE`, less if they do not.
    pub cosine: f32,
}

/// Vectors of one partition.
pub struct Segment {
    kernels: Kernels,
    bits: Vec<[u64; BLOCK]>,
    vectors: Vec<StoredVector>,
    /// 1 over the length of each int8 vector.
    lengths: Vec<f32>,
    entries: Vec<u32>,
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
            + self.tombstones.capacity() * 8
            + (self.entries.capacity() + self.free.capacity()) * 4
            + self.distances.capacity() * size_of::<[u16; LANES]>()
    }

    /// Keeps a vector of length 1 under the caller's number. Nothing if 2³⁰ slots are taken.
    pub fn insert(&mut self, entry: u32, vector: &[f32; DIMENSIONS]) -> Option<Slot> {
        self.insert_stored(entry, &stored(vector))
    }

    /// As [`Segment::insert`], of a vector in the form that is kept.
    pub fn insert_stored(&mut self, entry: u32, vector: &StoredVector) -> Option<Slot> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => self.grow()?,
        };
        let at = index(place);
        if let Some(block) = self.bits.get_mut(at / LANES) {
            let lanes = block.iter_mut().skip(at % LANES).step_by(LANES);
            for (word, bits) in lanes.zip(signs(vector)) {
                *word = bits;
            }
        }
        set(&mut self.lengths, at, inverse_length(self.kernels.dot(vector, vector)));
        set(&mut self.vectors, at, *vector);
        set(&mut self.entries, at, entry);
        if let Some(word) = self.tombstones.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
        Some(Slot(place))
    }

    /// The vector of a slot, bit for bit as it was inserted; nothing if the slot is free.
    #[must_use]
    pub fn stored(&self, slot: Slot) -> Option<&StoredVector> {
        let at = index(slot.0);
        self.vectors.get(at).filter(|_| !self.is_free(at))
    }

    /// What is kept, with its slot and the caller's number.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, u32, &StoredVector)> {
        let slots = (0u32..).zip(&self.entries).zip(&self.vectors);
        slots
            .map(|((place, entry), vector)| (Slot(place), *entry, vector))
            .filter(|(slot, _, _)| !self.is_free(index(slot.0)))
    }

    /// Forgets a vector; what its number was. Nothing if the slot is free already.
    pub fn remove(&mut self, slot: Slot) -> Option<u32> {
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

    /// Up to `count` nearest vectors, the nearest first.
    pub fn nearest(&mut self, query: &[f32; DIMENSIONS], count: usize) -> Vec<Match> {
        let query = Query::new(self.kernels, query);
        let mut distances = std::mem::take(&mut self.distances);
        let matches = self.search(&query, count, &mut distances, |_| true);
        self.distances = distances;
        matches
    }

    /// As [`Segment::nearest`], among those that `is_live` knows; `distances` is room to work in.
    pub(super) fn search(
        &self,
        query: &Query,
        count: usize,
        distances: &mut Vec<[u16; LANES]>,
        is_live: impl Fn(&Match) -> bool,
    ) -> Vec<Match> {
        distances.resize(self.bits.len(), [0; LANES]);
        self.kernels.hamming(&self.bits, &query.signs, distances);
        let limit = self.limit(CANDIDATES.max(count), distances.as_flattened());
        let mut matches = Vec::with_capacity(2 * CANDIDATES);
        for (block, distances) in distances.iter().enumerate() {
            // Nearly every block has none: one comparison for all eight.
            if distances.iter().fold(u16::MAX, |least, distance| least.min(*distance)) > limit {
                continue;
            }
            for (lane, _) in
                distances.iter().enumerate().filter(|(_, distance)| **distance <= limit)
            {
                matches.extend(self.look(block * LANES + lane, query).filter(&is_live));
            }
        }
        sort(&mut matches, count);
        matches
    }

    /// The closer look at one slot; nothing if it is free.
    fn look(&self, at: usize, query: &Query) -> Option<Match> {
        let vector = self.vectors.get(at).filter(|_| !self.is_free(at))?;
        let cosine = query.product(self.kernels, vector) * self.lengths.get(at)?;
        Some(Match { entry: *self.entries.get(at)?, slot: Slot(u32::try_from(at).ok()?), cosine })
    }

    /// The distance within which `wanted` vectors that are not removed lie, if there are so many.
    fn limit(&self, wanted: usize, distances: &[u16]) -> u16 {
        let mut counts = [0usize; DIMENSIONS + 1];
        for distance in distances.iter().take(self.slots()) {
            if let Some(count) = counts.get_mut(usize::from(*distance)) {
                *count += 1;
            }
        }
        // Free slots are counted above, which is quicker than asking of each, and taken off here.
        for place in &self.free {
            let distance = distances.get(index(*place)).copied().unwrap_or(0);
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
        let place = u32::try_from(at).ok().filter(|place| *place < SLOTS_MAX)?;
        if at.is_multiple_of(LANES) {
            push(&mut self.bits, [0; BLOCK]);
        }
        if at.is_multiple_of(64) {
            push(&mut self.tombstones, 0);
        }
        push(&mut self.vectors, [0; DIMENSIONS]);
        push(&mut self.lengths, 0.0);
        push(&mut self.entries, 0);
        Some(place)
    }
}

/// A vector that is searched for, in the forms it is compared in.
pub(super) struct Query {
    signs: [u64; WORDS],
    pub(super) stored: StoredVector,
    /// 1 over the length of `stored`.
    scale: f32,
}

impl Query {
    pub(super) fn new(kernels: Kernels, vector: &[f32; DIMENSIONS]) -> Self {
        let stored = stored(vector);
        let scale = inverse_length(kernels.dot(&stored, &stored));
        Self { signs: signs(&stored), stored, scale }
    }

    /// The cosine times the length of `vector`.
    fn product(&self, kernels: Kernels, vector: &StoredVector) -> f32 {
        single(f64::from(kernels.dot(vector, &self.stored))) * self.scale
    }

    /// The cosine, bit for bit that of a [`Segment`].
    pub(super) fn cosine(&self, kernels: Kernels, vector: &StoredVector) -> f32 {
        self.product(kernels, vector) * inverse_length(kernels.dot(vector, vector))
    }
}

/// The nearest first, and at most `count`.
pub(super) fn sort(matches: &mut Vec<Match>, count: usize) {
    matches.sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.entry.cmp(&b.entry)));
    matches.truncate(count);
}

fn push<T>(slots: &mut Vec<T>, value: T) {
    if slots.len() == slots.capacity() {
        // Most indexes hold one vector: a conversation that occurred once.
        let length = slots.len();
        slots.reserve_exact((length / 8).max(length.clamp(1, 8)));
    }
    slots.push(value);
}

fn set<T>(slots: &mut [T], at: usize, value: T) {
    if let Some(slot) = slots.get_mut(at) {
        *slot = value;
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// Of the stored form, so that a vector has the same bits after it was stored.
fn signs(vector: &StoredVector) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, numbers) in words.iter_mut().zip(vector.chunks_exact(64)) {
        let bits = numbers.iter().enumerate();
        *word = bits.fold(0, |word, (bit, number)| word | (u64::from(*number > 0) << bit));
    }
    words
}

/// A vector of length 1 in the form that is kept.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "bounded to -127..=127 right before")]
pub fn stored(vector: &[f32; DIMENSIONS]) -> StoredVector {
    vector.map(|number| (number * LENGTH).round().clamp(-127.0, 127.0) as i8)
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
pub(super) mod tests {
    use super::*;

    /// Vectors of length 1 that look random and are the same in every run.
    pub(in crate::cache::index) fn vector(seed: u64) -> [f32; DIMENSIONS] {
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
    fn every_kernel_finds_the_nearest() {
        for kernels in Kernels::available() {
            let mut segment = Segment::new(kernels);
            for entry in 0..500 {
                segment.insert(entry, &vector(u64::from(entry))).unwrap();
            }
            for entry in 0..500 {
                let mut query = vector(u64::from(entry));
                query[0] += 0.1;
                let matches = segment.nearest(&query, 4);
                assert_eq!(matches[0].entry, entry, "{}", kernels.name());
                assert_eq!(matches.len(), 4);
                assert!(matches.is_sorted_by(|a, b| a.cosine >= b.cosine));
                let length = dot(&query, &query).sqrt();
                let expected = dot(&query, &vector(u64::from(entry))) / length;
                assert!((matches[0].cosine - expected).abs() < 0.01);
            }
        }
    }

    #[test]
    fn removed_vector_is_not_found_and_slot_is_reused() {
        let mut segment = Segment::new(Kernels::detect());
        let slots: Vec<Slot> = (0..100)
            .map(|entry| segment.insert(entry, &vector(u64::from(entry))).unwrap())
            .collect();
        for (entry, slot) in (0..100).zip(&slots).filter(|(entry, _)| entry % 3 != 0) {
            assert_eq!(segment.remove(*slot), Some(entry));
            assert_eq!(segment.remove(*slot), None);
        }
        assert_eq!(segment.len(), 34);
        for entry in 0..100 {
            let found = segment.nearest(&vector(u64::from(entry)), 100);
            assert_eq!(found.len(), 34);
            assert_eq!(found[0].entry == entry, entry % 3 == 0);
            assert!(found.iter().all(|near| near.entry % 3 == 0));
        }
        for entry in 200..266 {
            segment.insert(entry, &vector(u64::from(entry))).unwrap();
        }
        assert_eq!((segment.len(), segment.slots()), (100, 100));
        assert_eq!(segment.nearest(&vector(250), 1)[0].entry, 250);
    }

    #[test]
    fn stored_vector_round_trips() {
        let (mut first, mut second) =
            (Segment::new(Kernels::detect()), Segment::new(Kernels::detect()));
        for entry in 0..200 {
            first.insert(entry, &vector(u64::from(entry))).unwrap();
        }
        first.remove(Slot(7));
        assert_eq!(first.stored(Slot(7)), None);
        assert_eq!(first.iter().count(), 199);
        for (slot, entry, vector) in first.iter() {
            assert_eq!(first.stored(slot), Some(vector));
            second.insert_stored(entry, vector).unwrap();
        }
        for seed in 300..350 {
            let near = |found: Vec<Match>| {
                found.into_iter().map(|near| (near.entry, near.cosine)).collect::<Vec<_>>()
            };
            let query = vector(seed);
            assert_eq!(near(first.nearest(&query, 5)), near(second.nearest(&query, 5)));
        }
        assert!(first.bytes() < 200 * 520, "{} bytes", first.bytes());
    }

    #[test]
    fn empty_segment_and_zero_vector_are_handled() {
        let mut segment = Segment::new(Kernels::detect());
        assert!(segment.is_empty() && segment.nearest(&vector(1), 3).is_empty());
        assert_eq!(segment.remove(Slot(7)), None);
        segment.insert(1, &[0.0; DIMENSIONS]).unwrap();
        segment.insert(2, &[f32::NAN; DIMENSIONS]).unwrap();
        assert_eq!(segment.nearest(&[f32::NAN; DIMENSIONS], 3).len(), 2);
    }
}
