//! Reads a text into a profile, in one pass over its tokens.

use super::closed::ClosedWord;
use super::sequence::{self, Term};
use super::token::{self, Token, TokenKind};
use super::words::flatten;
use super::{
    FACTS_MAX, Mark, Profile, ProfileFacts, RelationSide, Span, TEXT_BYTES_MAX, WORDS_MAX,
};
use super::{language, lexicon, quantity, spans, stem};

/// Tokens that are read of a text; most are function words and numbers beside [`WORDS_MAX`].
const TOKENS_MAX: usize = 4 * WORDS_MAX;

/// Letters of a stem that are kept. Longer ones are cut, which marks the profile.
const STEM_BYTES_MAX: usize = 64;

impl Profile {
    /// Reads a question: the last user turn's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        read(text)
    }
}

fn read(text: &str) -> Profile {
    let head = head(text);
    let (mut spans, words, has_more_spans) = spans::take(head);
    let (tokens, has_more_tokens) = token::split(&words, TOKENS_MAX);
    let (mut quantities, used) = quantity::read(&tokens);
    let flat = flatten(&tokens);
    // Words of politeness, and words that carry no matter: those of a closed word of several.
    let mut is_aside = vec![false; tokens.len()];
    let (mut is_idle, mut is_taken) = (is_aside.clone(), is_aside.clone());
    for word in &flat {
        let is_small = word.closed.is_some_and(ClosedWord::is_rare_preposition);
        let place = word.token;
        if let (Some(aside), Some(idle), Some(taken)) =
            (is_aside.get_mut(place), is_idle.get_mut(place), is_taken.get_mut(place))
        {
            *aside |= word.is_aside;
            *idle |= is_small;
            *taken |= word.is_aside || word.is_taken;
        }
    }
    let mut reader = Reader::new(&tokens);
    let mut opaque = spans.iter().filter(|span| matches!(span, Span::Opaque(_)));
    for (at, (token, is_used)) in tokens.iter().zip(used).enumerate() {
        if token.kind == TokenKind::Span {
            reader.span(at, opaque.next());
        } else if token.is_word() && is_taken.get(at) != Some(&true) {
            let is_used = is_used || is_idle.get(at) == Some(&true);
            reader.word(at, token, is_used);
        }
    }
    spans.sort_unstable();
    reader.poles.sort_unstable();
    reader.poles.dedup();
    let is_cut = reader.is_cut
        || has_more_spans
        || has_more_tokens
        || head.len() < text.len()
        || quantities.len() > FACTS_MAX
        || reader.poles.len() > FACTS_MAX;
    quantities.truncate(FACTS_MAX);
    reader.poles.truncate(FACTS_MAX);
    let terms = sequence::read(&flat, &tokens, &reader.terms);
    let opening =
        tokens.iter().zip(&is_aside).filter(|(token, is_aside)| token.is_word() && !**is_aside);
    let opening =
        opening.map(|(token, _)| token.text.as_str()).skip_while(|word| is_aside_word(word));
    Profile {
        stems: reader.stems.into(),
        marks: reader.marks.into(),
        quantities: quantities.into(),
        poles: reader.poles.into(),
        spans: spans.into(),
        facts: ProfileFacts::of(head, &tokens, &terms),
        terms: terms.into(),
        negations: reader.negations,
        is_foreign: language::is_foreign(&words, &tokens),
        scripts: scripts(&words),
        question: lexicon::question(&opening.take(24).collect::<Vec<_>>()),
        is_cut,
    }
}

/// True of a text that is not English: if a quarter of its letters is beyond the Latin script, or more
/// of its function words are foreign than English.
#[must_use]
pub fn is_foreign(text: &str) -> bool {
    let (tokens, _) = token::split(head(text), TOKENS_MAX);
    language::is_foreign(text, &tokens)
}

/// The beginning of a text, cut between two characters.
fn head(text: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or("")
}

/// Words before a question that are none of it.
fn is_aside_word(word: &str) -> bool {
    lexicon::is_greeting(word)
        || lexicon::is_greeted(word)
        || matches!(
            word,
            "so" | "um" | "uh" | "er" | "and" | "but" | "please" | "well" | "ok" | "okay" | "just"
        )
}

struct Reader<'a> {
    tokens: &'a [Token],
    stems: String,
    marks: Vec<Mark>,
    /// The term of each token that is a content word or a span.
    terms: Vec<Option<Term>>,
    poles: Vec<lexicon::OppositionSide>,
    negations: u8,
    role: RelationSide,
    /// Capitals say nothing in a title or a shouted text.
    are_capitals_significant: bool,
    is_cut: bool,
}

impl<'a> Reader<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let begins = |at: usize| {
            at.checked_sub(1)
                .is_none_or(|at| tokens.get(at).is_some_and(|token| token.kind == TokenKind::Stop))
        };
        let is_function = |token: &&Token| lexicon::is_function_word(&token.text);
        let is_capital = |(at, token): &(usize, &Token)| {
            matches!(token.kind, TokenKind::Capital | TokenKind::Capitals)
                && !matches!(
                    token.text.as_str(),
                    "i" | "i'm" | "i'd" | "i've" | "i'll" | "us" | "it" | "who" | "ok"
                )
                && !begins(*at)
        };
        let capital = tokens.iter().enumerate().filter(is_capital).map(|(_, token)| token);
        let capital = capital.filter(is_function).count();
        let lower = tokens.iter().filter(|token| token.kind == TokenKind::Lower);
        let has_lower = lower.clone().next().is_some();
        let lower = lower.filter(is_function).count();
        Self {
            tokens,
            stems: String::new(),
            marks: Vec::new(),
            terms: vec![None; tokens.len()],
            poles: Vec::new(),
            negations: 0,
            role: RelationSide::Subject,
            are_capitals_significant: has_lower && capital <= lower,
            is_cut: false,
        }
    }

    fn word(&mut self, at: usize, token: &Token, is_used: bool) {
        let word = token.text.as_str();
        let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let is_name = self.are_capitals_significant
            && match token.kind {
                TokenKind::Capitals => true,
                TokenKind::Capital => {
                    before.is_some_and(|before| before.kind != TokenKind::Stop)
                        && !matches!(word, "i" | "i'm" | "i'd" | "i've" | "i'll")
                }
                _ => false,
            };
        self.poles.extend(lexicon::poles(word));
        if lexicon::is_negation(word) {
            self.negations = self.negations.saturating_add(1);
            return;
        }
        if let Some(role) = lexicon::role(word) {
            self.role = role;
        }
        let is_greeted = lexicon::is_greeted(word)
            && before.is_some_and(|before| lexicon::is_greeting(&before.text));
        let root = word
            .split_once('\'')
            .map_or(word, |(root, ending)| if ending == "s" { word } else { root });
        // US, WHO, and the S of a version.
        let is_acronym = is_name
            && (token.kind == TokenKind::Capitals
                && matches!(word, "us" | "it" | "who" | "am" | "or" | "in" | "me")
                || word.len() == 1 && !matches!(word, "a" | "i"));
        let bare = root.strip_suffix("'s").unwrap_or(root);
        if is_used || is_greeted || (lexicon::is_function_word(bare) && !is_acronym) {
            return;
        }
        let role = std::mem::take(&mut self.role);
        let stem = stem::stem(word);
        if let Some(term) = self.terms.get_mut(at) {
            *term = Some(Term::open(&stem));
        }
        self.push(&stem, Mark { is_name, role });
    }

    fn span(&mut self, at: usize, span: Option<&Span>) {
        if let (Some(term), Some(Span::Opaque(hash))) = (self.terms.get_mut(at), span) {
            *term = Some(Term::open(&hash.to_string()));
        }
    }

    fn push(&mut self, stem: &str, mark: Mark) {
        let end =
            (0..=STEM_BYTES_MAX.min(stem.len())).rev().find(|end| stem.is_char_boundary(*end));
        let kept = end.and_then(|end| stem.get(..end)).unwrap_or("");
        self.is_cut |= kept.len() < stem.len() || self.marks.len() >= WORDS_MAX;
        if self.marks.len() >= WORDS_MAX || kept.is_empty() {
            return;
        }
        if !self.stems.is_empty() {
            self.stems.push(' ');
        }
        self.stems.push_str(kept);
        self.marks.push(mark);
    }
}

/// A bit for each script in the text.
fn scripts(text: &str) -> u8 {
    let bit = |letter: char| match u32::from(letter) {
        0..=0x24f | 0x1e00..=0x1eff => 1,
        0x370..=0x3ff => 2,
        0x400..=0x52f => 4,
        0x590..=0x6ff | 0x750..=0x77f => 8,
        0x3040..=0x30ff => 16,
        0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff => 32,
        0x1100..=0x11ff | 0xac00..=0xd7af => 64,
        _ => 128,
    };
    text.chars().filter(|letter| letter.is_alphabetic()).fold(0, |bits, letter| bits | bit(letter))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stems(text: &str) -> String {
        read(text).stems.into()
    }

    #[test]
    fn filler_words_are_left_out() {
        let cases = [
            ("Hi team, how do I change the currency on my invoices?", "chang currency invoic"),
            ("so um can i change the name on my flight ticket", "chang nam flight ticket"),
            ("What's the minimum order?", "minimum order"),
            ("How do I get to the US?", "us"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(stems(text), expected, "{text}");
        }
    }

    #[test]
    fn names_roles_and_negations_are_marked() {
        let profile = read("Can't I move from Leeds to York?");
        let words: Vec<_> =
            profile.words().map(|word| (word.stem, word.mark.is_name, word.mark.role)).collect();
        assert_eq!(
            words,
            [
                ("mov", false, RelationSide::Subject),
                ("leed", true, RelationSide::From),
                ("york", true, RelationSide::To)
            ]
        );
        assert!(profile.is_negated());
        assert!(!read("WHY IS THIS ALL CAPITALS").words().any(|word| word.mark.is_name));
    }

    #[test]
    fn profile_size_is_bounded() {
        assert!(read(&"word ".repeat(WORDS_MAX + 1)).is_cut());
        assert!(read(&"é".repeat(TEXT_BYTES_MAX)).is_cut());
        assert!(read(&"1 ".repeat(FACTS_MAX + 1)).is_cut());
        let usual = read("What is the interest rate on a 2-year fixed mortgage at the moment?");
        assert!(!usual.is_cut());
        assert!(usual.bytes() <= 320, "{} bytes", usual.bytes());
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_profile(text in "\\PC{0,200}|[a-z0-9 .,:`\"'’A-Z\\-/_@$%]{0,400}|.{0,100}") {
            let profile = read(&text);
            prop_assert_eq!(profile.words().count(), profile.marks.len());
            prop_assert!(profile.marks.len() <= WORDS_MAX);
            prop_assert!(profile.quantities.len() <= FACTS_MAX && profile.poles.len() <= FACTS_MAX);
            prop_assert_eq!(&profile, &read(&text));
        }
    }
}
