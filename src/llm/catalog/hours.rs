//! Hours of the week in which a vendor has other prices, in UTC.

/// Seconds of a day. Leap seconds have no number in Unix time.
const DAY_S: u64 = 86_400;

/// Some hours of every week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hours(Vec<Span>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// 0 is Monday.
    weekday: u64,
    /// Second of the day that is the first in it.
    from_s: u64,
    /// Second of the day that is the first after it.
    to_s: u64,
}

impl Hours {
    /// Reads `12345 00:00-01:00 10:00-24:00; 67 00:00-24:00`: days, of which Monday is 1, and the
    /// hours on each of them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut spans = Vec::new();
        for group in text.split("; ") {
            let (days, hours) = group.split_once(' ')?;
            for day in days.bytes() {
                let weekday = u64::from(day.checked_sub(b'1').filter(|day| *day < 7)?);
                for span in hours.split(' ') {
                    let (from, to) = span.split_once('-')?;
                    let (from_s, to_s) = (second_of_day(from)?, second_of_day(to)?);
                    spans.push(Span { weekday, from_s, to_s });
                }
            }
        }
        Some(Self(spans))
    }

    /// True if that time is in them.
    pub(super) fn contain(&self, unix_s: u64) -> bool {
        // 1970 began on a Thursday.
        let (weekday, second) = ((unix_s / DAY_S + 3) % 7, unix_s % DAY_S);
        let holds =
            |span: &Span| span.weekday == weekday && (span.from_s..span.to_s).contains(&second);
        self.0.iter().any(holds)
    }
}

fn second_of_day(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':')?;
    let second =
        hour.parse::<u64>().ok()?.checked_mul(3600)? + minute.parse::<u8>().ok()? as u64 * 60;
    (second <= DAY_S).then_some(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekly_hours_are_matched() {
        let hours = Hours::parse("12345 00:00-01:00 10:30-24:00; 67 00:00-24:00").expect("hours");
        // 2026-11-16 was a Monday.
        let monday = 1_794_787_200;
        for (second, expected) in [
            (0, true),
            (3_599, true),
            (3_600, false),
            (10 * 3_600 + 1_799, false),
            (10 * 3_600 + 1_800, true),
            (4 * DAY_S + 7_200, false),
            (5 * DAY_S + 7_200, true),
            (7 * DAY_S - 1, true),
            (7 * DAY_S + 7_200, false),
        ] {
            assert_eq!(hours.contain(monday + second), expected, "{second}");
        }
        for text in ["", "8 00:00-01:00", "1 00:00", "1 0-1", "1 25:00-26:00"] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
    }
}
