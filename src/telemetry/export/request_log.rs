//! The request log: one JSON line per exchange, to a file or standard output.
//!
//! A failed write (such as a full disk) loses its lines, which are counted, and writing continues;
//! a partly written line is ended first, so that the next one is readable. A pipe without a reader
//! blocks only this exporter's thread.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::super::event::RequestEvent;
use super::super::metrics::Counter;
use super::exporter::{ExportSettings, Exporter, ExporterSpec, LogTarget};
use super::line::write_line;
use crate::base::open_output;

/// Bytes buffered before a write.
const WRITE_BYTES: usize = 64 * 1024;

pub(super) const REQUEST_LOG: ExporterSpec = ExporterSpec {
    name: "request-log",
    setting: "log.requests",
    errors: Counter::LogWriteErrors,
    open: RequestLogExporter::open,
};

struct RequestLogExporter {
    target: LogTarget,
    endpoints: &'static [&'static str],
    lines: LineWriter<File>,
    /// Lines not written yet; empty between batches.
    buffer: Vec<u8>,
}

impl RequestLogExporter {
    fn open(
        settings: &ExportSettings,
        endpoints: &'static [&'static str],
    ) -> io::Result<Option<Box<dyn Exporter>>> {
        let Some(target) = settings.request_log.clone() else { return Ok(None) };
        let lines = LineWriter { output: open(&target)?, torn: false };
        let buffer = Vec::with_capacity(WRITE_BYTES);
        Ok(Some(Box::new(Self { target, endpoints, lines, buffer })))
    }

    /// Writes the buffer; returns the number of lost lines.
    fn flush(&mut self) -> usize {
        let lost = self.lines.append(&self.buffer);
        self.buffer.clear();
        lost
    }
}

impl Exporter for RequestLogExporter {
    fn export(&mut self, batch: &[Arc<RequestEvent>]) -> usize {
        let mut lost = 0;
        for event in batch {
            let endpoint = self.endpoints.get(usize::from(event.endpoint)).copied();
            let whole_lines = self.buffer.len();
            if write_line(event, endpoint.unwrap_or_default(), &mut self.buffer).is_err() {
                self.buffer.truncate(whole_lines);
                lost += 1;
            }
            if self.buffer.len() >= WRITE_BYTES {
                lost += self.flush();
            }
        }
        lost + self.flush()
    }

    /// Reopens the file at the path; keeps the old one if that fails.
    fn reopen(&mut self) -> io::Result<()> {
        let output = open(&self.target)?;
        // If it fails, the flag stays set, and the new file begins with an empty line.
        self.lines.end_torn_line();
        self.lines.output = output;
        Ok(())
    }
}

/// Standard output is written as a file: the standard library's buffer would keep failed lines and
/// write them later, after they were counted as lost.
fn open(target: &LogTarget) -> io::Result<File> {
    match target {
        LogTarget::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        LogTarget::File(path) => open_output(path).map_err(|error| {
            let path = path.display();
            io::Error::new(error.kind(), format!("cannot append to {path}: {error}"))
        }),
    }
}

/// Writes whole lines, as far as the destination accepts them.
struct LineWriter<W> {
    output: W,
    /// True if the last byte written is not a line feed.
    torn: bool,
}

impl<W: Write> LineWriter<W> {
    /// Appends whole lines; returns how many were lost, including a partly written one.
    fn append(&mut self, lines: &[u8]) -> usize {
        let written = if self.end_torn_line() { self.write(lines) } else { 0 };
        let (sent, lost) = lines.split_at_checked(written).unwrap_or((lines, &[]));
        if let Some(last) = sent.last() {
            self.torn = *last != b'\n';
        }
        // JSON escapes line feeds, so each one here ends a line.
        lost.iter().filter(|byte| **byte == b'\n').count()
    }

    /// False if a partly written line could not be ended.
    fn end_torn_line(&mut self) -> bool {
        if self.torn {
            self.torn = self.write(b"\n") == 0;
        }
        !self.torn
    }

    /// Writes until an error; returns the number of bytes written.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.output.write(rest) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The caller counts the lines that were not written.
                Err(_) => break,
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::super::start_exporters;
    use super::*;
    use crate::base::IdSource;
    use crate::telemetry::{Dispatcher, EventSender, MetricsRegistry};
    use std::path::Path;
    use std::time::Duration;

    fn start(
        path: &Path,
        shards: usize,
        metrics: &Arc<MetricsRegistry>,
    ) -> (Dispatcher, Vec<EventSender>) {
        let settings = ExportSettings { request_log: Some(LogTarget::File(path.to_owned())) };
        let (dispatcher, senders) = start_exporters(&settings, shards, metrics).expect("a log");
        (dispatcher.expect("an exporter"), senders)
    }

    fn event(number: u32) -> RequestEvent {
        RequestEvent {
            id: IdSource::from_seed(u64::from(number)).next_id(),
            at_unix: Duration::from_secs(1),
            request_model: Some("m\"\n".to_owned()),
            response_status_code: 200,
            latency: Duration::from_micros(1_234),
            calls: number,
            ..RequestEvent::default()
        }
    }

    #[test]
    fn stop_writes_all_lines() {
        let name = format!("ringgate-log-{}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        let metrics = MetricsRegistry::new(2, &["none"]);
        let (dispatcher, mut senders) = start(&path, 2, &metrics);
        for number in 0..1_000 {
            assert!(senders[number as usize % 2].send(Arc::new(event(number))));
        }
        assert_eq!(dispatcher.stop(), Vec::<&str>::new());
        let text = std::fs::read_to_string(&path).expect("the file");
        std::fs::remove_file(&path).expect("the file");
        let mut seen: Vec<u64> = text
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                assert_eq!(line["latency_ms"], 1.234);
                assert_eq!(line["model"], "m\"\n");
                line["attempts"].as_u64().expect("a number")
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..1_000).collect::<Vec<u64>>());
    }

    /// A disk with space for so many bytes.
    struct Disk {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.room.min(bytes.len());
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn partly_written_line_is_terminated() {
        for (room, lost, expected) in [
            (0, 3, "dd\n"),
            (1, 3, "a\ndd\n"),
            (2, 3, "aa\ndd\n"),
            (3, 2, "aa\ndd\n"),
            (4, 2, "aa\nb\ndd\n"),
            (9, 0, "aa\nbb\ncc\ndd\n"),
        ] {
            let mut lines = LineWriter { output: Disk { room, bytes: Vec::new() }, torn: false };
            assert_eq!(lines.append(b"aa\nbb\ncc\n"), lost, "{room}");
            lines.output.room = 0;
            assert_eq!(lines.append(b"xx\n"), 1, "{room}");
            lines.output.room = usize::MAX;
            assert_eq!(lines.append(b"dd\n"), 0, "{room}");
            assert_eq!(lines.output.bytes, expected.as_bytes(), "{room}");
        }
    }

    #[test]
    fn lines_lost_on_full_disk_are_counted() {
        let metrics = MetricsRegistry::new(1, &["none"]);
        let (dispatcher, mut senders) = start(Path::new("/dev/full"), 1, &metrics);
        for number in 0..3 {
            assert!(senders[0].send(Arc::new(event(number))));
        }
        assert_eq!(dispatcher.stop(), Vec::<&str>::new());
        assert_eq!(metrics.counter_total(Counter::LogWriteErrors), 3);
    }
}
