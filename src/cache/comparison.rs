//! Two profiles side by side: which words they share, and which only one of them has.
//!
//! Made once for a pair and read by all guards and the verifier. Exchanging the two questions
//! exchanges the two sides and changes nothing else.

use super::profile::{Profile, Word, is_misspelling};

/// Two questions, aligned word by word.
pub struct Comparison<'a> {
    /// One question.
    pub a: &'a Profile,
    /// The other.
    pub b: &'a Profile,
    /// Words of both, in the order of `a`.
    pub shared: Vec<Shared<'a>>,
    /// Words that only `a` has, in order.
    pub only_a: Vec<Word<'a>>,
    /// Words that only `b` has, in order.
    pub only_b: Vec<Word<'a>>,
    /// How many of the shared words are spelled differently.
    pub misspelled: usize,
}

/// A word of both questions.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// As `a` has it.
    pub a: Word<'a>,
    /// As `b` has it.
    pub b: Word<'a>,
    /// Its place among the words of `b`, from 0.
    pub place_b: usize,
}

impl<'a> Comparison<'a> {
    /// Aligns two profiles. Each word meets at most one other: first equal stems, then two words
    /// written as one (`wi-fi`, `wifi`), then misspellings.
    #[must_use]
    pub fn of(a: &'a Profile, b: &'a Profile) -> Self {
        let mut left: Vec<Option<Word<'a>>> = a.words().map(Some).collect();
        let mut right: Vec<Option<Word<'a>>> = b.words().map(Some).collect();
        let mut pairs = pair(&mut left, &mut right, |x, y| x.stem == y.stem);
        drop_joined(&mut left, &mut right);
        drop_joined(&mut right, &mut left);
        let misspelled = pair(&mut left, &mut right, |x, y| is_misspelling(x.stem, y.stem));
        let misspelled_count = misspelled.len();
        pairs.extend(misspelled);
        pairs.sort_unstable_by_key(|(place_a, _)| *place_a);
        Self {
            a,
            b,
            shared: pairs.into_iter().map(|(_, shared)| shared).collect(),
            only_a: left.into_iter().flatten().collect(),
            only_b: right.into_iter().flatten().collect(),
            misspelled: misspelled_count,
        }
    }

    /// Words of both questions together, a shared one counted once.
    #[must_use]
    pub fn words(&self) -> usize {
        self.shared.len() + self.only_a.len() + self.only_b.len()
    }
}

/// Takes pairs that satisfy `is_same` out of both sides, with the place of the word in `left`.
fn pair<'a>(
    left: &mut [Option<Word<'a>>],
    right: &mut [Option<Word<'a>>],
    is_same: fn(&Word<'_>, &Word<'_>) -> bool,
) -> Vec<(usize, Shared<'a>)> {
    let mut pairs = Vec::with_capacity(left.len());
    for (place_a, slot) in left.iter_mut().enumerate() {
        let Some(a) = *slot else { continue };
        let found = right
            .iter_mut()
            .enumerate()
            .find(|(_, other)| other.as_ref().is_some_and(|other| is_same(&a, other)));
        if let Some((place_b, other)) = found
            && let Some(b) = other.take()
        {
            *slot = None;
            pairs.push((place_a, Shared { a, b, place_b }));
        }
    }
    pairs
}

/// Drops two neighbors of `apart` that `joined` has as one word.
fn drop_joined(apart: &mut [Option<Word<'_>>], joined: &mut [Option<Word<'_>>]) {
    for place in 1..apart.len() {
        let Some([first, second]) = apart.get_mut(place - 1..=place) else { continue };
        let (Some(one), Some(two)) = (*first, *second) else { continue };
        let is_whole = |word: &&mut Option<Word<'_>>| {
            let rest = word.as_ref().and_then(|word| word.stem.strip_prefix(one.stem));
            rest == Some(two.stem)
        };
        if let Some(whole) = joined.iter_mut().find(is_whole) {
            (*whole, *first, *second) = (None, None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching_words_are_paired() {
        let cases = [
            ("Is wi-fi free?", "Is the wifi free?", 1, 0, 0, 0),
            ("request a prescription", "reqest a perscription", 2, 0, 0, 2),
            ("cook rice today", "cook quinoa today", 1, 1, 1, 0),
            ("a gift", "a gift card", 1, 0, 1, 0),
            ("", "", 0, 0, 0, 0),
        ];
        for (a, b, shared, only_a, only_b, misspelled) in cases {
            let (first, second) = (Profile::of(a), Profile::of(b));
            let comparison = Comparison::of(&first, &second);
            let counts = (
                comparison.shared.len(),
                comparison.only_a.len(),
                comparison.only_b.len(),
                comparison.misspelled,
            );
            assert_eq!(counts, (shared, only_a, only_b, misspelled), "{a} | {b}");
        }
    }
}
