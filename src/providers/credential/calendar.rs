//! Wire formats of dates: to and from seconds since the Unix epoch, Gregorian calendar, UTC.

use std::time::Duration;

const DAY_SECONDS: u64 = 86_400;

/// Days from March 1 of year 0 to the Unix epoch.
const EPOCH_DAYS: u64 = 719_468;

/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;

/// Parses `2026-01-31T12:00:00Z`, with or without a fraction of a second. `None` for any other text
/// and for times before the epoch.
pub(super) fn parse_rfc3339(text: &str) -> Option<Duration> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let legal = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !legal {
        return None;
    }
    // Years begin in March, so that the leap day is the last day.
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let year = if month > 2 { year } else { year - 1 };
    let (era, year) = (year / 400, year % 400);
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = era * ERA_DAYS + year * 365 + year / 4 - year / 100 + day_of_year - EPOCH_DAYS;
    Some(Duration::from_secs(days * DAY_SECONDS + hour * 3_600 + minute * 60 + second))
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<u64>().ok() } else { None }
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// `Sat, 31 Jan 2026 12:00:00 GMT` (RFC 9110, section 5.6.7).
pub(super) fn http_date(time: Duration) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let (days, second) = (time.as_secs() / DAY_SECONDS, time.as_secs() % DAY_SECONDS);
    let shifted = days + EPOCH_DAYS;
    let (era, day_of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    let name = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("")
    };
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&WEEKDAYS, days % 7),
        name(&MONTHS, month),
        second / 3_600,
        second / 60 % 60,
        second % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_convert_to_unix_time() {
        for (text, seconds, shown) in [
            ("1970-01-01T00:00:00Z", 0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("2000-02-29T23:59:59Z", 951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            ("2015-08-30T12:36:00Z", 1_440_938_160, "Sun, 30 Aug 2015 12:36:00 GMT"),
            ("2024-12-31T00:00:00Z", 1_735_603_200, "Tue, 31 Dec 2024 00:00:00 GMT"),
            ("2026-03-01T06:07:08.25Z", 1_772_345_228, "Sun, 01 Mar 2026 06:07:08 GMT"),
        ] {
            let time = Duration::from_secs(seconds);
            assert_eq!(parse_rfc3339(text), Some(time), "{text}");
            assert_eq!(http_date(time), shown);
        }
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T06:07:08",
            "2026-13-01T06:07:08Z",
            "2026-03-01T6:7Z",
            "1969-12-31T00:00:00Z",
            "+026-03-01T06:07:08Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
