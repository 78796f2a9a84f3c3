//! What is known of a question besides its vector: made once, at insert, and compared many times.
//!
//! A profile holds what an embedding blurs: numbers with their units, negation, words with an
//! opposite, names, all words in their order, signs, given text, spans that must be equal to the letter. Two profiles can be
//! compared without their texts. Making one reads at most [`TEXT_BYTES_MAX`] bytes and keeps at most
//! [`WORDS_MAX`] words; a text that has more is marked cut, and a cut profile matches nothing.
//!
//! English is understood, and no other language: a profile marks text in another.
//!
//! A stored profile is only as good as the tables it was made with: see [`version`].

mod closed;
mod facts;
mod given;
mod grammar;
mod irregular;
mod language;
mod letters;
mod lexicon;
mod numeral;
mod quantity;
mod reader;
mod relation;
mod sequence;
mod signs;
mod spans;
mod stem;
mod table;
mod token;
mod words;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub use closed::{ClosedWord, class};
pub use facts::ProfileFacts;
pub(super) use given::read as read_given;
pub(super) use grammar::passive;
pub use grammar::{Gap, Mood};
pub use lexicon::{OppositionSide, QuestionKind};
pub use quantity::{Dimension, Quantity};
pub use reader::is_foreign;
pub use relation::RelationSide;
pub use sequence::Term;
pub use stem::is_misspelling;
pub(super) use stem::stem;

/// Bytes of a text that are read; a longer text is cut. The semantic tier is for short questions: 64
/// tokens of English are about 300 bytes.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// Content words that are kept; a text with more of them is cut.
pub const WORDS_MAX: usize = 96;

/// Numbers, poles and spans that are kept, of each kind; a text with more of them is cut.
pub const FACTS_MAX: usize = 32;

/// What is known of one question. About 170 bytes on the heap and inline for a question of 60 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Stems of the content words in their order, with a space between two of them.
    stems: Box<str>,
    /// As many as there are stems.
    marks: Box<[Mark]>,
    /// Sorted.
    quantities: Box<[Quantity]>,
    /// Sorted, each once.
    poles: Box<[OppositionSide]>,
    /// Sorted.
    spans: Box<[Span]>,
    /// All words in order, with the marks that part phrases.
    terms: Box<[Term]>,
    facts: ProfileFacts,
    negations: u8,
    is_foreign: bool,
    scripts: u8,
    question: QuestionKind,
    is_cut: bool,
}

/// What is known of a content word besides its stem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Written like a name: with a capital that the beginning of a sentence does not explain.
    pub is_name: bool,
    /// The preposition right before the word, if its object would change the question.
    pub role: RelationSide,
}

/// A span that must be equal to the letter, as 63 bits of its BLAKE3 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Span {
    /// Code, a URL, a path, an identifier, a mail address.
    Opaque(u64),
    /// Words in quotation marks, which count among the content words as well.
    Quote(u64),
}

/// A content word with its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// Lower case, without its ending.
    pub stem: &'a str,
    /// What else is known of it.
    pub mark: Mark,
}

impl Profile {
    /// Content words in their order.
    pub fn words(&self) -> impl Iterator<Item = Word<'_>> {
        let stems = self.stems.split(' ').filter(|stem| !stem.is_empty());
        stems.zip(&self.marks).map(|(stem, mark)| Word { stem, mark: *mark })
    }

    /// Numbers, dates, times, amounts and versions, sorted.
    #[must_use]
    pub fn quantities(&self) -> &[Quantity] {
        &self.quantities
    }

    /// Words that have an opposite, sorted, each once.
    #[must_use]
    pub fn poles(&self) -> &[OppositionSide] {
        &self.poles
    }

    /// Spans that must be equal, sorted.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// True if an odd number of negations turns the question round.
    #[must_use]
    pub fn is_negated(&self) -> bool {
        self.negations % 2 == 1
    }

    /// All words in order, those of the closed classes as well.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// What is compared as a whole.
    #[must_use]
    pub fn facts(&self) -> &ProfileFacts {
        &self.facts
    }

    /// True if the text is not English, so that the tables know too little of it.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// A bit for each script that letters of the text belong to.
    #[must_use]
    pub fn scripts(&self) -> u8 {
        self.scripts
    }

    /// The kind of answer that the question expects.
    #[must_use]
    pub fn question(&self) -> QuestionKind {
        self.question
    }

    /// True if the text had more than a profile holds, so that it may match nothing.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes this profile takes, inline and on the heap, without the allocator's own.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.stems.len()
            + size_of_val(&*self.marks)
            + size_of_val(&*self.quantities)
            + size_of_val(&*self.poles)
            + size_of_val(&*self.spans)
            + size_of_val(&*self.terms)
    }
}

/// True of function words and others that English texts have often. `word` is lower case.
pub(super) fn is_common_word(word: &str) -> bool {
    lexicon::is_english(word)
}

/// Names the tables and rules that profiles are made by. A pole is a place in a table and a stem is
/// what the rules leave of a word, so a stored profile of another version is to be thrown away. The
/// hash is over the very sources: nobody can change a table and forget to say so.
#[must_use]
pub fn version() -> u64 {
    *VERSION
}

static VERSION: LazyLock<u64> = LazyLock::new(|| {
    const SOURCES: [&str; 20] = [
        include_str!("profile.rs"),
        include_str!("profile/closed.rs"),
        include_str!("profile/facts.rs"),
        include_str!("profile/given.rs"),
        include_str!("profile/grammar.rs"),
        include_str!("profile/irregular.rs"),
        include_str!("profile/language.rs"),
        include_str!("profile/letters.rs"),
        include_str!("profile/lexicon.rs"),
        include_str!("profile/numeral.rs"),
        include_str!("profile/quantity.rs"),
        include_str!("profile/reader.rs"),
        include_str!("profile/relation.rs"),
        include_str!("profile/sequence.rs"),
        include_str!("profile/signs.rs"),
        include_str!("profile/spans.rs"),
        include_str!("profile/stem.rs"),
        include_str!("profile/table.rs"),
        include_str!("profile/token.rs"),
        include_str!("profile/words.rs"),
    ];
    let mut hasher = blake3::Hasher::new();
    for source in SOURCES {
        hasher.update(blake3::hash(source.as_bytes()).as_bytes());
    }
    let hash = hasher.finalize();
    hash.as_bytes().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn profile_version_covers_every_source() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cache/profile");
        let sources = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(sources, 19, "name the new file in `version`");
    }

    proptest! {
        #[test]
        fn profile_round_trips_through_storage(
            text in "(from |not |off |Leeds |`a` |\"b c\" |3pm |£5 |Monday |[A-Za-z0-9é東]{1,9} ){0,40}|.{0,100}",
        ) {
            let profile = Profile::of(&text);
            let stored = postcard::to_allocvec(&profile).unwrap();
            prop_assert!(stored.len() <= 2 * profile.bytes());
            prop_assert_eq!(postcard::from_bytes::<Profile>(&stored).unwrap(), profile);
        }
    }
}
