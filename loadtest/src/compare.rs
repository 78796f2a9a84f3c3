//! Several targets under the same load in turn, A B A B, so that slow phases of the machine hit all of them.

use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;

use crate::load::{Curve, LoadOptions, Percentiles, Report, Tally, align, draw, run, write_json};
use crate::quantity::{show_count, show_us};

/// Flags of the `compare` command.
#[derive(Args, Clone, Debug)]
pub struct CompareOptions {
    /// Target as name=URL, or name=URL@PID to measure its CPU time and memory (more processes: @PID,PID); give two or
    /// more, the first is what the others are compared to
    #[arg(long = "target", required = true, value_name = "NAME=URL[@PID]")]
    targets: Vec<NamedTarget>,
    /// How often each target is loaded
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    #[command(flatten)]
    load: LoadOptions,
}

/// A target with the name it bears in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedTarget {
    name: String,
    url: String,
    pids: Vec<u32>,
}

impl FromStr for NamedTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected name=URL or name=URL@PID, got `{text}`");
        let (name, rest) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(expected)?;
        let (url, pids) = match rest.rsplit_once('@') {
            None => (rest, Vec::new()),
            Some((url, pids)) => {
                let pids: Result<_, _> = pids.split(',').map(str::parse).collect();
                (url, pids.map_err(|_| expected())?)
            }
        };
        if !url.contains("://") {
            return Err(expected());
        }
        Ok(Self { name: name.to_owned(), url: url.to_owned(), pids })
    }
}

/// A number that each run gives, with its name and how to show it.
struct Metric {
    name: &'static str,
    of: fn(&Report) -> Option<f64>,
    show: fn(f64) -> String,
}

const METRICS: [Metric; 11] = [
    Metric {
        name: "req/s",
        of: |report| Some(report.requests_per_second),
        show: |n| show_count(n, 0),
    },
    Metric {
        name: "failed",
        of: |report| Some((report.failed + report.unsent) as f64),
        show: |n| show_count(n, 0),
    },
    Metric {
        name: "CPU µs/request",
        of: |report| report.cpu_us_per_request,
        show: |n| show_count(n, 2),
    },
    Metric {
        name: "CPU µs/event",
        of: |report| report.cpu_us_per_event,
        show: |n| show_count(n, 2),
    },
    Metric { name: "latency p50", of: |report| p50(&report.latency_us), show: show_us },
    Metric { name: "latency p99", of: |report| p99(&report.latency_us), show: show_us },
    Metric { name: "first byte p50", of: |report| p50(&report.first_byte_us), show: show_us },
    Metric { name: "first byte p99", of: |report| p99(&report.first_byte_us), show: show_us },
    Metric { name: "inter-event p50", of: |report| p50(&report.inter_event_us), show: show_us },
    Metric { name: "inter-event p99", of: |report| p99(&report.inter_event_us), show: show_us },
    Metric {
        name: "RSS MiB",
        of: |report| report.rss_kib.as_ref().map(|memory| memory.after as f64 / 1024.0),
        show: |n| show_count(n, 1),
    },
];

fn p50(times: &Option<Percentiles>) -> Option<f64> {
    times.as_ref().map(|times| times.p50)
}

fn p99(times: &Option<Percentiles>) -> Option<f64> {
    times.as_ref().map(|times| times.p99)
}

/// One metric of one target over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
    /// Median over the first target's median; none if that is 0.
    ratio: Option<f64>,
}

impl Spread {
    /// `None` if no round gave the number.
    fn of(values: impl Iterator<Item = f64>, first: Option<&Self>) -> Option<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[half]
        } else {
            (values[half - 1] + values[half]) / 2.0
        };
        let base = first.map_or(median, |first| first.median);
        Some(Self { median, min, max, ratio: (base != 0.0).then(|| median / base) })
    }
}

#[derive(Serialize)]
struct Row {
    metric: &'static str,
    #[serde(flatten)]
    spread: Spread,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    url: &'a str,
    summary: Vec<Row>,
    rounds: &'a [Report],
}

/// The `compare` command.
pub fn command(options: &CompareOptions) -> anyhow::Result<ExitCode> {
    let (targets, load) = (&options.targets, &options.load);
    ensure!(targets.len() >= 2, "--target: expected two or more, got {}", targets.len());
    ensure!(options.rounds > 0, "--rounds: expected 1 or more, got 0");
    let mut reports = vec![Vec::new(); targets.len()];
    let mut tallies = vec![Tally::default(); targets.len()];
    for round in 1..=options.rounds {
        for (index, target) in targets.iter().enumerate() {
            let result = run(load, &target.url, &target.pids)?;
            if !load.quiet {
                let rate = show_count(result.report.requests_per_second, 0);
                eprintln!("round {round}/{}  {}  {rate} req/s", options.rounds, target.name);
            }
            tallies[index].merge(&result.tally);
            reports[index].push(result.report);
        }
    }
    let summaries = summarize(&reports);
    if !load.quiet && load.json.as_deref() != Some(Path::new("-")) {
        println!("{}, {} rounds, median (min..max)\n", reports[0][0].load_text(), options.rounds);
        print!("{}", table(targets, &summaries));
    }
    if let Some(path) = &load.json {
        let parts = targets.iter().zip(&summaries).zip(&reports);
        let entries: Vec<_> =
            parts.map(|((target, summary), rounds)| entry(target, summary, rounds)).collect();
        write_json(path, &serde_json::json!({ "targets": entries }))?;
    }
    if let Some(path) = &load.plot {
        let parts = targets.iter().zip(&tallies);
        let curves: Vec<_> = parts.map(|(target, tally)| curve(target, tally)).collect();
        draw(path, &format!("latency · {}", reports[0][0].load_text()), &curves)?;
    }
    let answered = tallies.iter().all(|tally| tally.succeeded > 0);
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn curve<'a>(target: &NamedTarget, tally: &'a Tally) -> Curve<'a> {
    Curve { name: target.name.clone(), times: &tally.latency }
}

fn entry<'a>(
    target: &'a NamedTarget,
    summary: &[Option<Spread>],
    rounds: &'a [Report],
) -> Entry<'a> {
    let row = |(metric, spread): (&Metric, &Option<Spread>)| {
        Some(Row { metric: metric.name, spread: (*spread)? })
    };
    let summary = METRICS.iter().zip(summary).filter_map(row).collect();
    Entry { name: &target.name, url: &target.url, summary, rounds }
}

/// For each target the spread of each metric.
fn summarize(reports: &[Vec<Report>]) -> Vec<Vec<Option<Spread>>> {
    let mut summaries: Vec<Vec<Option<Spread>>> = Vec::new();
    for rounds in reports {
        let spread = |(index, metric): (usize, &Metric)| {
            let first = summaries.first().and_then(|first| first[index].as_ref());
            Spread::of(rounds.iter().filter_map(metric.of), first)
        };
        let summary = METRICS.iter().enumerate().map(spread).collect();
        summaries.push(summary);
    }
    summaries
}

fn table(targets: &[NamedTarget], summaries: &[Vec<Option<Spread>>]) -> String {
    let mut header = vec![String::new()];
    for (index, target) in targets.iter().enumerate() {
        header.push(target.name.clone());
        if index > 0 {
            header.push(format!("/{}", targets[0].name));
        }
    }
    let mut rows = vec![header];
    for (index, metric) in METRICS.iter().enumerate() {
        if summaries.iter().all(|summary| summary[index].is_none()) {
            continue;
        }
        let mut row = vec![metric.name.to_owned()];
        for (target, summary) in summaries.iter().enumerate() {
            let spread = summary[index];
            let show = metric.show;
            row.push(spread.map_or("-".to_owned(), |spread| {
                format!("{} ({}..{})", show(spread.median), show(spread.min), show(spread.max))
            }));
            if target > 0 {
                let ratio = spread.and_then(|spread| spread.ratio);
                row.push(ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")));
            }
        }
        rows.push(row);
    }
    align(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed() {
        let target = |name: &str, url: &str, pids: &[u32]| {
            Some(NamedTarget { name: name.into(), url: url.into(), pids: pids.to_vec() })
        };
        let cases = [
            ("a=http://h:1/v1", target("a", "http://h:1/v1", &[])),
            ("a=http://h:1/v1@12", target("a", "http://h:1/v1", &[12])),
            ("a=http://h:1/v1@12,13", target("a", "http://h:1/v1", &[12, 13])),
            ("=http://h", None),
            ("http://h", None),
            ("a=http://h@x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn spreads_are_computed() {
        let first = Spread::of([3.0, 1.0, 2.0].into_iter(), None).unwrap();
        assert_eq!(first, Spread { median: 2.0, min: 1.0, max: 3.0, ratio: Some(1.0) });
        let second = Spread::of([4.0, 6.0].into_iter(), Some(&first)).unwrap();
        assert_eq!((second.median, second.ratio), (5.0, Some(2.5)));
        assert_eq!(Spread::of([].into_iter(), None), None);
    }
}
