//! A statement against a question of the same words, and a word against the name that is spelled like
//! it: us and US, polish and Polish.

use std::sync::LazyLock;

use crate::cache::comparison::Comparison;
use crate::cache::profile::{ClosedWord, Mood, Profile, Word, stem};

/// Words that are something else with a capital.
const CASED: &str = "aids apple april august bath cancer cats china chile cork cuba earth eve frank
    georgia god grace guinea ham java jersey job june jupiter lima march mark may mercury mobile mosaic
    nice opal pal polish python ram reading rom rust scotch shell slack swift tangerine turkey wales windows
    word zoom";

static STEMS: LazyLock<Vec<String>> =
    LazyLock::new(|| CASED.split_whitespace().map(stem).collect());

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let (a, b) = (pair.a.facts().mood, pair.b.facts().mood);
    let is_stated = matches!(
        (a, b),
        (Mood::Statement, Mood::Doubt | Mood::QuestionKind)
            | (Mood::Doubt | Mood::QuestionKind, Mood::Statement)
    );
    is_stated && pair.only_a.is_empty() && pair.only_b.is_empty() || is_another_word(pair)
}

fn is_another_word(pair: &Comparison<'_>) -> bool {
    let are_capitals_compared = pair.a.facts().has_capitals && pair.b.facts().has_capitals;
    are_capitals_compared
        && (pair.shared.iter().any(|word| {
            word.a.mark.is_name != word.b.mark.is_name
                && STEMS.iter().any(|stem| stem == word.a.stem)
        }) || hides(&pair.only_a, pair.b)
            || hides(&pair.only_b, pair.a))
}

/// A name of one side is a pronoun of the other: US, IT, WHO.
fn hides(words: &[Word<'_>], other: &Profile) -> bool {
    words.iter().filter(|word| word.mark.is_name).any(|word| {
        let pronoun = match word.stem {
            "us" | "me" => ClosedWord::I,
            "it" => ClosedWord::It,
            "who" => ClosedWord::Who,
            "am" | "is" => ClosedWord::Be,
            "or" => ClosedWord::Or,
            "in" => ClosedWord::At,
            _ => return false,
        };
        other.terms().iter().any(|term| term.is(pronoun))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_guard;

    #[test]
    fn different_questions_are_rejected_and_paraphrases_pass() {
        let refused = [
            ("The shop is closed.", "The shop is closed?"),
            ("It works now", "It works now?"),
            ("What does us mean here?", "What does US mean here?"),
            ("Tell me about turkey", "Tell me about Turkey"),
        ];
        let passed = [("What is turkey?", "what is turkey"), ("Explain tides", "Explain tides.")];
        check_guard(super::fires, &refused, &passed);
    }
}
