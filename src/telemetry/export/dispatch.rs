//! The threads between shards and exporters.
//!
//! Each shard has a bounded queue, which one thread, the dispatcher, empties. It passes each event
//! to every exporter, each of which has a bounded queue and a thread of its own. Nothing waits for
//! a full queue: events that do not fit are dropped and counted, by shards for all exporters, by
//! the dispatcher for one. A slow exporter loses only its own events; one that hangs is abandoned
//! when the process ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::super::metrics::Counter;
use super::super::queue::{EventReceiver, EventSender, event_queue};
use super::super::registry::MetricsRegistry;
use super::super::series::ExporterSeries;
use super::exporter::{Exporter, ExporterSpec};
use crate::base::BackgroundThread;

/// Memory of the undispatched events of one shard: some 6,000 of them, more than half a second of
/// 10,000 requests a second.
const SHARD_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Memory of the events that wait for one exporter.
const EXPORTER_QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Interval at which the dispatcher reads the queues of shards, which do not wake it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Time that the process waits for exporters when it ends: a pipe may have no reader, and a working
/// exporter empties its queue in less.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The control thread's handle of all export threads.
pub struct Dispatcher {
    thread: BackgroundThread,
    stop: Arc<AtomicBool>,
    exporters: Vec<ExporterHandle>,
}

struct ExporterHandle {
    spec: &'static ExporterSpec,
    thread: BackgroundThread,
    signals: Arc<ExporterSignals>,
}

#[derive(Default)]
struct ExporterSignals {
    stop: AtomicBool,
    reopen: AtomicBool,
}

impl Dispatcher {
    /// Starts a thread per exporter, and the dispatcher; one sender per shard.
    pub(super) fn start(
        exporters: Vec<(&'static ExporterSpec, Box<dyn Exporter>)>,
        shards: usize,
        metrics: &Arc<MetricsRegistry>,
    ) -> io::Result<(Self, Vec<EventSender>)> {
        let (mut handles, mut outputs) = (Vec::new(), Vec::new());
        for (spec, exporter) in exporters {
            let (sender, queue) = event_queue(EXPORTER_QUEUE_BYTES);
            let handle = ExporterHandle::start(spec, exporter, queue, Arc::clone(metrics))?;
            let series = Arc::new(ExporterSeries::new(spec.name));
            metrics.register_exporter(Arc::clone(&series));
            outputs.push(Output { queue: sender, thread: handle.thread.thread().clone(), series });
            handles.push(handle);
        }
        let (senders, shards) = (0..shards).map(|_| event_queue(SHARD_QUEUE_BYTES)).unzip();
        let stop = Arc::<AtomicBool>::default();
        let dispatch_loop = DispatchLoop { shards, outputs, stop: Arc::clone(&stop) };
        let thread = BackgroundThread::start("events".to_owned(), move || dispatch_loop.run())?;
        Ok((Self { thread, stop, exporters: handles }, senders))
    }

    /// Reopens all files, for log rotation.
    pub fn reopen(&self) {
        for exporter in &self.exporters {
            exporter.signals.reopen.store(true, Ordering::Release);
            exporter.thread.unpark();
        }
    }

    /// Exports all sent events and stops the threads. Returns the settings of exporters that have
    /// not finished after two seconds.
    pub fn stop(self) -> Vec<&'static str> {
        let end = Instant::now() + STOP_LIMIT;
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
        let is_dispatched = self.thread.join_within(STOP_LIMIT);
        for exporter in &self.exporters {
            exporter.signals.stop.store(true, Ordering::Release);
            exporter.thread.unpark();
        }
        let mut late = Vec::new();
        for ExporterHandle { spec, thread, .. } in self.exporters {
            let has_ended = thread.join_within(end.saturating_duration_since(Instant::now()));
            if !has_ended || !is_dispatched {
                late.push(spec.setting);
            }
        }
        late
    }
}

/// The dispatcher's side of one exporter.
struct Output {
    queue: EventSender,
    thread: Thread,
    series: Arc<ExporterSeries>,
}

struct DispatchLoop {
    shards: Vec<EventReceiver>,
    outputs: Vec<Output>,
    stop: Arc<AtomicBool>,
}

impl DispatchLoop {
    fn run(mut self) {
        loop {
            // Read before the queues, so that events sent before the stop are still dispatched.
            let stop = self.stop.load(Ordering::Acquire);
            if self.dispatch() {
                continue;
            }
            if stop {
                return;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Dispatches a batch from each shard; false if all queues were empty.
    fn dispatch(&mut self) -> bool {
        let (mut any, mut batch) = (false, Vec::new());
        for shard in &mut self.shards {
            shard.take(&mut batch);
            if batch.is_empty() {
                continue;
            }
            any = true;
            for Output { queue, thread, series } in &mut self.outputs {
                let sent = batch.iter().filter(|event| queue.send(Arc::clone(event))).count();
                series.dropped.add((batch.len() - sent) as u64);
                thread.unpark();
            }
            batch.clear();
        }
        any
    }
}

impl ExporterHandle {
    fn start(
        spec: &'static ExporterSpec,
        exporter: Box<dyn Exporter>,
        queue: EventReceiver,
        metrics: Arc<MetricsRegistry>,
    ) -> io::Result<Self> {
        let signals = Arc::<ExporterSignals>::default();
        let export_loop = ExportLoop {
            exporter,
            queue,
            signals: Arc::clone(&signals),
            metrics,
            errors: spec.errors,
        };
        let thread = BackgroundThread::start(spec.name.to_owned(), move || export_loop.run())?;
        Ok(Self { spec, thread, signals })
    }
}

struct ExportLoop {
    exporter: Box<dyn Exporter>,
    queue: EventReceiver,
    signals: Arc<ExporterSignals>,
    metrics: Arc<MetricsRegistry>,
    errors: Counter,
}

impl ExportLoop {
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            // Read before the queue, as in the dispatcher.
            let stop = self.signals.stop.load(Ordering::Acquire);
            if self.signals.reopen.swap(false, Ordering::AcqRel) && self.exporter.reopen().is_err()
            {
                self.metrics.count(self.errors);
            }
            self.queue.take(&mut batch);
            if !batch.is_empty() {
                let lost = self.exporter.export(&batch);
                self.metrics.count_by(self.errors, lost as u64);
                batch.clear();
            } else if stop {
                return;
            } else {
                // The dispatcher unparks it after filling the queue.
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::RequestEvent;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Reached only if a thread hangs.
    const LONG: Duration = Duration::from_secs(20);

    /// Reports the events that it receives, each when its gate opens.
    struct GatedExporter {
        gate: Option<Receiver<()>>,
        exported: SyncSender<u32>,
    }

    impl Exporter for GatedExporter {
        fn export(&mut self, batch: &[Arc<RequestEvent>]) -> usize {
            if let Some(gate) = &self.gate {
                // It stays open once the other end is dropped.
                let _ = gate.recv();
            }
            batch.iter().for_each(|event| self.exported.send(event.calls).expect("a reader"));
            0
        }

        fn reopen(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    const fn spec(name: &'static str) -> ExporterSpec {
        let errors = Counter::LogWriteErrors;
        ExporterSpec { name, setting: name, errors, open: |_, _| Ok(None) }
    }

    static FREE: ExporterSpec = spec("free");
    static BLOCKED: ExporterSpec = spec("blocked");

    struct TestBench {
        metrics: Arc<MetricsRegistry>,
        dispatcher: Dispatcher,
        sender: EventSender,
        free: Receiver<u32>,
        blocked: Receiver<u32>,
        gate: SyncSender<()>,
    }

    fn start() -> TestBench {
        let metrics = MetricsRegistry::new(1, &["none"]);
        let (gate, closed) = sync_channel(1);
        let (free, free_events) = sync_channel(64);
        let (blocked, blocked_events) = sync_channel(64);
        let exporter = |gate, exported| Box::new(GatedExporter { gate, exported });
        let exporters: Vec<(_, Box<dyn Exporter>)> =
            vec![(&BLOCKED, exporter(Some(closed), blocked)), (&FREE, exporter(None, free))];
        let (dispatcher, mut senders) = Dispatcher::start(exporters, 1, &metrics).expect("threads");
        let sender = senders.pop().expect("a sender");
        let (free, blocked) = (free_events, blocked_events);
        TestBench { metrics, dispatcher, sender, free, blocked, gate }
    }

    fn dropped(metrics: &MetricsRegistry, exporter: &str) -> usize {
        let start = format!("ringgate_events_dropped_total{{exporter=\"{exporter}\"}} ");
        let text = metrics.render();
        let count = text.lines().find_map(|line| line.strip_prefix(&start));
        count.and_then(|it| it.parse().ok()).expect("a count")
    }

    #[test]
    fn blocked_exporter_loses_only_its_own_events() {
        let TestBench { metrics, dispatcher, mut sender, free, blocked, gate } = start();
        let warnings: Arc<str> = Arc::from("w".repeat(1024 * 1024));
        for calls in 0..40 {
            let warnings = Some(Arc::clone(&warnings));
            let event = RequestEvent { calls, warnings, ..RequestEvent::default() };
            assert!(sender.send(Arc::new(event)));
            assert_eq!(free.recv_timeout(LONG), Ok(calls));
        }
        // A little over 1 MiB each: 15 fit into its queue, and it holds at most one.
        let lost = dropped(&metrics, "blocked");
        assert!((24..=25).contains(&lost), "{lost}");
        assert_eq!((dropped(&metrics, "free"), dropped(&metrics, "all")), (0, 0));
        drop(gate);
        assert_eq!(dispatcher.stop(), Vec::<&str>::new());
        assert_eq!(blocked.try_iter().count(), 40 - lost);
    }

    #[test]
    fn hanging_exporter_is_reported_on_stop() {
        let TestBench { dispatcher, mut sender, free, blocked: _blocked, gate, .. } = start();
        assert!(sender.send(Arc::default()));
        assert_eq!(dispatcher.stop(), ["blocked"]);
        assert_eq!(free.try_iter().count(), 1);
        drop(gate);
    }

    #[test]
    fn failed_reopening_is_counted() {
        let TestBench { metrics, dispatcher, free: _free, gate, .. } = start();
        drop(gate);
        dispatcher.reopen();
        assert_eq!(dispatcher.stop(), Vec::<&str>::new());
        assert_eq!(metrics.counter_total(Counter::LogWriteErrors), 2);
    }
}
