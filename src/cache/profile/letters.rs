//! Characters above ASCII, which the embedder's tokenizer drops or takes for one: emoji, mathematical
//! signs, accents, Han. Two questions must have the same ones, as often, whatever their order.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A hash of them that ignores their order; 0 where there are none.
pub(super) fn read(text: &str) -> u64 {
    if text.is_ascii() {
        return 0;
    }
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        sum(text.chars())
    } else {
        sum(text.nfc())
    }
}

fn sum(letters: impl Iterator<Item = char>) -> u64 {
    let significant = letters.filter(|letter| !letter.is_ascii() && !is_spelling(*letter));
    let small = significant.flat_map(char::to_lowercase);
    small.map(|letter| spread(u64::from(letter))).fold(0, u64::wrapping_add)
}

/// Quotation marks, dashes, spaces, full-width marks and what else is one with an ASCII character, or
/// is read as a number or sign.
fn is_spelling(letter: char) -> bool {
    matches!(letter,
        '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{b4}' | '\u{2039}' | '\u{203a}'
        | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2026}' | '\u{2022}'
        | '\u{a0}' | '\u{2000}'..='\u{200f}' | '\u{202f}' | '\u{2060}' | '\u{feff}' | '\u{fe0f}' | '\u{ad}'
        | '\u{ff01}' | '\u{ff08}' | '\u{ff09}' | '\u{ff0c}' | '\u{ff0e}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}'
        | '\u{3000}'..='\u{3002}' | '\u{a1}' | '\u{bf}'
        | '£' | '€' | '¥' | '₹' | '°' | '×' | '÷' | '≤' | '≥' | '≠')
}

/// Spreads the bits of a small number, so that sums of few of them differ (Steele and others 2014).
pub(super) fn spread(number: u64) -> u64 {
    let mixed = (number.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (number >> 30))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishing_letters_are_found() {
        for (a, b) in [
            ("What is 🚀?", "What is 💎?"),
            ("∀", "∃"),
            ("schön", "schon"),
            ("papá", "papa"),
            ("猫", "犬"),
            ("🚀", "🚀🚀"),
        ] {
            assert_ne!(read(a), read(b), "{a} | {b}");
        }
    }

    #[test]
    fn spelling_variants_are_ignored() {
        for (a, b) in [
            ("Cafe\u{301}", "Café"),
            ("“What’s up” – he said…", "\"What's up\" - he said..."),
            ("what？", "what?"),
            ("É", "é"),
            ("£5", "5 pounds"),
            ("é ü", "ü é"),
        ] {
            assert_eq!(read(a), read(b), "{a} | {b}");
        }
    }
}
