//! Sizes and durations as a person writes them (`20k`, `1.5s`) and as a report shows them.
//!
//! `k`, `m`, `g` are powers of 1000; `ki`, `mi`, `gi` are powers of 1024.

use std::time::Duration;

/// Reads a number of bytes: `600`, `20k`, `1m`, `64ki`.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let scale: usize = match unit.trim_end_matches('b') {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => {
            return Err(format!(
                "unknown unit in `{text}`: expected bytes such as 600, 20k, 1m or 64ki"
            ));
        }
    };
    let number: usize = number
        .parse()
        .map_err(|_| format!("expected bytes such as 600, 20k or 1m, got `{text}`"))?;
    number.checked_mul(scale).ok_or_else(|| format!("`{text}` is too large"))
}

/// Reads a share in percent: `0`, `2.5`, `100`.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    let share = text.trim().trim_end_matches('%').trim_end().parse().ok();
    let fits = share.filter(|share| (0.0..=100.0).contains(share));
    fits.ok_or_else(|| format!("expected 0 to 100, got `{text}`"))
}

/// Reads a duration: `20ms`, `1.5s`, `200us`, `2m`, or `0`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let expected = || format!("expected a duration such as 200us, 20ms, 1.5s or 2m, got `{text}`");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(expected()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| expected())
}

/// Reads a probability between 0 and 1.
pub fn parse_probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("expected a probability from 0 to 1, got `{text}`")),
    }
}

/// Reads a positive, finite number per second.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!("expected a number per second above 0, got `{text}`")),
    }
}

/// Shows microseconds with the unit that keeps three digits readable.
pub fn show_us(us: f64) -> String {
    if us >= 10_000_000.0 {
        format!("{:.1} s", us / 1e6)
    } else if us >= 10_000.0 {
        format!("{:.1} ms", us / 1e3)
    } else if us >= 100.0 {
        format!("{us:.0} µs")
    } else {
        format!("{us:.1} µs")
    }
}

/// Shows a count with thousands separated by commas; `decimals` digits after the point.
pub fn show_count(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) =
        plain.split_once('.').map_or((plain.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut shown_durations = String::with_capacity(plain.len() + plain.len() / 3);
    let digits = whole.len();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (digits - index).is_multiple_of(3) && !shown_durations.ends_with('-') {
            shown_durations.push(',');
        }
        shown_durations.push(digit);
    }
    if !fraction.is_empty() {
        shown_durations.push('.');
        shown_durations.push_str(fraction);
    }
    shown_durations
}

/// Shows a number of bytes with a decimal unit.
pub fn show_bytes(bytes: f64) -> String {
    match bytes {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        let cases = [
            ("600", Some(600)),
            ("1k", Some(1_000)),
            ("20K", Some(20_000)),
            ("1m", Some(1_000_000)),
            ("1mb", Some(1_000_000)),
            ("64ki", Some(65_536)),
            ("", None),
            ("k", None),
            ("1.5k", None),
            ("-1", None),
            ("1x", None),
            ("99999999999999999999", None),
            ("99999999999999999g", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_parsed() {
        let cases = [
            ("0", Some(0)),
            ("20ms", Some(20_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("200us", Some(200_000)),
            ("2m", Some(120_000_000_000)),
            ("20", None),
            ("ms", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("1d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text).ok().map(|d| d.as_nanos()), expected, "{text}");
        }
    }

    #[test]
    fn probabilities_and_rates_are_parsed() {
        assert_eq!(parse_probability("0.25"), Ok(0.25));
        assert!(parse_probability("1.1").is_err());
        assert!(parse_probability("NaN").is_err());
        assert_eq!(parse_rate("2000"), Ok(2000.0));
        assert!(parse_rate("0").is_err());
        assert!(parse_rate("inf").is_err());
    }

    #[test]
    fn durations_are_formatted() {
        assert_eq!(show_count(1_234_567.0, 0), "1,234,567");
        assert_eq!(show_count(123.0, 0), "123");
        assert_eq!(show_count(-1234.5, 1), "-1,234.5");
        assert_eq!(show_us(14.42), "14.4 µs");
        assert_eq!(show_us(20_500.0), "20.5 ms");
        assert_eq!(show_bytes(2_500_000.0), "2.5 MB");
    }
}
