//! Text that is given to be worked on: there every letter, space and mark counts.

use std::sync::LazyLock;

use super::table::WordTable;

/// What a question wants done with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct GivenText<'a> {
    /// True if it names work on letters, spaces or marks.
    pub is_task: bool,
    /// The text that is given, if its place is known.
    pub text: Option<&'a str>,
}

/// Words of work on the letters of a text, with or without a part that is marked as given.
const TASKS: &[&str] = &[
    "anagram",
    "anagrams",
    "ascii",
    "backwards",
    "base64",
    "camelcase",
    "capitalise",
    "capitalised",
    "capitalization",
    "capitalize",
    "capitalized",
    "capitals",
    "character",
    "characters",
    "checksum",
    "cipher",
    "consonants",
    "decode",
    "decrypt",
    "encode",
    "encrypt",
    "grammar",
    "grammatical",
    "grammatically",
    "hash",
    "hex",
    "hexadecimal",
    "indentation",
    "letters",
    "lowercase",
    "md5",
    "misspelled",
    "morse",
    "palindrome",
    "proofread",
    "punctuate",
    "punctuation",
    "regex",
    "reverse",
    "reversed",
    "rot13",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "slug",
    "snake",
    "spell",
    "spelled",
    "spelling",
    "spelt",
    "syllable",
    "syllables",
    "titlecase",
    "tokens",
    "typo",
    "typos",
    "unicode",
    "uppercase",
    "vowel",
    "vowels",
    "whitespace",
];

/// Words that mean such work where a part is marked as given.
const TASKS_OF_GIVEN: &[&str] = &[
    "abbreviate",
    "begin",
    "begins",
    "blank",
    "blanks",
    "camel",
    "capital",
    "case",
    "classify",
    "comma",
    "commas",
    "compress",
    "convert",
    "correct",
    "correctly",
    "count",
    "end",
    "ends",
    "escape",
    "fix",
    "format",
    "indent",
    "kebab",
    "letter",
    "mark",
    "marks",
    "normalise",
    "normalize",
    "paragraph",
    "paraphrase",
    "parse",
    "pascal",
    "phrase",
    "pronounce",
    "quote",
    "reformat",
    "remove",
    "rephrase",
    "replace",
    "rewrite",
    "rhyme",
    "rhymes",
    "sentence",
    "sentiment",
    "sort",
    "space",
    "spaces",
    "split",
    "string",
    "summarise",
    "summarize",
    "tab",
    "tabs",
    "text",
    "title",
    "tokenize",
    "tone",
    "translate",
    "translated",
    "translation",
    "transliterate",
    "trim",
    "validate",
    "word",
    "words",
    "written",
];

/// Nouns behind which the given text may stand without a mark.
const NOUNS: &[&str] = &["word", "string", "letter", "phrase", "character", "term"];

/// Words that may follow such a noun and are not the given text.
const NOT_GIVEN: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "begin", "begins", "by", "can", "come", "comes", "count",
    "counts", "do", "does", "end", "ends", "for", "from", "has", "have", "in", "into", "is",
    "limit", "mean", "means", "of", "on", "or", "order", "that", "the", "this", "to", "was",
    "which", "with", "you", "i",
];

/// What a word indicates about given text.
#[derive(Clone, Copy, Default)]
struct WordHint {
    is_task: bool,
    is_task_of_given: bool,
    is_noun: bool,
    is_not_given: bool,
}

static WORDS: LazyLock<WordTable<WordHint>> = LazyLock::new(|| {
    let words = [TASKS, TASKS_OF_GIVEN, NOUNS, NOT_GIVEN].concat();
    WordTable::new(words.into_iter().map(|word| {
        let is_in = |list: &[&str]| list.contains(&word);
        let kind = WordHint {
            is_task: is_in(TASKS),
            is_task_of_given: is_in(TASKS_OF_GIVEN),
            is_noun: is_in(NOUNS),
            is_not_given: is_in(NOT_GIVEN),
        };
        (word, kind)
    }))
});

/// Looks for it in a question.
pub(in crate::cache) fn read(text: &str) -> GivenText<'_> {
    let (mut is_task, mut is_task_of_given) = (false, false);
    let (mut is_behind_noun, mut behind_noun) = (false, None);
    for word in text.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut small = [0; 16];
        let known = small.get_mut(..word.len()).and_then(|small| {
            small.copy_from_slice(word.as_bytes());
            small.make_ascii_lowercase();
            std::str::from_utf8(small).ok().and_then(|small| WORDS.get(small))
        });
        let kind = known.unwrap_or_default();
        if std::mem::take(&mut is_behind_noun) && behind_noun.is_none() {
            behind_noun = (!kind.is_not_given).then_some(word);
        }
        is_task |= kind.is_task;
        is_task_of_given |= kind.is_task_of_given;
        is_behind_noun = kind.is_noun;
    }
    if !is_task && !is_task_of_given {
        return GivenText { is_task: false, text: lines(text) };
    }
    let marked =
        lines(text).or_else(|| behind_colon(text)).or_else(|| quoted(text)).or(behind_noun);
    GivenText { is_task: is_task || marked.is_some(), text: marked }
}

/// Text in lines or with tabs behind a colon is taken literally, whatever is done with it.
fn lines(text: &str) -> Option<&str> {
    let given = behind_colon(text)?;
    given.contains(['\n', '\t']).then_some(given)
}

fn behind_colon(text: &str) -> Option<&str> {
    let (_, given) = text.split_once(':')?;
    // Of a time, a URL or a path it is no beginning.
    let is_mark = given.starts_with([' ', '\n', '\t']);
    if !is_mark {
        return None;
    }
    let given = given.strip_prefix(' ').unwrap_or(given);
    (!given.trim().is_empty()).then_some(given)
}

/// What stands between the first quotation mark and the last one.
fn quoted(text: &str) -> Option<&str> {
    const OPENING: [char; 7] = ['"', '\u{201c}', '\u{201e}', '\u{ab}', '\'', '\u{2018}', '`'];
    const CLOSING: [char; 8] =
        ['"', '\u{201d}', '\u{201c}', '\u{bb}', '\'', '\u{2019}', '\u{2018}', '`'];
    let opens = |(at, mark): &(usize, char)| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        OPENING.contains(mark) && before.is_none_or(|before| !before.is_alphanumeric())
    };
    let (start, mark) = text.char_indices().find(opens)?;
    let rest = text.get(start + mark.len_utf8()..)?;
    let closes = |(at, mark): &(usize, char)| {
        let after = rest.get(at + mark.len_utf8()..).and_then(|after| after.chars().next());
        CLOSING.contains(mark) && after.is_none_or(|after| !after.is_alphanumeric())
    };
    let (end, _) = rest.char_indices().rev().find(closes)?;
    rest.get(..end).filter(|given| !given.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_text_is_found() {
        for (text, is_task, given) in [
            ("How many characters are in 'a  b'?", true, Some("a  b")),
            ("Is this sentence correctly written: he left. ", true, Some("he left. ")),
            ("Does the word Polish begin with a capital?", true, Some("Polish")),
            ("What is the MD5 of hello", true, None),
            ("Format this:\nfor i in x:\n  a()", true, Some("\nfor i in x:\n  a()")),
            ("Explain:\n\tx", false, Some("\n\tx")),
            ("Translate into French: I miss you", true, Some("I miss you")),
            ("What is the word limit?", false, None),
            ("How do I write a letter?", false, None),
            ("What's the word count of Ann's book?", false, None),
            ("When does the 9:15 leave?", false, None),
            ("Note: call me", false, None),
        ] {
            assert_eq!(read(text), GivenText { is_task, text: given }, "{text}");
        }
    }
}
