//! Prometheus histograms with fixed bounds.

use std::fmt::Write;
use std::time::Duration;

use super::cells::Cell64;

/// Upper bounds of latency buckets, in microseconds: 1 ms to 600 s.
pub(super) const LATENCY_BOUNDS_US: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];

/// Upper bounds of overhead buckets, in microseconds: 5 µs to 100 ms.
pub(super) const OVERHEAD_BOUNDS_US: &[u64] =
    &[5, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000];

/// Cells for either set of bounds and the overflow.
const CELLS: usize = 19;

/// A histogram of one shard.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds_us: &'static [u64],
    counts: [Cell64; CELLS],
    sum_us: Cell64,
}

/// A histogram summed over shards.
#[derive(Debug)]
pub(super) struct HistogramTotal {
    bounds_us: &'static [u64],
    counts: [u64; CELLS],
    sum_us: u64,
}

impl Histogram {
    pub(super) fn new(bounds_us: &'static [u64]) -> Self {
        debug_assert!(bounds_us.len() < CELLS, "one cell is for what is over all bounds");
        Self { bounds_us, counts: Default::default(), sum_us: Cell64::default() }
    }

    /// Records one duration.
    pub(super) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.bounds_us.partition_point(|bound| *bound < micros);
        if let Some(cell) = self.counts.get(bucket) {
            cell.add(1);
        }
        self.sum_us.add(micros);
    }

    pub(super) fn add_to(&self, total: &mut HistogramTotal) {
        for (sum, cell) in total.counts.iter_mut().zip(&self.counts) {
            *sum += cell.get();
        }
        total.sum_us += self.sum_us.get();
    }
}

impl HistogramTotal {
    pub(super) fn new(bounds_us: &'static [u64]) -> Self {
        Self { bounds_us, counts: [0; CELLS], sum_us: 0 }
    }

    /// Appends the sample lines; `labels` is empty or ends with a comma.
    pub(super) fn render(&self, name: &str, labels: &str, out: &mut String) {
        let mut below = 0;
        for (bound, count) in self.bounds_us.iter().zip(&self.counts) {
            below += count;
            let seconds = Duration::from_micros(*bound).as_secs_f64();
            let _ = writeln!(out, "{name}_bucket{{{labels}le=\"{seconds}\"}} {below}");
        }
        let all: u64 = self.counts.iter().sum();
        let _ = writeln!(out, "{name}_bucket{{{labels}le=\"+Inf\"}} {all}");
        let labels = labels.trim_end_matches(',');
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = Duration::from_micros(self.sum_us).as_secs_f64();
        let _ = writeln!(out, "{name}_sum{braces} {sum}");
        let _ = writeln!(out, "{name}_count{braces} {all}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_cumulative() {
        let histogram = Histogram::new(LATENCY_BOUNDS_US);
        for micros in [0, 1_000, 1_001, 700_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let mut total = HistogramTotal::new(LATENCY_BOUNDS_US);
        histogram.add_to(&mut total);
        let mut out = String::new();
        total.render("h", "a=\"b\",", &mut out);
        for line in [
            "h_bucket{a=\"b\",le=\"0.001\"} 2",
            "h_bucket{a=\"b\",le=\"0.0025\"} 3",
            "h_bucket{a=\"b\",le=\"600\"} 3",
            "h_bucket{a=\"b\",le=\"+Inf\"} 4",
            "h_count{a=\"b\"} 4",
        ] {
            assert!(out.lines().any(|it| it == line), "{line} in {out}");
        }
    }
}
