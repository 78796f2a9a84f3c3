//! A table of short words that is searched for every word of a text: one multiplication and one
//! comparison, where a binary search compares ten strings.

/// Bytes of the longest word that a table holds.
const WORD_BYTES_MAX: usize = 16;

/// What is known of each word. Open addressing, at most half full.
pub(super) struct WordTable<T> {
    slots: Box<[(u128, Option<T>)]>,
}

impl<T: Copy> WordTable<T> {
    /// The table of `entries`; of two entries for one word the first counts. Words of more than 16 bytes
    /// are left out.
    pub(super) fn new<'a>(entries: impl IntoIterator<Item = (&'a str, T)>) -> Self {
        let entries: Vec<(u128, T)> =
            entries.into_iter().filter_map(|(word, it)| Some((key(word)?, it))).collect();
        let length = (2 * entries.len()).next_power_of_two().max(2);
        let mut table = Self { slots: vec![(0, None); length].into() };
        for (key, it) in entries {
            let place = table.place(key);
            if let Some(slot) = table.slots.get_mut(place)
                && slot.1.is_none()
            {
                *slot = (key, Some(it));
            }
        }
        table
    }

    /// The slot of a word, or the empty one where it would be.
    fn place(&self, key: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash(key) & mask;
        while self.slots.get(at).is_some_and(|(other, it)| it.is_some() && *other != key) {
            at = (at + 1) & mask;
        }
        at
    }

    /// What is known of a word.
    pub(super) fn get(&self, word: &str) -> Option<T> {
        let place = self.place(key(word)?);
        self.slots.get(place).and_then(|(_, it)| *it)
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.get(word).is_some()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the upper bits are the mixed ones")]
fn hash(key: u128) -> usize {
    let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

/// The word itself, as a number.
fn key(word: &str) -> Option<u128> {
    let mut bytes = [0; WORD_BYTES_MAX];
    bytes.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
    Some(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        let words = ["a", "an", "the", "straße", "sixteen-letters-"];
        let table = WordTable::new(words.into_iter().zip(0u8..).chain([("a", 9)]));
        for (word, number) in words.into_iter().zip(0u8..) {
            assert_eq!(table.get(word), Some(number), "{word}");
        }
        for word in ["", "b", "seventeen-letters", "thé"] {
            assert_eq!(table.get(word), None, "{word}");
        }
        assert!(!WordTable::<u8>::new([]).has("a"));
    }
}
