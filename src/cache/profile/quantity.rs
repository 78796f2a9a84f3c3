//! Numbers of a text with what they count, in one form for one meaning: `2 years` = `24 months`,
//! `3pm` = `15:00`, `third` = `3rd`, `£250k` = `250,000 pounds`.
//!
//! A number that is not understood becomes a literal and equals only itself.

use serde::{Deserialize, Serialize};

use super::numeral::{number_word, small};
use super::stem::is_misspelling;
use super::token::{Token, TokenKind};

/// A number and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quantity {
    /// What is counted.
    pub dimension: Dimension,
    /// Bits of the `f64` in the dimension's base unit; of a [`Dimension::Literal`] a hash.
    value: u64,
}

/// What a number counts, and its base unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Dimension {
    /// Nothing that is known, or things.
    Count,
    /// A version or anything else with digits, by its hash.
    Literal,
    /// A place in an order, from 1.
    Ordinal,
    /// Seconds.
    Duration,
    /// Months: not a fixed number of seconds.
    Months,
    /// Minutes after midnight.
    TimeOfDay,
    /// Day of the week, Monday is 1.
    Weekday,
    /// Month of the year, from 1.
    Month,
    /// A day or time relative to now, by its place in a table.
    Relative,
    /// Hundredths.
    Percent,
    /// Bytes.
    Bytes,
    /// Bits per second.
    BitRate,
    /// Metres.
    Length,
    /// Grams.
    Mass,
    /// Litres.
    Volume,
    /// Degrees of an unnamed scale, or of an angle.
    Degrees,
    /// Degrees Celsius.
    Celsius,
    /// Degrees Fahrenheit.
    Fahrenheit,
    /// Watts.
    Power,
    /// Hertz.
    Frequency,
    /// Units of a currency, one dimension each.
    Dollar,
    /// Likewise.
    Euro,
    /// Likewise; also the weight, which the same word names.
    Pound,
    /// Likewise.
    Yen,
    /// Likewise.
    Rupee,
}

impl Quantity {
    /// `value` in the dimension's base unit. Rounded to nine digits, so that units converted from
    /// two sides meet.
    #[must_use]
    pub fn new(dimension: Dimension, value: f64) -> Self {
        let rounded = format!("{value:.8e}").parse().unwrap_or(value);
        Self { dimension, value: f64::to_bits(rounded + 0.0) }
    }

    fn literal(text: &str) -> Self {
        let hash = blake3::hash(text.as_bytes());
        let value =
            hash.as_bytes().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        Self { dimension: Dimension::Literal, value }
    }
}

/// The quantities of a text, sorted, and for each token whether one of them has used it up.
pub(super) fn read(tokens: &[Token]) -> (Vec<Quantity>, Vec<bool>) {
    let mut reader = Reader { tokens, used: vec![false; tokens.len()], found: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        let taken = reader.date(at).or_else(|| reader.number(at)).or_else(|| reader.calendar(at));
        let taken = taken.unwrap_or(0);
        for used in reader.used.iter_mut().skip(at).take(taken) {
            *used = true;
        }
        at += taken.max(1);
    }
    reader.found.sort_unstable();
    (reader.found, reader.used)
}

struct Reader<'a> {
    tokens: &'a [Token],
    used: Vec<bool>,
    found: Vec<Quantity>,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn push(&mut self, dimension: Dimension, value: f64) {
        self.found.push(Quantity::new(dimension, value));
    }

    /// `2024-03-05`; how many tokens it took.
    fn date(&mut self, at: usize) -> Option<usize> {
        let [year, month, day] = self.tokens.get(at..at + 3)? else { return None };
        let joined = |token: &Token| token.is_attached && token.before == Some('-');
        if year.text.len() != 4 || !joined(month) || !joined(day) {
            return None;
        }
        let parts: Vec<f64> =
            [year, month, day].iter().filter_map(|token| token.text.parse().ok()).collect();
        let [year, month, day] = parts.as_slice() else { return None };
        let (year, month, day) = (*year, *month, *day);
        self.push(Dimension::Count, year);
        self.push(Dimension::Month, month);
        self.push(Dimension::Ordinal, day);
        Some(3)
    }

    /// A number in digits or words with its unit.
    fn number(&mut self, at: usize) -> Option<usize> {
        let token = self.tokens.get(at)?;
        if token.kind == TokenKind::Number {
            return Some(self.digits(at, token));
        }
        let number = number_word(self.tokens.get(at..)?)?;
        let next = at + number.taken;
        if number.is_ordinal {
            self.push(Dimension::Ordinal, number.value);
            return Some(number.taken);
        }
        let units = self.unit(next, number.value);
        if units.is_none() && number.is_pronoun {
            return None;
        }
        if units.is_none() {
            self.plain(at, next, number.value);
        }
        Some(number.taken + units.unwrap_or(0))
    }

    fn digits(&mut self, at: usize, token: &Token) -> usize {
        let after = self.tokens.get(at + 1);
        let attached = after.filter(|next| next.is_attached && next.before.is_none());
        let suffix = attached.map_or("", |next| next.text.as_str());
        if let Some(minutes) = clock(&token.text) {
            let half = after.map_or("", |next| next.text.as_str());
            let (minutes, taken) = halve(minutes, half);
            self.push(Dimension::TimeOfDay, minutes);
            return 1 + taken;
        }
        let Some(value) = decimal(&token.text) else {
            self.found.push(Quantity::literal(&token.text));
            return 1;
        };
        let value = if token.before == Some('-') && !token.is_attached { -value } else { value };
        if matches!(suffix, "st" | "nd" | "rd" | "th") {
            self.push(Dimension::Ordinal, value);
            return 2;
        }
        let currency = token.before.and_then(currency_sign);
        let (value, taken) = match (suffix, self.text(at + 1)) {
            ("k", _) => (value * 1e3, 2),
            ("m", _) if currency.is_some() => (value * 1e6, 2),
            ("bn" | "b", _) => (value * 1e9, 2),
            (_, "thousand") => (value * 1e3, 2),
            (_, "million") => (value * 1e6, 2),
            (_, "billion") => (value * 1e9, 2),
            _ => (value, 1),
        };
        if let Some(currency) = currency {
            self.push(currency, value);
            return taken;
        }
        if token.after == Some('%') {
            self.push(Dimension::Percent, value);
            return taken;
        }
        // 3.10 is a version, not the number 3.1.
        if token.text.contains('.')
            && token.text.ends_with('0')
            && decimal(&token.text) != Some(value.trunc())
        {
            self.found.push(Quantity::literal(&token.text));
            return 1;
        }
        match self.unit(at + taken, value) {
            Some(units) => taken + units,
            None => {
                self.plain(at, at + taken, value);
                taken
            }
        }
    }

    /// The unit at `at` for `value`, if there is one; how many tokens it took.
    fn unit(&mut self, at: usize, value: f64) -> Option<usize> {
        let word = self.text(at);
        if matches!(word, "am" | "pm" | "oclock" | "o'clock") && (0.0..=24.0).contains(&value) {
            let (minutes, _) = halve(value * 60.0, word);
            self.push(Dimension::TimeOfDay, minutes);
            return Some(1);
        }
        if word == "per" && self.text(at + 1) == "cent" {
            self.push(Dimension::Percent, value);
            return Some(2);
        }
        let scale = |at: usize| self.tokens.get(at).and_then(temperature);
        if let Some(scale) = scale(at) {
            self.push(scale, value);
            return Some(1);
        }
        let (dimension, factor) = unit(word)?;
        if dimension == Dimension::Degrees
            && let Some(scale) = scale(at + 1)
        {
            self.push(scale, value);
            return Some(2);
        }
        self.push(dimension, value * factor);
        Some(1)
    }

    /// A number without a unit at `first..next`: a time of day after `at` and before `evening`, a day
    /// beside a month, otherwise a count.
    fn plain(&mut self, first: usize, next: usize, value: f64) {
        let before = first.checked_sub(1).map_or("", |before| self.text(before));
        let part_of_day = (next..next + 3).find_map(|at| match self.text(at) {
            "evening" | "tonight" | "night" | "afternoon" => Some((at, "pm")),
            "morning" => Some((at, "am")),
            _ => None,
        });
        if let Some((at, half)) = part_of_day
            && before == "at"
            && (1.0..=12.0).contains(&value)
        {
            let (minutes, _) = halve(value * 60.0, half);
            if let Some(used) = self.used.get_mut(at) {
                *used = true;
            }
            return self.push(Dimension::TimeOfDay, minutes);
        }
        let is_month = |word: &str| month(word).is_some();
        let is_day = (1.0..=31.0).contains(&value)
            && (is_month(before)
                || is_month(self.text(next))
                || (self.text(next) == "of" && is_month(self.text(next + 1))));
        let dimension = if is_day { Dimension::Ordinal } else { Dimension::Count };
        self.push(dimension, value);
    }

    /// Names of days and months, and days relative to now.
    fn calendar(&mut self, at: usize) -> Option<usize> {
        let token = self.tokens.get(at).filter(|token| token.is_word())?;
        let word = singular(&token.text);
        let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let is_beside_number = before.is_some_and(|token| {
            token.kind == TokenKind::Number
                || matches!(token.text.as_str(), "th" | "st" | "nd" | "rd")
        }) || self.tokens.get(at + 1).is_some_and(|token| {
            token.kind == TokenKind::Number
                || small(&token.text).is_some_and(|(_, is_ordinal)| is_ordinal)
        });
        let is_date_word = token.kind != TokenKind::Lower
            && before.is_some_and(|token| token.kind != TokenKind::Stop)
            || is_beside_number
            || before.is_some_and(|token| {
                matches!(token.text.as_str(), "in" | "of" | "since" | "until" | "by")
            });
        let steps = ["last", "previous", "this", "next"];
        if let Some(step) = steps.into_iter().position(|step| step == word)
            && let Some(unit) = ["week", "month", "year", "quarter"]
                .into_iter()
                .position(|unit| singular(self.text(at + 1)) == unit)
        {
            // "Previous" is "last".
            let step = if step == 0 { 1 } else { step };
            self.push(Dimension::Relative, f64::from(u8::try_from(16 * step + unit).unwrap_or(0)));
            return Some(2);
        }
        if let Some(day) = weekday(word).filter(|_| word.len() > 3 || is_date_word) {
            self.push(Dimension::Weekday, day);
        } else if let Some(month) =
            month(word).filter(|_| is_date_word || (word.len() > 3 && word != "march"))
        {
            self.push(Dimension::Month, month);
        } else if let Some(minutes) = match word {
            "noon" | "midday" => Some(720.0),
            "midnight" => Some(0.0),
            _ => None,
        } {
            self.push(Dimension::TimeOfDay, minutes);
        } else {
            let days = ["today", "tonight", "tomorrow", "yesterday", "weekend", "weekday"];
            let day = days.into_iter().position(|day| day == word)?;
            self.push(Dimension::Relative, f64::from(u8::try_from(day).unwrap_or(0)));
        }
        Some(1)
    }
}

fn singular(word: &str) -> &str {
    let word = word.strip_suffix("'s").unwrap_or(word);
    word.strip_suffix('s').filter(|root| root.len() >= 3).unwrap_or(word)
}

/// Minutes after midnight of `9:15`; nothing if it is not a time.
fn clock(text: &str) -> Option<f64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 24 && minutes < 60).then(|| f64::from(hours) * 60.0 + f64::from(minutes))
}

/// Moves a time of twelve hours into its half of the day; how many tokens the half took.
fn halve(minutes: f64, half: &str) -> (f64, usize) {
    match half {
        "pm" if minutes < 720.0 => (minutes + 720.0, 1),
        "am" if (720.0..780.0).contains(&minutes) => (minutes - 720.0, 1),
        "am" | "pm" => (minutes, 1),
        _ => (minutes, 0),
    }
}

/// The value of `1,000.5`; nothing if the text is no number but a version or date.
fn decimal(text: &str) -> Option<f64> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let is_grouped = text.contains(',')
        && first.len() <= 3
        && groups.all(|group| group.split('.').next().is_some_and(|digits| digits.len() == 3));
    let plain = if is_grouped { text.replace(',', "") } else { text.replace(',', ".") };
    plain.parse().ok()
}

fn currency_sign(sign: char) -> Option<Dimension> {
    Some(match sign {
        '$' => Dimension::Dollar,
        '€' => Dimension::Euro,
        '£' => Dimension::Pound,
        '¥' => Dimension::Yen,
        '₹' => Dimension::Rupee,
        _ => return None,
    })
}

/// The scale of a temperature; a letter must be a capital.
fn temperature(token: &Token) -> Option<Dimension> {
    match (token.text.as_str(), token.kind) {
        ("c", kind) if kind != TokenKind::Lower => Some(Dimension::Celsius),
        ("f", kind) if kind != TokenKind::Lower => Some(Dimension::Fahrenheit),
        (word, _) => unit(word)
            .map(|(dimension, _)| dimension)
            .filter(|dimension| matches!(dimension, Dimension::Celsius | Dimension::Fahrenheit)),
    }
}

fn unit(word: &str) -> Option<(Dimension, f64)> {
    const HOUR: f64 = 3_600.0;
    const DAY: f64 = 24.0 * HOUR;
    Some(match singular(word) {
        "ms" | "millisecond" => (Dimension::Duration, 1e-3),
        "sec" | "second" => (Dimension::Duration, 1.0),
        "min" | "minute" => (Dimension::Duration, 60.0),
        "hr" | "hour" | "h" => (Dimension::Duration, HOUR),
        "day" => (Dimension::Duration, DAY),
        "week" | "wk" => (Dimension::Duration, 7.0 * DAY),
        "fortnight" => (Dimension::Duration, 14.0 * DAY),
        "month" => (Dimension::Months, 1.0),
        "year" | "yr" => (Dimension::Months, 12.0),
        "decade" => (Dimension::Months, 120.0),
        "percent" | "pct" => (Dimension::Percent, 1.0),
        "byte" => (Dimension::Bytes, 1.0),
        "kb" | "kilobyte" => (Dimension::Bytes, 1e3),
        "mb" | "meg" | "megabyte" => (Dimension::Bytes, 1e6),
        "gb" | "gig" | "gigabyte" => (Dimension::Bytes, 1e9),
        "tb" | "terabyte" => (Dimension::Bytes, 1e12),
        "kib" => (Dimension::Bytes, 1_024.0),
        "mib" => (Dimension::Bytes, 1_048_576.0),
        "gib" => (Dimension::Bytes, 1_073_741_824.0),
        "kbps" => (Dimension::BitRate, 1e3),
        "mbps" | "mbp" => (Dimension::BitRate, 1e6),
        "gbps" | "gbp" => (Dimension::BitRate, 1e9),
        "mm" | "millimetre" | "millimeter" => (Dimension::Length, 1e-3),
        "cm" | "centimetre" | "centimeter" => (Dimension::Length, 1e-2),
        "metre" | "meter" => (Dimension::Length, 1.0),
        "km" | "kilometre" | "kilometer" => (Dimension::Length, 1e3),
        "inch" | "inche" => (Dimension::Length, 0.0254),
        "ft" | "foot" | "feet" => (Dimension::Length, 0.3048),
        "yard" => (Dimension::Length, 0.9144),
        "mile" => (Dimension::Length, 1_609.344),
        "mg" | "milligram" => (Dimension::Mass, 1e-3),
        "g" | "gram" => (Dimension::Mass, 1.0),
        "kg" | "kilo" | "kilogram" => (Dimension::Mass, 1e3),
        "oz" | "ounce" => (Dimension::Mass, 28.349_523),
        "lb" | "lbs" => (Dimension::Mass, 453.592_37),
        "tonne" => (Dimension::Mass, 1e6),
        "ml" | "millilitre" | "milliliter" => (Dimension::Volume, 1e-3),
        "litre" | "liter" => (Dimension::Volume, 1.0),
        "degree" => (Dimension::Degrees, 1.0),
        "celsius" | "celsiu" | "centigrade" => (Dimension::Celsius, 1.0),
        "fahrenheit" => (Dimension::Fahrenheit, 1.0),
        "w" | "watt" => (Dimension::Power, 1.0),
        "kw" | "kilowatt" => (Dimension::Power, 1e3),
        "hz" | "hertz" => (Dimension::Frequency, 1.0),
        "mhz" => (Dimension::Frequency, 1e6),
        "ghz" => (Dimension::Frequency, 1e9),
        "dollar" | "usd" | "buck" => (Dimension::Dollar, 1.0),
        "euro" | "eur" => (Dimension::Euro, 1.0),
        "pound" | "quid" => (Dimension::Pound, 1.0),
        "yen" => (Dimension::Yen, 1.0),
        "rupee" => (Dimension::Rupee, 1.0),
        _ => return None,
    })
}

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The name of the day of the week that a word of five letters or more means, also misspelled.
pub(super) fn weekday_name(word: &str) -> Option<&'static str> {
    let word = singular(word);
    let is_it = |name: &&&str| **name == word || is_misspelling(name, word);
    WEEKDAYS.iter().filter(|_| word.len() >= 5).find(is_it).copied()
}

fn weekday(word: &str) -> Option<f64> {
    let short = match word {
        "tues" | "tue" => "tuesday",
        "thur" | "thu" => "thursday",
        _ => word,
    };
    place(&WEEKDAYS, short)
}

fn month(word: &str) -> Option<f64> {
    place(&MONTHS, if word == "sept" { "september" } else { word })
}

/// From 1, of a name, its first three letters, or a misspelling of a long one.
fn place(names: &[&str], word: &str) -> Option<f64> {
    let is_it = |name: &&str| {
        *name == word
            || (word.len() == 3 && name.starts_with(word))
            || (name.len() >= 6 && is_misspelling(name, word))
    };
    let place = names.iter().position(is_it)?;
    u8::try_from(place + 1).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::super::token::split;
    use super::*;

    fn quantities(text: &str) -> Vec<Quantity> {
        read(&split(text, 100).0).0
    }

    #[test]
    fn equal_quantities_compare_equal() {
        let same = [
            ("at 3pm", "at 15:00"),
            ("the 3rd of March", "March third"),
            ("5 March", "March 5th"),
            ("two years", "a 24-month term"),
            ("£250k", "250,000 pounds"),
            ("ten percent", "10%"),
            ("two hundred and fifty users", "250 users"),
            ("twenty-one days", "3 weeks"),
            ("a table at 7pm", "a table at seven this evening"),
            ("open on Sundays", "open on sunday"),
            ("open on Mondays", "open on Mondys"),
            ("10GB", "10 gigabytes"),
            ("2 km", "2,000 metres"),
            ("2024-03-05", "5 March 2024"),
            ("noon", "12:00 pm"),
            ("a new one", "a new thing"),
            ("may I march on", "can I walk on"),
            ("3.0", "3"),
        ];
        for (a, b) in same {
            assert_eq!(quantities(a), quantities(b), "{a} | {b}");
        }
    }

    #[test]
    fn different_quantities_compare_different() {
        let different = [
            ("7am", "7pm"),
            ("10GB", "100GB"),
            ("python 3.1", "python 3.10"),
            ("1.2.3", "1.2.4"),
            ("9:15", "9:45"),
            ("in January", "in June"),
            ("14 days", "40 days"),
            ("5 apples", "-5 apples"),
            ("$5", "€5"),
            ("in May", "in March"),
            ("today", "tomorrow"),
            ("last year", "this year"),
            ("two beds", "five beds"),
            ("first year", "second year"),
            ("open on Saturday", "open on Sunday"),
        ];
        for (a, b) in different {
            assert_ne!(quantities(a), quantities(b), "{a} | {b}");
        }
    }
}
