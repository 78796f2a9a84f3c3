//! A run as aligned text for a terminal.

use std::fmt::Write as _;

use super::report::{Percentiles, Report};
use crate::quantity::{show_bytes, show_count, show_us};

/// Lays out rows in columns: the first to the left, the others to the right, two blanks between.
pub fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let gap = if column == 0 { "" } else { "  " };
            match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "{gap}{cell:>width$}"),
            }
            .expect("writing to memory cannot fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub(super) fn render(report: &Report) -> String {
    let mut text = format!("{}\n{}, {:.1} s\n\n", report.url, report.load_text(), report.window_s);
    text.push_str(&align(&counts(report)));
    text.push('\n');
    let mut rows =
        vec![["", "p50", "p90", "p99", "p99.9", "max", "mean"].map(str::to_owned).to_vec()];
    let times = [
        ("latency", &report.latency_us),
        ("first byte", &report.first_byte_us),
        ("inter-event", &report.inter_event_us),
    ];
    rows.extend(times.iter().filter_map(|(name, times)| Some(times_row(name, times.as_ref()?))));
    for (status, cached) in &report.cache {
        let name = format!("  {status} {:.1} %", cached.share * 100.0);
        rows.push(times_row(&name, &cached.latency_us));
    }
    text.push_str(&align(&rows));
    let errors: Vec<_> = report.errors.iter().filter(|(_, count)| **count > 0).collect();
    if !errors.is_empty() || report.unsent > 0 {
        let mut rows: Vec<_> = errors
            .iter()
            .map(|(name, count)| vec![format!("  {name}"), show_count(**count as f64, 0)])
            .collect();
        if report.unsent > 0 {
            rows.push(vec!["  unsent".to_owned(), show_count(report.unsent as f64, 0)]);
        }
        write!(text, "\nerrors\n{}", align(&rows)).expect("writing to memory cannot fail");
    }
    if report.succeeded > 0 && report.loader_cpu_percent > 90.0 {
        text.push_str("\nThe loader used a whole core: the target may be faster than shown.\n");
    }
    text
}

fn counts(report: &Report) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("requests", show_count(report.requests as f64, 0));
    row("  failed", show_count(report.failed as f64, 0));
    row("req/s", show_count(report.requests_per_second, 0));
    row("received/s", show_bytes(report.bytes_per_second));
    if report.events_per_second > 0.0 {
        row("events/s", show_count(report.events_per_second, 0));
    }
    if let Some(us) = report.cpu_us_per_request {
        row("CPU per request", format!("{us:.2} µs"));
    }
    if let Some(us) = report.cpu_us_per_event {
        row("CPU per event", format!("{us:.2} µs"));
    }
    if let Some(percent) = report.cpu_percent {
        row("CPU of target", format!("{percent:.0} %"));
    }
    row("CPU of loader", format!("{:.0} %", report.loader_cpu_percent));
    if let Some(memory) = &report.rss_kib {
        let show = |kib: u64| show_bytes(kib as f64 * 1024.0);
        row("RSS before", show(memory.before));
        row("RSS after", show(memory.after));
        row("RSS peak", show(memory.peak));
    }
    rows
}

fn times_row(name: &str, times: &Percentiles) -> Vec<String> {
    let values = [times.p50, times.p90, times.p99, times.p999, times.max, times.mean];
    std::iter::once(name.to_owned()).chain(values.map(show_us)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [vec!["", "p50"], vec!["latency", "9.0 µs"], vec!["x", "100 ms"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        assert_eq!(align(&rows), "            p50\nlatency  9.0 µs\nx        100 ms\n");
    }
}
