//! The words of a text one by one: short forms in full, phrases of politeness marked.

use std::sync::LazyLock;

use super::closed::{ClosedWord, closed};
use super::table::WordTable;
use super::token::{Token, TokenKind};

/// A word, number or mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flat<'a> {
    /// Lower case; `,`, `:` or `.` for a mark, `'s` behind a possessor.
    pub text: &'a str,
    /// The token it is of.
    pub token: usize,
    /// Politeness: it is no part of the question.
    pub is_aside: bool,
    /// The closed word that it is, or that it begins.
    pub closed: Option<ClosedWord>,
    /// One of several words that are one closed word.
    pub is_taken: bool,
}

impl Flat<'_> {
    fn is_mark(&self) -> bool {
        matches!(self.text, "," | ":" | ".")
    }
}

/// Words of short forms without their apostrophe, and what they are short for.
const SHORT: &[(&str, &str, &str)] = &[
    ("arent", "are", "not"),
    ("cannot", "can", "not"),
    ("cant", "can", "not"),
    ("couldnt", "could", "not"),
    ("didnt", "did", "not"),
    ("doesnt", "does", "not"),
    ("dont", "do", "not"),
    ("dunno", "know", "not"),
    ("gotta", "must", ""),
    ("hadnt", "had", "not"),
    ("hasnt", "has", "not"),
    ("havent", "have", "not"),
    ("hows", "how", "is"),
    ("im", "i", "am"),
    ("isnt", "is", "not"),
    ("ive", "i", "have"),
    ("mustnt", "must", "not"),
    ("shouldnt", "should", "not"),
    ("thats", "that", "is"),
    ("theres", "there", "is"),
    ("theyre", "they", "are"),
    ("wasnt", "was", "not"),
    ("werent", "were", "not"),
    ("whats", "what", "is"),
    ("whens", "when", "is"),
    ("wheres", "where", "is"),
    ("whos", "who", "is"),
    ("wich", "which", ""),
    ("wont", "will", "not"),
    ("wouldnt", "would", "not"),
    ("youre", "you", "are"),
];

static FULL: LazyLock<WordTable<(&'static str, &'static str)>> =
    LazyLock::new(|| WordTable::new(SHORT.iter().map(|(short, one, two)| (*short, (*one, *two)))));

/// Words behind which `'s` is short for `is` or `has`.
const NOT_POSSESSORS: &[&str] = &[
    "what",
    "who",
    "where",
    "when",
    "why",
    "how",
    "that",
    "there",
    "here",
    "it",
    "he",
    "she",
    "this",
    "everything",
    "everyone",
    "something",
    "nothing",
    "which",
];

/// A word in full: two words of a short form, or one.
fn expand(word: &str) -> (&str, &str) {
    if let Some(full) = FULL.get(word) {
        return full;
    }
    let Some((base, ending)) = word.split_once('\'') else { return (word, "") };
    match ending {
        "s" if base == "let" => ("", ""),
        "s" if NOT_POSSESSORS.contains(&base) => (base, "is"),
        "s" => (base, "'s"),
        "re" => (base, "are"),
        "m" => (base, "am"),
        "ve" => (base, "have"),
        "ll" => (base, "will"),
        "d" => (base, "would"),
        "t" => match base {
            "can" => ("can", "not"),
            "won" => ("will", "not"),
            "shan" => ("shall", "not"),
            _ => (base.strip_suffix('n').unwrap_or(base), "not"),
        },
        _ => (word, ""),
    }
}

/// All words in order.
pub(super) fn flatten<'a>(tokens: &'a [Token]) -> Vec<Flat<'a>> {
    let mut flat: Vec<Flat<'a>> = Vec::with_capacity(tokens.len() + 8);
    for (token, one) in tokens.iter().enumerate() {
        let mut push = |text: &'a str| {
            if !text.is_empty() {
                flat.push(Flat { text, token, is_aside: false, closed: None, is_taken: false });
            }
        };
        match one.kind {
            TokenKind::Stop => push(if matches!(one.before, Some(':' | ';')) { ":" } else { "." }),
            TokenKind::Number | TokenKind::Span => push(&one.text),
            _ => {
                let (first, second) = expand(&one.text);
                push(first);
                push(second);
                if one.after == Some('\'') && one.text.ends_with('s') && one.before.is_none() {
                    push("'s");
                }
            }
        }
        if matches!(one.after, Some(',' | '(' | ')' | '\u{2013}' | '\u{2014}')) {
            push(",");
        }
    }
    mark_asides(&mut flat);
    mark_closed(&mut flat, tokens);
    flat
}

/// Finds the closed words.
fn mark_closed(flat: &mut [Flat<'_>], tokens: &[Token]) {
    let mut at = 0;
    while let Some(word) = flat.get(at) {
        if let Some(taken) = sign_word(flat, tokens, at) {
            for word in flat.iter_mut().skip(at).take(taken) {
                word.is_taken = true;
            }
            at += taken;
            continue;
        }
        let is_word = tokens
            .get(word.token)
            .is_some_and(|it| !matches!(it.kind, TokenKind::Number | TokenKind::Span));
        let next = |place: usize| flat.get(at + place).filter(|it| !it.is_aside).map(|it| it.text);
        let Some((found, taken)) = closed(next).filter(|_| is_word) else {
            at += 1;
            continue;
        };
        for (place, word) in flat.iter_mut().skip(at).take(taken).enumerate() {
            word.closed = (place == 0).then_some(found);
            word.is_taken = taken > 1;
        }
        at += taken;
    }
}

/// How many words at `at` are a sign of arithmetic between two numbers. Signs are compared elsewhere.
fn sign_word(flat: &[Flat<'_>], tokens: &[Token], at: usize) -> Option<usize> {
    let text = |at: usize| flat.get(at).map_or("", |word| word.text);
    let taken = match text(at) {
        "times" | "plus" | "minus" | "x" | "modulo" | "mod" => 1,
        "multiplied" | "divided" if text(at + 1) == "by" => 2,
        _ => return None,
    };
    let is_number = |at: usize| {
        let token = flat.get(at).and_then(|word| tokens.get(word.token));
        token.is_some_and(|it| it.kind == TokenKind::Number)
            || super::numeral::small(text(at)).is_some()
    };
    (at > 0 && is_number(at - 1) && is_number(at + taken)).then_some(taken)
}

/// Phrases before a question. The longest first; a word at the end in braces is one of [`REQUESTS`], which
/// stays.
const OPENINGS: &[&str] = &[
    "would you be so kind and",
    "would you be so kind as to",
    "would you be so kind to",
    "could you be so kind and",
    "could you be so kind as to",
    "would you be able to",
    "would you mind",
    "do you happen to know",
    "do you know",
    "does anyone know",
    "does anybody know",
    "does someone know",
    "i was wondering if",
    "i was wondering whether",
    "i was wondering",
    "i wonder if",
    "i wonder whether",
    "i wonder",
    "i am wondering if",
    "i am wondering",
    "just wondering if",
    "just wondering",
    "just curious",
    "i am curious",
    "i would like to know",
    "i would love to know",
    "i want to know",
    "i need to know",
    "i just want to know",
    "i just need to know",
    "may i ask",
    "can i ask",
    "could i ask",
    "can you please",
    "could you please",
    "would you please",
    "will you please",
    "can you kindly",
    "could you kindly",
    "can you {}",
    "could you {}",
    "would you {}",
    "will you {}",
    "quick question",
    "i have a question",
    "i have a quick question",
    "any idea",
    "any ideas",
    "tell me",
    "let me know",
    "excuse me",
    "sorry to bother you",
    "sorry",
    "please",
    "pls",
    "plz",
    "kindly",
    "hi there",
    "hello there",
    "hey there",
    "hi all",
    "hi team",
    "hi everyone",
    "hi",
    "hello",
    "hey",
    "hiya",
    "greetings",
    "dear",
    "good morning",
    "good afternoon",
    "good evening",
    "good day",
    "so",
    "um",
    "uh",
    "er",
    "well",
    "ok",
    "okay",
];

/// Verbs of requests.
const REQUESTS: &[&str] = &[
    "tell",
    "explain",
    "describe",
    "show",
    "give",
    "list",
    "write",
    "help",
    "suggest",
    "recommend",
    "name",
    "define",
    "outline",
    "summarize",
    "summarise",
    "translate",
    "find",
    "provide",
    "make",
    "create",
    "draft",
    "generate",
    "clarify",
    "advise",
    "share",
    "compare",
    "calculate",
    "convert",
    "fix",
    "check",
    "remind",
    "say",
    "spell",
    "count",
    "teach",
    "walk",
    "elaborate",
    "please",
    "kindly",
];

/// Phrases after a question.
const CLOSINGS: &[&str] = &[
    "please",
    "pls",
    "plz",
    "thanks",
    "thanks a lot",
    "thanks so much",
    "thanks in advance",
    "thanks very much",
    "many thanks",
    "thank you",
    "thank you so much",
    "thank you very much",
    "thank you in advance",
    "thx",
    "cheers",
    "ty",
    "any help is appreciated",
    "any help would be appreciated",
    "any help is much appreciated",
    "any help is greatly appreciated",
    "any help would be great",
    "any advice is appreciated",
    "any tips are appreciated",
    "help is appreciated",
    "help appreciated",
    "much appreciated",
    "greatly appreciated",
    "appreciate it",
    "i appreciate it",
    "i appreciate your help",
    "i would appreciate your help",
    "appreciate your help",
    "if you do not mind",
    "have a nice day",
    "have a great day",
    "have a good day",
    "best regards",
    "kind regards",
    "regards",
];

/// The first words of [`OPENINGS`], and the last of [`CLOSINGS`].
static FIRST: LazyLock<WordTable<()>> = LazyLock::new(|| {
    WordTable::new(OPENINGS.iter().filter_map(|phrase| Some((phrase.split(' ').next()?, ()))))
});
static LAST: LazyLock<WordTable<()>> = LazyLock::new(|| {
    WordTable::new(CLOSINGS.iter().filter_map(|phrase| Some((phrase.rsplit(' ').next()?, ()))))
});

/// Marks the phrases of politeness at both ends, as long as something is left between them.
fn mark_asides(flat: &mut [Flat<'_>]) {
    let mut start = 0;
    while let Some(taken) = flat.get(start..).and_then(opening) {
        if flat.get(start + taken..).is_none_or(|rest| rest.iter().all(Flat::is_mark)) {
            break;
        }
        start += taken;
    }
    let mut end = flat.len();
    while let Some(taken) = flat.get(start..end).and_then(closing) {
        if flat.get(start..end - taken).is_none_or(|rest| rest.iter().all(Flat::is_mark)) {
            break;
        }
        end -= taken;
    }
    let length = flat.len();
    for word in flat.iter_mut().take(start) {
        word.is_aside = true;
    }
    for word in flat.iter_mut().skip(end).take(length) {
        word.is_aside = true;
    }
}

/// How many words and marks of politeness come first.
fn opening(flat: &[Flat<'_>]) -> Option<usize> {
    let first = flat.first()?;
    if matches!(first.text, "," | ".") {
        return Some(1);
    }
    let begins = |phrase: &&&str| {
        let mut count = 0;
        phrase.split(' ').enumerate().all(|(place, word)| {
            count += 1;
            let found = flat.get(place).map_or("", |it| it.text);
            if word == "{}" { REQUESTS.contains(&found) } else { word == found }
        }) && count > 0
    };
    if !FIRST.has(first.text) {
        return None;
    }
    let phrase = OPENINGS.iter().filter(|it| it.starts_with(first.text)).find(begins)?;
    let words = phrase.split(' ').filter(|word| *word != "{}").count();
    Some(words)
}

/// How many words and marks of politeness come last.
fn closing(flat: &[Flat<'_>]) -> Option<usize> {
    let last = flat.last()?;
    if last.is_mark() {
        let before = flat.get(..flat.len() - 1)?;
        return closing_phrase(before).map(|taken| taken + 1);
    }
    closing_phrase(flat)
}

fn closing_phrase(flat: &[Flat<'_>]) -> Option<usize> {
    let last = flat.last()?.text;
    let ends = |phrase: &&&str| {
        let words = phrase.rsplit(' ').zip(flat.iter().rev());
        phrase.split(' ').count() <= flat.len() && words.into_iter().all(|(a, b)| a == b.text)
    };
    if !LAST.has(last) {
        return None;
    }
    let phrases = CLOSINGS.iter().filter(|phrase| phrase.ends_with(last)).filter(ends);
    phrases.map(|phrase| phrase.split(' ').count()).max()
}

#[cfg(test)]
mod tests {
    use super::super::token::split;
    use super::*;

    fn check(text: &str, expected: &str) {
        let (tokens, _) = split(text, 100);
        let left: Vec<&str> =
            flatten(&tokens).iter().filter(|it| !it.is_aside).map(|it| it.text).collect();
        assert_eq!(left.join(" "), expected, "{text}");
    }

    #[test]
    fn contractions_are_expanded() {
        check("I can't say what's on", "i can not say what is on");
        check("It won't be Ann's, they'd say", "it will not be ann 's , they would say");
        check("the students' books", "the students 's books");
        check("dont shout", "do not shout");
    }

    #[test]
    fn polite_phrases_are_removed() {
        check("Hi there, how do I go? Thank you so much!", "how do i go .");
        check("Hello! Would you be so kind and list them?", "list them .");
        check("Could you explain tides, please?", "explain tides ,");
        check("How? Any help is appreciated.", "how .");
        check("Can you drive in Norway?", "can you drive in norway .");
        check("Please", "please");
        check("Thanks!", "thanks .");
    }
}
