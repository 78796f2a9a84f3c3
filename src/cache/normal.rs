//! Wordings of a question that nobody could mean differently: the normalized-exact tier.
//!
//! Case is kept where it may distinguish names and acronyms from words (`US`, `Polish`), spacing where it may
//! be code or a quotation. What more there is to forgive is the semantic tier's business.

use unicode_normalization::UnicodeNormalization;

use super::profile::read_given;

/// Phrases before a question, if a comma, an exclamation mark or a full stop follows.
const GREETINGS: [&str; 5] = ["hi", "hello", "hey", "hi there", "hello there"];

/// Phrases after a sentence.
const THANKS: [&str; 4] = ["thanks", "thank you", "many thanks", "thanks a lot"];

/// The question without what does not change its answer: Unicode forms of one letter, runs of spaces,
/// a greeting, `please`, thanks, the last punctuation mark, and the capital that begins a sentence.
#[must_use]
pub fn normalize(text: &str) -> String {
    let given = read_given(text);
    // Text to work on is taken literally, spaces and marks included.
    if given.is_task || given.text.is_some() {
        return text.to_owned();
    }
    let text = text.trim();
    // Code, quotations and text in lines mean what they say.
    if text.contains(['`', '"', '“', '”', '«', '»', '\n', '\t'])
        || text.starts_with(['\'', '‘'])
        || text.contains(" '")
        || text.contains(" ‘")
    {
        return text.to_owned();
    }
    let composed: String = text.nfc().map(|it| if it == '’' { '\'' } else { it }).collect();
    let words: Vec<&str> = composed.split_whitespace().collect();
    let joined = words.join(" ");
    let mut rest = joined.as_str();
    loop {
        let shorter = without_affix(rest).trim();
        if shorter.len() == rest.len() || shorter.is_empty() {
            break;
        }
        rest = shorter;
    }
    with_small_beginnings(rest)
}

/// Takes one affix off, if there is one.
fn without_affix(text: &str) -> &str {
    without_greeting(text)
        .or_else(|| without_thanks(text))
        .or_else(|| without_please(text))
        .or_else(|| without_mark(text))
        .unwrap_or(text)
}

fn without_greeting(text: &str) -> Option<&str> {
    let (first, rest) = text.split_once([',', '!', '.'])?;
    let is_greeting = GREETINGS.iter().any(|it| first.eq_ignore_ascii_case(it));
    is_greeting.then(|| rest.trim_start())
}

fn without_thanks(text: &str) -> Option<&str> {
    let end = text.trim_end_matches(['!', '.']);
    let (before, last) = end.rsplit_once(['.', '?', '!', ','])?;
    let is_thanks = THANKS.iter().any(|it| last.trim().eq_ignore_ascii_case(it));
    // The mark before it stays, if it is one that ends a sentence.
    let mark = end.get(before.len()..=before.len()).filter(|it| *it != ",").map_or(0, str::len);
    is_thanks.then(|| text.get(..before.len() + mark)).flatten()
}

fn without_please(text: &str) -> Option<&str> {
    let is_please = |word: &str| word.eq_ignore_ascii_case("please");
    if let Some((first, rest)) = text.split_once(' ')
        && is_please(first.trim_end_matches(','))
    {
        return Some(rest);
    }
    let (rest, last) = text.rsplit_once(' ')?;
    is_please(last).then(|| rest.trim_end_matches(','))
}

/// A full stop at the end, and a question mark where the words ask as well: `the shop is closed?` is
/// no statement. Several marks are not changed.
fn without_mark(text: &str) -> Option<&str> {
    let stated = text.strip_suffix(['.', '。']);
    let question = || text.strip_suffix(['?', '？']).filter(|rest| is_question(rest));
    let rest = stated.or_else(question)?.trim_end();
    rest.ends_with(char::is_alphanumeric).then_some(rest)
}

/// Words that a question begins with.
const ASKING: [&str; 35] = [
    "am", "are", "aren", "can", "could", "couldn", "did", "didn", "do", "does", "doesn", "don",
    "had", "has", "have", "how", "is", "isn", "may", "might", "must", "shall", "should", "was",
    "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "would",
];

/// True if the text is a question by its first word.
fn is_question(text: &str) -> bool {
    let first = text.split(|it: char| !it.is_ascii_alphabetic()).next().unwrap_or_default();
    ASKING.iter().any(|it| it.eq_ignore_ascii_case(first))
}

/// Words that are something else with a capital.
const CASED: [&str; 16] = [
    "apple", "august", "china", "java", "jersey", "job", "march", "nice", "polish", "python",
    "reading", "rust", "swift", "turkey", "windows", "word",
];

/// The first letter of each sentence small, where the rest of its word is.
fn with_small_beginnings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let mut letters = word.chars();
        let first = letters.next().filter(|it| begins && it.is_ascii_uppercase());
        let rest = letters.as_str();
        match first {
            Some(first)
                if !rest.contains(|it: char| it.is_uppercase() || it.is_numeric())
                    && !CASED.iter().any(|it| it.eq_ignore_ascii_case(word)) =>
            {
                out.push(first.to_ascii_lowercase());
                out.push_str(rest);
            }
            _ => out.push_str(word),
        }
        begins = word.ends_with(['.', '?', '!']);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equivalent_wordings_normalize_equally() {
        let same = [
            "What is the capital of Australia?",
            "what is the capital of Australia",
            "  What is the  capital of Australia ?  ",
            "Hi, what is the capital of Australia?",
            "Hello! Please what is the capital of Australia? Thanks!",
            "what is the capital of Australia, please?",
        ];
        for text in same {
            assert_eq!(normalize(text), "what is the capital of Australia", "{text}");
        }
        assert_eq!(normalize("Cafe\u{301} open."), normalize("Café open"));
        assert_eq!(normalize("What’s up? Is it on?"), "what's up? is it on");
    }

    #[test]
    fn meaningful_differences_are_kept() {
        for (one, other) in [
            ("What is 5!", "What is 5"),
            ("How is it in the US?", "how is it in the us?"),
            ("Hello world in C", "world in C"),
            ("Is `A  b` valid?", "Is `A b` valid?"),
            ("what does \"a  b\" say", "what does \"a b\" say"),
            ("a\n b", "a\nb"),
            ("Really?!", "Really"),
            ("IT jobs", "it jobs"),
            ("x² of 2", "x2 of 2"),
            ("A", "B"),
            ("The shop is closed?", "The shop is closed."),
            ("You are leaving?", "You are leaving"),
            ("How many characters are in 'a b'?", "How many characters are in 'a  b'?"),
            ("What is the MD5 of test", "What is the MD5 of test."),
            ("Convert to snake case: myVar", "Convert to snake case: myvar"),
            ("what is 'a  b'", "what is 'a b'"),
            ("Polish shoes", "polish shoes"),
        ] {
            assert_ne!(normalize(one), normalize(other), "{one} | {other}");
        }
        for text in ["", "?", "please", "Hi,", "thanks", "...", " "] {
            assert_eq!(normalize(text).is_empty(), text.trim().is_empty(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn normalization_is_idempotent(text in "\\PC{0,60}") {
            let once = normalize(&text);
            prop_assert_eq!(normalize(&once), once);
        }

        #[test]
        fn greetings_are_removed_safely(text in "((Hi|hello|please|thanks|What|is|A)[ ,.!?]{0,2}){0,8}") {
            let once = normalize(&text);
            prop_assert_eq!(normalize(&once), once);
        }
    }
}
