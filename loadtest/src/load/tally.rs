//! What a run has counted: successes, failures by kind, and times in histograms.
//!
//! Times are nanoseconds with three significant digits, up to an hour. Failed requests are counted and their times
//! are left out: a quick refusal must not make a target look fast.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Largest time a histogram holds; longer ones count as this.
const TIME_MAX_NS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or no TLS session.
    Connect,
    /// The connection was reset or closed before the answer was whole.
    Closed,
    /// The answer was not whole within `--timeout`.
    Timeout,
    /// Status 4xx.
    Status4xx,
    /// Status 5xx.
    Status5xx,
    /// Any other status than 200.
    StatusOther,
    /// Not HTTP, broken framing, bytes after the answer, or a body that is no JSON object.
    Malformed,
    /// A stream that ended, or broke after its first event, without `data: [DONE]`.
    Unterminated,
    /// A stream with an error event.
    ErrorEvent,
}

/// Each kind with its name in reports.
pub const FAILURES: [(Failure, &str); 9] = [
    (Failure::Connect, "connect"),
    (Failure::Closed, "closed"),
    (Failure::Timeout, "timeout"),
    (Failure::Status4xx, "status_4xx"),
    (Failure::Status5xx, "status_5xx"),
    (Failure::StatusOther, "status_other"),
    (Failure::Malformed, "malformed"),
    (Failure::Unterminated, "unterminated"),
    (Failure::ErrorEvent, "error_event"),
];

/// What a gateway may say its cache had to do with an answer, in `x-ringgate-cache-status` or
/// `x-portkey-cache-status`.
pub const CACHE_STATUSES: [&str; 6] =
    ["HIT", "SEMANTIC HIT", "MISS", "SEMANTIC MISS", "REFRESH", "DISABLED"];

/// Counts of one thread, or of all when merged.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From the intended send time to the last byte.
    pub latency: Histogram<u64>,
    /// From the intended send time to the first byte of the body, or the first whole event of a stream.
    pub first_byte: Histogram<u64>,
    /// Between events of one stream; events that arrive in one read are 0 apart.
    pub inter_event: Histogram<u64>,
    /// Latency of the good answers that had each cache status; made when the first comes.
    pub by_cache: [Option<Box<Histogram<u64>>>; CACHE_STATUSES.len()],
    pub succeeded: u64,
    failures: [u64; FAILURES.len()],
    /// Requests that were due and for which no connection became free before the end.
    pub unsent: u64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(TIME_MAX_NS, SIGNIFICANT_DIGITS).expect("valid bounds")
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latency: histogram(),
            first_byte: histogram(),
            inter_event: histogram(),
            by_cache: [const { None }; CACHE_STATUSES.len()],
            succeeded: 0,
            failures: [0; FAILURES.len()],
            unsent: 0,
        }
    }
}

impl Tally {
    pub fn fail(&mut self, failure: Failure) {
        self.failures[failure as usize] += 1;
    }

    /// Adds the latency of a good answer whose cache status is this one of [`CACHE_STATUSES`].
    pub fn record_cache(&mut self, status: usize, latency: Duration) {
        record(self.by_cache[status].get_or_insert_with(|| Box::new(histogram())), latency);
    }

    /// How many requests failed this way.
    pub fn failed_by(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// How many requests failed.
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    pub fn merge(&mut self, other: &Self) {
        let same = "all histograms have the same bounds";
        self.latency.add(&other.latency).expect(same);
        self.first_byte.add(&other.first_byte).expect(same);
        self.inter_event.add(&other.inter_event).expect(same);
        for (held, more) in self.by_cache.iter_mut().zip(&other.by_cache) {
            if let Some(more) = more {
                held.get_or_insert_with(|| Box::new(histogram())).add(&**more).expect(same);
            }
        }
        self.succeeded += other.succeeded;
        self.unsent += other.unsent;
        for (sum, more) in self.failures.iter_mut().zip(other.failures) {
            *sum += more;
        }
    }
}

/// Adds one time to a histogram.
pub fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(TIME_MAX_NS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_own_counter() {
        let mut tally = Tally::default();
        for (index, (failure, _)) in FAILURES.iter().enumerate() {
            for _ in 0..=index {
                tally.fail(*failure);
            }
        }
        let mut twice = tally.clone();
        twice.merge(&tally);
        for (index, (failure, name)) in FAILURES.iter().enumerate() {
            assert_eq!(twice.failed_by(*failure), 2 * (index as u64 + 1), "{name}");
        }
        assert_eq!(twice.failed(), 90);
    }
}
