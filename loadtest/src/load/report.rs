//! The result of a run as plain numbers: what `--json` writes and the table shows.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::options::{LoadOptions, RequestKind};
use super::process::ProcessUsage;
use super::progress::Counts;
use super::tally::{CACHE_STATUSES, FAILURES, Tally};

/// One moment of a run.
pub struct Sample {
    pub at: Instant,
    pub counts: Counts,
    pub target: Option<ProcessUsage>,
    pub loader_cpu_ns: u64,
}

/// A distribution of times, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    #[serde(rename = "p99_9")]
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    /// Reads a histogram of nanoseconds; `None` if it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Some(Self {
            count: histogram.len(),
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        })
    }
}

/// Memory of the measured processes, in KiB.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// Resident at the start of the counted window.
    pub before: u64,
    /// Resident at its end.
    pub after: u64,
    /// Highest since the processes started.
    pub peak: u64,
}

/// Good answers with one cache status.
#[derive(Clone, Debug, Serialize)]
pub struct CacheStatusCount {
    /// Of all good answers, 0 to 1.
    pub share: f64,
    pub latency_us: Percentiles,
}

/// Everything a run has measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub url: String,
    pub kind: RequestKind,
    pub connections: usize,
    /// Configured requests per second; none in a closed loop.
    pub rate: Option<f64>,
    /// Length of the counted window, as measured.
    pub window_s: f64,
    /// Requests that count: succeeded, failed and unsent.
    pub requests: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// Requests that were due and for which no connection became free in time.
    pub unsent: u64,
    pub errors: BTreeMap<&'static str, u64>,
    /// Good answers per second within the window.
    pub requests_per_second: f64,
    /// Bytes received per second within the window, heads included.
    pub bytes_per_second: f64,
    /// Stream events per second within the window, terminators not counted.
    pub events_per_second: f64,
    /// From the intended send time to the last byte.
    pub latency_us: Option<Percentiles>,
    /// From the intended send time to the first body byte, or the first whole event of a stream.
    pub first_byte_us: Option<Percentiles>,
    /// Between events of one stream.
    pub inter_event_us: Option<Percentiles>,
    /// Good answers by the status of the gateway's cache; empty where it sends none.
    pub cache: BTreeMap<&'static str, CacheStatusCount>,
    /// CPU time of the measured processes per completed request.
    pub cpu_us_per_request: Option<f64>,
    pub cpu_us_per_event: Option<f64>,
    /// CPU time of the measured processes as a share of one core, in percent.
    pub cpu_percent: Option<f64>,
    pub rss_kib: Option<Memory>,
    /// CPU time of the loader as a share of one core: near 100 per thread, the loader is the limit.
    pub loader_cpu_percent: f64,
}

impl Report {
    /// The load in a few words.
    pub fn load_text(&self) -> String {
        let loop_text = match self.rate {
            Some(rate) => format!("{rate} req/s (open loop)"),
            None => "closed loop".to_owned(),
        };
        let kind = match self.kind {
            RequestKind::Chat => "chat",
            RequestKind::Stream => "stream",
            RequestKind::Embeddings => "embeddings",
        };
        format!("{kind}, {} connections, {loop_text}", self.connections)
    }
}

pub(super) fn build(
    options: &LoadOptions,
    url: &str,
    start: &Sample,
    end: &Sample,
    tally: &Tally,
) -> Report {
    let window_s = (end.at - start.at).as_secs_f64();
    let per_second = |from: u64, to: u64| (to - from) as f64 / window_s;
    let completed = end.counts.completed - start.counts.completed;
    let events = end.counts.events - start.counts.events;
    // Threads that ended within the window take their time with them, so that the difference may be negative.
    let cpu_us = start
        .target
        .zip(end.target)
        .map(|(from, to)| to.cpu_ns.saturating_sub(from.cpu_ns) as f64 / 1e3);
    let share = |count: u64| cpu_us.filter(|_| count > 0).map(|us| us / count as f64);
    let loader_ns = end.loader_cpu_ns - start.loader_cpu_ns;
    Report {
        url: url.to_owned(),
        kind: options.kind,
        connections: options.connections,
        rate: options.rate,
        window_s,
        requests: tally.succeeded + tally.failed() + tally.unsent,
        succeeded: tally.succeeded,
        failed: tally.failed(),
        unsent: tally.unsent,
        errors: FAILURES.iter().map(|&(failure, name)| (name, tally.failed_by(failure))).collect(),
        requests_per_second: per_second(start.counts.succeeded, end.counts.succeeded),
        bytes_per_second: per_second(start.counts.bytes, end.counts.bytes),
        events_per_second: per_second(start.counts.events, end.counts.events),
        latency_us: Percentiles::of(&tally.latency),
        first_byte_us: Percentiles::of(&tally.first_byte),
        inter_event_us: Percentiles::of(&tally.inter_event),
        cache: by_cache(tally),
        cpu_us_per_request: share(completed),
        cpu_us_per_event: share(events),
        cpu_percent: cpu_us.map(|us| us / window_s / 1e4),
        rss_kib: start.target.zip(end.target).map(|(from, to)| Memory {
            before: from.rss_kib,
            after: to.rss_kib,
            peak: to.peak_rss_kib,
        }),
        loader_cpu_percent: loader_ns as f64 / window_s / 1e7,
    }
}

fn by_cache(tally: &Tally) -> BTreeMap<&'static str, CacheStatusCount> {
    let statuses = CACHE_STATUSES.iter().zip(&tally.by_cache);
    let cached = statuses.filter_map(|(status, latency)| {
        let latency_us = Percentiles::of(latency.as_deref()?)?;
        let share = latency_us.count as f64 / tally.succeeded as f64;
        Some((*status, CacheStatusCount { share, latency_us }))
    });
    cached.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_times() {
        let mut tally = Tally::default();
        assert!(Percentiles::of(&tally.latency).is_none());
        for us in 1..=1000_u64 {
            tally.latency.record(us * 1000).unwrap();
        }
        let percentiles = Percentiles::of(&tally.latency).unwrap();
        let near = |seen: f64, expected: f64| (seen / expected - 1.0).abs() < 0.002;
        assert_eq!(percentiles.count, 1000);
        for (seen, expected) in [
            (percentiles.p50, 500.0),
            (percentiles.p90, 900.0),
            (percentiles.p99, 990.0),
            (percentiles.p999, 999.0),
            (percentiles.max, 1000.0),
            (percentiles.mean, 500.5),
        ] {
            assert!(near(seen, expected), "{seen} is not {expected}");
        }
    }
}
