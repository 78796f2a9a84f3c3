//! Two answers of one template: the same words but for a name, an identifier or a number.

use super::profile::is_common_word;

/// Words of an answer that are looked at.
const WORDS_MAX: usize = 512;

/// Words between the beginning and the end that two answers share, of which each is compared with each.
const MIDDLE_MAX: usize = 128;

/// True if the answers are one template and what stands in its places differs.
pub(super) fn differ_in_a_name(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    let Some(places) = places(&one, &other) else { return false };
    let shared = one.len() - places.iter().map(|(words, _)| words.len()).sum::<usize>();
    // More than half is the template, or there is nothing but a name.
    let is_template = 2 * shared > one.len().max(other.len());
    let is_name_alone = shared == 0 && one.len() <= 3 && one.len() == other.len();
    (is_template || is_name_alone) && places.iter().any(|(a, b)| is_another(a, b))
}

fn words(text: &str) -> Vec<&str> {
    let marks =
        |it: char| !it.is_alphanumeric() && !matches!(it, '@' | '#' | '$' | '€' | '£' | '%' | '/');
    let words = text.split_whitespace().map(|word| word.trim_matches(marks));
    words.filter(|word| !word.is_empty()).take(WORDS_MAX).collect()
}

/// A place where two texts differ: what stands there in each.
type Difference<'a> = (&'a [&'a str], &'a [&'a str]);

/// Where two texts differ, by their longest common subsequence. None if too much differs.
fn places<'a>(one: &'a [&'a str], other: &'a [&'a str]) -> Option<Vec<Difference<'a>>> {
    let is_same = |(a, b): &(&&str, &&str)| a.eq_ignore_ascii_case(b);
    let start = one.iter().zip(other).take_while(is_same).count();
    let (one, other) = (one.get(start..)?, other.get(start..)?);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(is_same).count();
    let (one, other) = (one.get(..one.len() - end)?, other.get(..other.len() - end)?);
    if one.len() > MIDDLE_MAX || other.len() > MIDDLE_MAX {
        return None;
    }
    // Row by row from the end: how many words the two rests share.
    let width = other.len() + 1;
    let mut shared = vec![0_u16; (one.len() + 1) * width];
    let at = |table: &[u16], row: usize, column: usize| {
        table.get(row * width + column).copied().unwrap_or(0)
    };
    for (row, a) in one.iter().enumerate().rev() {
        for (column, b) in other.iter().enumerate().rev() {
            let most = if a.eq_ignore_ascii_case(b) {
                at(&shared, row + 1, column + 1) + 1
            } else {
                at(&shared, row + 1, column).max(at(&shared, row, column + 1))
            };
            if let Some(slot) = shared.get_mut(row * width + column) {
                *slot = most;
            }
        }
    }
    let (mut places, mut row, mut column) = (Vec::new(), 0, 0);
    let (mut first_row, mut first_column) = (0, 0);
    loop {
        let is_met = match (one.get(row), other.get(column)) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        };
        let is_over = row >= one.len() && column >= other.len();
        if is_met || is_over {
            let place = (one.get(first_row..row)?, other.get(first_column..column)?);
            if !place.0.is_empty() || !place.1.is_empty() {
                places.push(place);
            }
            if is_over {
                return Some(places);
            }
            (row, column) = (row + 1, column + 1);
            (first_row, first_column) = (row, column);
        } else if column >= other.len()
            || (row < one.len() && at(&shared, row + 1, column) >= at(&shared, row, column + 1))
        {
            row += 1;
        } else {
            column += 1;
        }
    }
}

/// True if each has a name, identifier or number at a place, and not the same.
fn is_another(one: &[&str], other: &[&str]) -> bool {
    let names = |words: &[&str], others: &[&str]| {
        let is_missing = |word: &&&str| !others.iter().any(|it| it.eq_ignore_ascii_case(word));
        words.iter().filter(|word| is_name(word)).filter(is_missing).count()
    };
    if names(one, other) > 0 && names(other, one) > 0 {
        return true;
    }
    let number = |words: &[&str]| match words {
        [word] => word
            .replace(',', "")
            .trim_start_matches(['$', '€', '£'])
            .trim_end_matches('%')
            .parse::<f64>()
            .ok(),
        _ => None,
    };
    number(one).zip(number(other)).is_some_and(|(one, other)| one.to_bits() != other.to_bits())
}

/// True of a word with a capital that is none of every text's, and of letters and digits in one.
fn is_name(word: &str) -> bool {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = word.contains(char::is_alphabetic);
    if has_digit {
        // Ten o'clock and 10am are distinguished by their numbers.
        return has_letter && word.len() > 4
            || word.len() > 6
            || word.contains(['-', '_', '#', '@']);
    }
    let is_capital = word.starts_with(char::is_uppercase);
    word.contains(['@', '_']) || (is_capital && !is_common_word(&word.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_answers_differ_in_a_name() {
        let long =
            "The parcel left the depot on time and is on its way to the customer. ".repeat(20);
        let long = |name: &str| format!("{long}{name} signed for it. {long}");
        for (one, other) in [
            ("Your agent is Alice.", "Your agent is Robert."),
            ("Order AB-1234 ships on Tuesday.", "Order AB-1299 ships on Tuesday."),
            ("Alice called you about the lease.", "Robert called you about the lease."),
            ("Canberra", "Sydney"),
            ("Mail ann@a.example for help.", "Mail bob@a.example for help."),
            ("The ticket id is 8841290.", "The ticket id is 8841299."),
            ("It takes 5 days in all.", "It takes 7 days in all."),
            ("Ask Ms Weber in room K12 about the form.", "Ask Mr Kim in room K12 about the form."),
            (&long("Alice"), &long("Robert")),
        ] {
            assert!(differ_in_a_name(one, other), "{one} | {other}");
            assert!(differ_in_a_name(other, one), "{other} | {one}");
        }
    }

    #[test]
    fn different_wordings_are_not_templates() {
        for (one, other) in [
            ("The capital is Canberra.", "Canberra is the capital."),
            ("Sure! It opens at 9.", "It opens at 9."),
            ("It opens at 9:00.", "It opens at 9am."),
            ("The shop opens early.", "This shop opens early."),
            ("Please call the city.", "You can call the city."),
            ("It costs 1,000 euros.", "It costs 1000 euros."),
            ("Alice signed it", "Alice, from Leeds, signed it"),
            ("", ""),
        ] {
            assert!(!differ_in_a_name(one, other), "{one} | {other}");
            assert!(!differ_in_a_name(other, one), "{other} | {one}");
        }
    }
}
