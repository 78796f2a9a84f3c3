//! Numbers in English words: `two hundred and fifty`, `twenty-first`, `a dozen`.

use super::token::Token;

/// A number in words.
pub(super) struct NumberWord {
    pub value: f64,
    /// Tokens that it is written in.
    pub taken: usize,
    pub is_ordinal: bool,
    /// "One" alone, which is rather a pronoun unless a unit follows.
    pub is_pronoun: bool,
}

/// The number that `tokens` begin with, if they do: `two hundred and fifty`, `twenty first`, `half`.
pub(super) fn number_word(tokens: &[Token]) -> Option<NumberWord> {
    let (mut sum, mut group, mut taken, mut is_ordinal) = (0.0, 0.0, 0, false);
    for (at, token) in tokens.iter().enumerate().take(12) {
        let word = token.text.as_str();
        if let Some((value, ordinal)) = small(word) {
            // Two numbers in a row are two numbers, but for "twenty one".
            if group % 100.0 != 0.0 && (value >= 10.0 || group % 10.0 != 0.0) {
                break;
            }
            group += value;
            is_ordinal = ordinal;
        } else if word == "hundred" || word == "dozen" {
            group = group.max(1.0) * if word == "dozen" { 12.0 } else { 100.0 };
        } else if let Some(scale) = match word {
            "thousand" => Some(1e3),
            "million" => Some(1e6),
            "billion" => Some(1e9),
            _ => None,
        } {
            sum += group.max(1.0) * scale;
            group = 0.0;
        } else if word == "half" && taken == 0 {
            return Some(NumberWord { value: 0.5, taken: 1, is_ordinal: false, is_pronoun: false });
        } else if word == "and"
            && group >= 100.0
            && tokens.get(at + 1).is_some_and(|next| small(&next.text).is_some())
        {
            continue;
        } else {
            break;
        }
        taken = at + 1;
        if is_ordinal {
            break;
        }
    }
    let is_pronoun = taken == 1 && sum == 0.0 && group == 1.0 && !is_ordinal;
    (taken > 0).then_some(NumberWord { value: sum + group, taken, is_ordinal, is_pronoun })
}

/// A number word below a hundred; true for an ordinal.
pub(super) fn small(word: &str) -> Option<(f64, bool)> {
    const CARDINALS: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const ORDINALS: [&str; 13] = [
        "", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
        "tenth", "eleventh", "twelfth",
    ];
    const TENS: [&str; 8] =
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let place = |names: &[&str]| {
        let place = names.iter().position(|name| *name == word && !name.is_empty())?;
        u8::try_from(place).ok().map(f64::from)
    };
    if let Some(value) = place(&CARDINALS) {
        return Some((value, false));
    }
    if let Some(value) = place(&TENS) {
        return Some((20.0 + 10.0 * value, false));
    }
    place(&ORDINALS).map(|value| (value, true))
}

#[cfg(test)]
mod tests {
    use super::super::token::split;
    use super::*;

    #[test]
    fn number_words_are_parsed() {
        let cases = [
            ("two hundred and fifty users", Some((250.0, 4, false))),
            ("twenty one", Some((21.0, 2, false))),
            ("two five", Some((2.0, 1, false))),
            ("three million", Some((3e6, 2, false))),
            ("thirty third", Some((33.0, 2, true))),
            ("half a day", Some((0.5, 1, false))),
            ("hundred and counting", Some((100.0, 1, false))),
            ("and two", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let found = number_word(&split(text, 100).0);
            let found = found.map(|number| (number.value, number.taken, number.is_ordinal));
            assert_eq!(found, expected, "{text}");
        }
        assert!(number_word(&split("one of them", 100).0).is_some_and(|number| number.is_pronoun));
    }
}
