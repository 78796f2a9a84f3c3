//! The request log: one JSON line per exchange, written by a thread of its own.
//!
//! Each shard has a bounded ring. A full ring drops the event, which is counted; a shard never
//! waits. A failed write (a full disk) loses its lines, which are counted, and writing goes on; a
//! line that was half written is ended first, so that the next one can be read. A pipe that nobody
//! reads holds up this thread alone; the process ends without it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use super::super::event::RequestEvent;
use super::super::metrics::Counter;
use super::super::registry::MetricsRegistry;
use super::line::write_line;
use crate::base::{BackgroundThread, open_output};

/// Events one shard may have unwritten: at 10,000 requests a second, four tenths of a second.
const RING_EVENTS: usize = 4_096;

/// How often the writer looks at the rings.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The end of the process waits so long for lines to be written: a pipe may have no reader, and a
/// reader at work takes all that the rings hold in less.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 64 * 1024;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error("cannot append to {path}: {source}")]
    Open {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread.
    #[error("cannot start the thread of the request log: {0}")]
    Thread(#[source] io::Error),
}

/// A shard's end of the log.
pub struct LogSender(Producer<RequestEvent>);

impl LogSender {
    /// A sender and the other end of its ring.
    pub(in crate::telemetry) fn with_ring(events: usize) -> (Self, Consumer<RequestEvent>) {
        let (producer, consumer) = RingBuffer::new(events);
        (Self(producer), consumer)
    }

    /// Hands an event over; false if the ring is full and it is lost.
    pub fn send(&mut self, event: RequestEvent) -> bool {
        self.0.push(event).is_ok()
    }
}

#[derive(Default)]
struct Signals {
    stop: AtomicBool,
    reopen: AtomicBool,
}

/// The writer's handle, held by the control thread.
pub struct LogWriter {
    thread: BackgroundThread,
    signals: Arc<Signals>,
}

impl LogWriter {
    /// Opens the file again, as log rotation asks for.
    pub fn reopen(&self) {
        self.signals.reopen.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Writes all that has been sent and ends the thread; false if lines are unwritten after two
    /// seconds.
    pub fn stop(self) -> bool {
        self.signals.stop.store(true, Ordering::Release);
        self.thread.unpark();
        self.thread.join_within(STOP_LIMIT)
    }
}

/// Opens the log and starts its thread; one sender for each shard.
///
/// # Errors
/// See [`LogError`].
pub fn open_log(
    target: LogTarget,
    shards: usize,
    metrics: Arc<MetricsRegistry>,
) -> Result<(LogWriter, Vec<LogSender>), LogError> {
    let lines = LineWriter { output: open(&target)?, torn: false };
    let (senders, rings) = (0..shards).map(|_| LogSender::with_ring(RING_EVENTS)).unzip();
    let signals = Arc::new(Signals::default());
    let write_loop = WriteLoop { target, lines, rings, metrics, signals: Arc::clone(&signals) };
    let thread = BackgroundThread::start("request-log".to_owned(), move || write_loop.run())
        .map_err(LogError::Thread)?;
    Ok((LogWriter { thread, signals }, senders))
}

/// Standard output is written to as a file: the standard library's buffer would keep lines that
/// failed and write them later, after they were counted as lost.
fn open(target: &LogTarget) -> Result<File, LogError> {
    let (path, opened) = match target {
        LogTarget::Stdout => {
            let descriptor = io::stdout().as_fd().try_clone_to_owned();
            (PathBuf::from("/dev/stdout"), descriptor.map(File::from))
        }
        LogTarget::File(path) => (path.clone(), open_output(path)),
    };
    opened.map_err(|source| LogError::Open { path, source })
}

/// Lines going out whole, as far as the other side takes them.
struct LineWriter<W> {
    output: W,
    /// True if what went out last does not end with a line feed.
    torn: bool,
}

impl<W: Write> LineWriter<W> {
    /// Appends whole lines; how many of them were lost, the half-written one included.
    fn append(&mut self, lines: &[u8]) -> usize {
        let written = if self.end_torn_line() { self.write(lines) } else { 0 };
        let (sent, lost) = lines.split_at_checked(written).unwrap_or((lines, &[]));
        if let Some(last) = sent.last() {
            self.torn = *last != b'\n';
        }
        // JSON escapes line feeds, so each one here ends a line.
        lost.iter().filter(|byte| **byte == b'\n').count()
    }

    /// False if a torn line could not be ended.
    fn end_torn_line(&mut self) -> bool {
        if self.torn {
            self.torn = self.write(b"\n") == 0;
        }
        !self.torn
    }

    /// Writes until an error; the bytes that went out.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.output.write(rest) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The caller counts the lines that did not go out.
                Err(_) => break,
            }
        }
        written
    }
}

struct WriteLoop {
    target: LogTarget,
    lines: LineWriter<File>,
    rings: Vec<Consumer<RequestEvent>>,
    metrics: Arc<MetricsRegistry>,
    signals: Arc<Signals>,
}

impl WriteLoop {
    fn run(mut self) {
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        loop {
            // Read before the rings: what was sent before the stop is still written.
            let stop = self.signals.stop.load(Ordering::Acquire);
            if self.signals.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            let wrote = self.drain(&mut buffer);
            if stop {
                return;
            }
            if !wrote {
                std::thread::park_timeout(LOOK_EVERY);
            }
        }
    }

    /// Writes what the rings hold; false if that was nothing.
    fn drain(&mut self, buffer: &mut Vec<u8>) -> bool {
        let mut any = false;
        for index in 0..self.rings.len() {
            while let Some(event) = self.rings.get_mut(index).and_then(|ring| ring.pop().ok()) {
                any = true;
                let whole_lines = buffer.len();
                if write_line(&event, self.metrics.endpoint_name(event.endpoint), buffer).is_err() {
                    buffer.truncate(whole_lines);
                    self.metrics.count(Counter::LogWriteErrors);
                }
                if buffer.len() >= WRITE_BYTES {
                    self.write(buffer);
                }
            }
            self.write(buffer);
        }
        any
    }

    fn write(&mut self, buffer: &mut Vec<u8>) {
        let lost = self.lines.append(buffer);
        (0..lost).for_each(|_| self.metrics.count(Counter::LogWriteErrors));
        buffer.clear();
    }

    /// Goes on with the file of that name, or with the old one if it cannot be opened.
    fn reopen(&mut self) {
        match open(&self.target) {
            Ok(output) => {
                // A failure leaves the mark, and the new file begins with an empty line.
                self.lines.end_torn_line();
                self.lines.output = output;
            }
            Err(_) => self.metrics.count(Counter::LogWriteErrors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::IdSource;

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
    fn stop_writes_everything() {
        let name = format!("ringgate-log-{}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        let metrics = MetricsRegistry::new(2, &["none"]);
        let target = LogTarget::File(path.clone());
        let (writer, mut senders) = open_log(target, 2, Arc::clone(&metrics)).expect("a log");
        for number in 0..1_000 {
            assert!(senders[number as usize % 2].send(event(number)));
        }
        writer.stop();
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

    #[test]
    fn a_full_ring_drops() {
        let (mut sender, mut consumer) = LogSender::with_ring(2);
        assert!(sender.send(event(1)) && sender.send(event(2)));
        assert!(!sender.send(event(3)));
        assert!(consumer.pop().is_ok());
        assert!(sender.send(event(4)));
    }

    /// A disk with room for so many bytes.
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
    fn a_torn_line_spoils_no_other() {
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
    fn a_full_disk_is_counted_and_survived() {
        let metrics = MetricsRegistry::new(1, &["none"]);
        let target = LogTarget::File(PathBuf::from("/dev/full"));
        let (writer, mut senders) = open_log(target, 1, Arc::clone(&metrics)).expect("a log");
        for number in 0..3 {
            assert!(senders[0].send(event(number)));
        }
        writer.stop();
        assert_eq!(metrics.counter_total(Counter::LogWriteErrors), 3);
    }
}
