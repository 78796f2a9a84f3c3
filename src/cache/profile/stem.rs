//! Word endings and spelling: which two words are one.
//!
//! Light on purpose: a stem that joins too much allows a wrong answer, one that joins too
//! little only costs a hit.

use super::irregular;

/// Takes the ending off a lower case word: plural, -ing, -ed, -ly, irregular forms; British spelling
/// becomes American.
/// Words with letters other than `a`–`z` stay as they are.
pub(in crate::cache) fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").unwrap_or(word).replace('\'', "");
    if word.len() < 3 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word;
    }
    let word = irregular::base(&word).map_or(word, str::to_owned);
    if word.len() < 4 {
        return word;
    }
    let word = respell(&singular(&word));
    let cut = ["ing", "ed"].into_iter().find_map(|ending| {
        let root = word.strip_suffix(ending)?;
        (root.len() >= 3 && root.bytes().any(is_vowel)).then(|| undouble(root))
    });
    let word = cut.unwrap_or(word);
    let word = match word.strip_suffix("ly") {
        Some(root) if root.len() >= 4 => root,
        _ => &word,
    };
    let word = word.strip_suffix("ll").map_or_else(|| word.to_owned(), |root| format!("{root}l"));
    match word.strip_suffix('e') {
        Some(root) if root.len() >= 3 => root.to_owned(),
        _ => word,
    }
}

fn singular(word: &str) -> String {
    if let Some(root) = word.strip_suffix("ies").or_else(|| word.strip_suffix("ied"))
        && root.len() >= 3
    {
        return format!("{root}y");
    }
    if let Some(root) = word.strip_suffix("es")
        && ["x", "z", "ch", "sh", "ss"].iter().any(|end| root.ends_with(end))
    {
        return root.to_owned();
    }
    match word.strip_suffix('s') {
        Some(root) if !root.ends_with(['s', 'u', 'i']) => root.to_owned(),
        _ => word.to_owned(),
    }
}

fn respell(word: &str) -> String {
    const SPELLINGS: [(&str, &str); 8] = [
        ("our", "or"),
        ("ourite", "orite"),
        ("tre", "ter"),
        ("ise", "ize"),
        ("isation", "ization"),
        ("yse", "yze"),
        ("ogue", "og"),
        ("ence", "ense"),
    ];
    let respelled = SPELLINGS.into_iter().find_map(|(british, american)| {
        let root = word.strip_suffix(british).filter(|root| root.len() >= 2)?;
        Some(format!("{root}{american}"))
    });
    respelled.unwrap_or_else(|| word.to_owned())
}

fn undouble(root: &str) -> String {
    let mut ends = root.bytes().rev();
    match (ends.next(), ends.next()) {
        (Some(last), Some(before)) if last == before && !b"sz".contains(&last) => {
            root.get(..root.len() - 1).unwrap_or(root).to_owned()
        }
        _ => root.to_owned(),
    }
}

fn is_vowel(byte: u8) -> bool {
    b"aeiouy".contains(&byte)
}

/// True if one of two different stems is most likely the other, mistyped: two neighbors swapped or a
/// letter doubled in words of five letters or more, a letter lost in words of six, a letter wrong in
/// words of eight. Shorter words are too often words of their own (`house`, `horse`).
#[must_use]
pub fn is_misspelling(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let (short, long) = (short.as_bytes(), long.as_bytes());
    if long.len() < 5 || long.len() - short.len() > 1 || short.first() != long.first() {
        return false;
    }
    let same_start = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let same_end = short.iter().rev().zip(long.iter().rev()).take_while(|(x, y)| x == y).count();
    if long.len() > short.len() {
        let is_one_letter = same_start + same_end >= short.len();
        let is_doubled = long.get(same_start) == long.get(same_start.wrapping_sub(1));
        return is_one_letter && (is_doubled || (long.len() >= 6 && same_start < short.len()));
    }
    let differing = long.len().saturating_sub(same_start + same_end);
    let is_swapped = differing == 2
        && short.get(same_start) == long.get(same_start + 1)
        && short.get(same_start + 1) == long.get(same_start);
    is_swapped || (differing == 1 && long.len() >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflected_forms_share_a_stem() {
        let same = [
            ("watering", "water"),
            ("making", "make"),
            ("cancelled", "cancels"),
            ("bodies", "body"),
            ("centre", "center"),
            ("colour", "color"),
            ("organise", "organizing"),
            ("running", "runs"),
            ("boxes", "box"),
            ("child's", "child"),
            ("quickly", "quick"),
            ("licence", "license"),
            ("written", "wrote"),
            ("children", "child"),
        ];
        for (a, b) in same {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
        for (a, b) in [("bus", "but"), ("sing", "s"), ("safe", "save")] {
            assert_ne!(stem(a), stem(b), "{a} {b}");
        }
        assert_eq!(stem("straße"), "straße");
    }

    #[test]
    fn misspellings_are_distinguished_from_other_words() {
        let same = [
            ("reqest", "request"),
            ("perscription", "prescription"),
            ("instal", "install"),
            ("invioce", "invoice"),
            ("mondy", "monday"),
            ("definately", "definitely"),
        ];
        for (a, b) in same {
            assert!(is_misspelling(a, b) && is_misspelling(b, a), "{a} {b}");
        }
        let different = [
            ("house", "horse"),
            ("debt", "debit"),
            ("affect", "effect"),
            ("card", "cards"),
            ("sunday", "monday"),
            ("", "a"),
            ("plan", "plane"),
        ];
        for (a, b) in different {
            assert!(!is_misspelling(a, b) && !is_misspelling(b, a), "{a} {b}");
        }
    }
}
