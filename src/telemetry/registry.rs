//! Metrics of all shards, formatted for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cells::Cell64;
use super::histogram::{Histogram, HistogramTotal, LATENCY_BOUNDS_US, OVERHEAD_BOUNDS_US};
use super::metrics::{Counter, Gauge, METRICS, Metric, MetricSource};
use super::series::{ErrorSeries, ExporterSeries, Series, TOKEN_KINDS, USUAL_KINDS};
use crate::base::{messages_dropped, unix_now};
use crate::llm::PicoUsd;

/// Counters of one shard, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct ShardCells {
    pub gauges: [Cell64; Gauge::COUNT],
    pub counters: [Cell64; Counter::COUNT],
    /// By the index of the endpoint.
    pub endpoints: Box<[EndpointHistograms]>,
    pub overhead: Histogram,
    /// Events lost for all exporters.
    pub events_dropped: Cell64,
}

#[derive(Debug)]
pub(super) struct EndpointHistograms {
    pub duration: Histogram,
    pub first_byte: Histogram,
}

impl ShardCells {
    fn new(endpoints: usize) -> Self {
        let histogram = || Histogram::new(LATENCY_BOUNDS_US);
        let histograms = || EndpointHistograms { duration: histogram(), first_byte: histogram() };
        Self {
            gauges: Default::default(),
            counters: std::array::from_fn(|_| Cell64::default()),
            endpoints: (0..endpoints).map(|_| histograms()).collect(),
            overhead: Histogram::new(OVERHEAD_BOUNDS_US),
            events_dropped: Cell64::default(),
        }
    }
}

/// The metrics of the process.
#[derive(Debug)]
pub struct MetricsRegistry {
    started: Duration,
    endpoints: &'static [&'static str],
    shards: Vec<Arc<ShardCells>>,
    /// Counters of the control thread and of exporters.
    control: [Cell64; Counter::COUNT],
    /// One per exporter. Locked when exporters start and when metrics are read.
    exporters: Mutex<Vec<Arc<ExporterSeries>>>,
    /// New series from shards. Locked for one push or to take them all, never while text is
    /// formatted: clients decide when a model is new, and a shard would wait for a whole scrape (5
    /// ms and more at the median with 14,400 series; 2 to 3 µs this way, on two busy cores).
    new_series: Mutex<Vec<NewSeries>>,
    /// Locked by readers of the metrics; never by a shard.
    all_series: Mutex<AllSeries>,
}

/// A series that a shard has started. Each shard starts a bounded number, which bounds the list.
#[derive(Debug)]
enum NewSeries {
    Series(Arc<Series>),
    Errors(Arc<ErrorSeries>),
}

/// The series of all shards, taken from the new ones.
#[derive(Debug, Default)]
struct AllSeries {
    series: Vec<Arc<Series>>,
    errors: Vec<Arc<ErrorSeries>>,
}

impl AllSeries {
    fn add(&mut self, new_series: Vec<NewSeries>) {
        for added in new_series {
            match added {
                NewSeries::Series(series) => self.series.push(series),
                NewSeries::Errors(errors) => self.errors.push(errors),
            }
        }
    }
}

impl MetricsRegistry {
    /// Metrics for so many shards. `endpoints` are the endpoint names by index.
    #[must_use]
    pub fn new(shards: usize, endpoints: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self {
            started: unix_now(),
            endpoints,
            shards: (0..shards).map(|_| Arc::new(ShardCells::new(endpoints.len()))).collect(),
            control: std::array::from_fn(|_| Cell64::default()),
            exporters: Mutex::default(),
            new_series: Mutex::default(),
            all_series: Mutex::default(),
        })
    }

    /// The cells of a shard; unregistered ones, which are not shown, if the index is out of range.
    pub(super) fn shard_cells(&self, shard: usize) -> Arc<ShardCells> {
        let none = || Arc::new(ShardCells::new(self.endpoints.len()));
        self.shards.get(shard).map_or_else(none, Arc::clone)
    }

    /// Name of an event's endpoint.
    pub(super) fn endpoint_name(&self, endpoint: u8) -> &'static str {
        self.endpoints.get(usize::from(endpoint)).copied().unwrap_or_default()
    }

    /// Endpoint names by index.
    pub(super) fn endpoints(&self) -> &'static [&'static str] {
        self.endpoints
    }

    /// Adds one to a counter, from any thread but a shard's.
    pub fn count(&self, counter: Counter) {
        self.count_by(counter, 1);
    }

    /// Adds to a counter, from any thread but a shard's.
    pub(super) fn count_by(&self, counter: Counter, step: u64) {
        if let Some(cell) = self.control.get(counter as usize) {
            cell.add_shared(step);
        }
    }

    pub(super) fn register_exporter(&self, series: Arc<ExporterSeries>) {
        locked(&self.exporters).push(series);
    }

    pub(super) fn register(&self, series: Arc<Series>) {
        self.push_new(NewSeries::Series(series));
    }

    pub(super) fn register_errors(&self, series: Arc<ErrorSeries>) {
        self.push_new(NewSeries::Errors(series));
    }

    fn push_new(&self, added: NewSeries) {
        locked(&self.new_series).push(added);
    }

    /// All metrics as Prometheus text, format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        for metric in METRICS {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# HELP {} {}", metric.name, metric.help);
            let _ = writeln!(out, "# TYPE {} {}", metric.name, metric.kind.name());
            self.render_metric(metric, &mut out);
        }
        out
    }

    fn render_metric(&self, metric: &Metric, out: &mut String) {
        let name = metric.name;
        let single = |out: &mut String, value: &str| {
            let _ = writeln!(out, "{name} {value}");
        };
        match metric.source {
            MetricSource::Build => {
                let version = env!("CARGO_PKG_VERSION");
                let _ = writeln!(out, "{name}{{version=\"{version}\"}} 1");
            }
            MetricSource::Generation => {
                let generation = 1 + self.counter_total(Counter::SettingsReloads);
                single(out, &generation.to_string());
            }
            MetricSource::StartTime => single(out, &self.started.as_secs().to_string()),
            MetricSource::MessagesDropped => single(out, &messages_dropped().to_string()),
            MetricSource::Gauge(gauge) => single(out, &self.gauge_total(gauge).to_string()),
            MetricSource::Counter(counter) => single(out, &self.counter_total(counter).to_string()),
            MetricSource::Cost => {
                for (labels, pico) in self.labelled(metric.source) {
                    let _ = writeln!(out, "{name}{{{labels}}} {}", PicoUsd::new(pico));
                }
            }
            MetricSource::Requests
            | MetricSource::Attempts
            | MetricSource::Tokens
            | MetricSource::UsageEstimated
            | MetricSource::CostUnknown
            | MetricSource::CostReported
            | MetricSource::Errors => {
                for (labels, value) in self.labelled(metric.source) {
                    let _ = writeln!(out, "{name}{{{labels}}} {value}");
                }
            }
            MetricSource::EventsDropped => {
                let shards = self.shards.iter().map(|shard| shard.events_dropped.get());
                let _ = writeln!(out, "{name}{{exporter=\"all\"}} {}", shards.sum::<u64>());
                for exporter in &*locked(&self.exporters) {
                    let (label, dropped) = (exporter.name, exporter.dropped.get());
                    let _ = writeln!(out, "{name}{{exporter=\"{label}\"}} {dropped}");
                }
            }
            MetricSource::Duration => self.render_endpoints(name, |it| &it.duration, out),
            MetricSource::FirstByte => self.render_endpoints(name, |it| &it.first_byte, out),
            MetricSource::Overhead => {
                let mut total = HistogramTotal::new(OVERHEAD_BOUNDS_US);
                self.shards.iter().for_each(|shard| shard.overhead.add_to(&mut total));
                total.render(name, "", out);
            }
        }
    }

    fn render_endpoints(
        &self,
        name: &str,
        choose: impl Fn(&EndpointHistograms) -> &Histogram,
        out: &mut String,
    ) {
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let mut total = HistogramTotal::new(LATENCY_BOUNDS_US);
            let shards = self.shards.iter().filter_map(|shard| shard.endpoints.get(number));
            shards.for_each(|histograms| choose(histograms).add_to(&mut total));
            total.render(name, &format!("endpoint=\"{endpoint}\","), out);
        }
    }

    /// Sum of a gauge over shards.
    #[must_use]
    pub fn gauge_total(&self, gauge: Gauge) -> i64 {
        let cells = self.shards.iter().filter_map(|shard| shard.gauges.get(gauge as usize));
        cells.map(|cell| cell.get().cast_signed()).sum()
    }

    /// Sum of a counter over shards and the control thread.
    #[must_use]
    pub fn counter_total(&self, counter: Counter) -> u64 {
        let cells = self.shards.iter().filter_map(|shard| shard.counters.get(counter as usize));
        let control = self.control.get(counter as usize);
        cells.chain(control).map(Cell64::get).sum()
    }

    /// Labels and values of a labelled metric, summed over shards and in order.
    fn labelled(&self, source: MetricSource) -> BTreeMap<String, u64> {
        let mut all_series = locked(&self.all_series);
        // In a statement of its own, which releases the lock on the new ones.
        let new_series = std::mem::take(&mut *locked(&self.new_series));
        all_series.add(new_series);
        let mut sums = BTreeMap::new();
        let mut add = |labels: String, value: u64| {
            let sum: &mut u64 = sums.entry(labels).or_insert(0);
            // Cells wrap as counters do; at 18 million dollars.
            *sum = sum.wrapping_add(value);
        };
        if source == MetricSource::Errors {
            for error in &all_series.errors {
                let labels = format!("side=\"{}\",code=\"{}\"", error.side, error.code);
                add(labels, error.count.get());
            }
            return sums;
        }
        for series in &all_series.series {
            let owner = format!(
                "key=\"{}\",provider=\"{}\",model=\"{}\"",
                escaped(&series.key),
                escaped(&series.provider),
                escaped(&series.model)
            );
            match source {
                MetricSource::Attempts if series.endpoint.is_some() => {}
                MetricSource::Attempts => {
                    let (provider, model) = (escaped(&series.provider), escaped(&series.model));
                    for (status, count) in series.requests() {
                        let labels = format!("provider=\"{provider}\",model=\"{model}\"");
                        add(format!("{labels},status=\"{status}\""), count);
                    }
                }
                MetricSource::Requests => {
                    let Some(endpoint) = series.endpoint else { continue };
                    let endpoint = self.endpoint_name(endpoint);
                    for (status, count) in series.requests() {
                        let labels = format!("endpoint=\"{endpoint}\",{owner},status=\"{status}\"");
                        add(labels, count);
                    }
                    let rest = series.other_statuses.get();
                    if rest > 0 {
                        add(format!("endpoint=\"{endpoint}\",{owner},status=\"other\""), rest);
                    }
                }
                MetricSource::UsageEstimated => add(owner, series.estimated.get()),
                MetricSource::Cost => add(owner, series.cost.get()),
                MetricSource::CostUnknown => add(owner, series.cost_unknown.get()),
                MetricSource::CostReported => add(owner, series.cost_reported.get()),
                _ => {
                    for (place, (kind, cell)) in TOKEN_KINDS.iter().zip(&series.tokens).enumerate()
                    {
                        if place < USUAL_KINDS || cell.get() > 0 {
                            add(format!("{owner},kind=\"{kind}\""), cell.get());
                        }
                    }
                }
            }
        }
        sums
    }
}

/// After a panic the list still holds complete series.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A label value, escaped for the format.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::IdSource;
    use crate::llm::Usage;
    use crate::telemetry::queue::event_queue;
    use crate::telemetry::{Cost, ModelOrigin, Recorder, RequestEvent, RequestOutcome};

    fn registry(shards: usize) -> Arc<MetricsRegistry> {
        MetricsRegistry::new(shards, &["none", "chat_completions"])
    }

    fn event(model: &str, status: u16) -> RequestEvent {
        RequestEvent {
            id: IdSource::from_seed(1).next_id(),
            endpoint: 1,
            key: Some(Arc::from("team \"a\"")),
            provider_name: Some(Arc::from("p")),
            request_model: Some(model.to_owned()),
            response_status_code: status,
            outcome: if status < 400 {
                RequestOutcome::Success
            } else {
                RequestOutcome::UpstreamError
            },
            usage: Some(Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() }),
            cost: Some(Cost::Known(PicoUsd::new(12_500_000))),
            latency: Duration::from_millis(2),
            first_byte: Some(Duration::from_millis(1)),
            upstream: Duration::from_millis(1),
            ..RequestEvent::default()
        }
    }

    /// As if the settings named every model.
    fn named(_: Option<&str>, _: &str) -> ModelOrigin {
        ModelOrigin::Settings
    }

    fn finish(recorder: &Recorder, event: RequestEvent) {
        recorder.finish(event, named);
    }

    fn value(text: &str, start: &str) -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(start))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    #[test]
    fn every_metric_is_rendered_once() {
        let metrics = registry(1);
        finish(&Recorder::new(&metrics, 0, None), event("m", 200));
        let text = metrics.render();
        for metric in METRICS {
            for kind in ["HELP", "TYPE"] {
                let start = format!("# {kind} {} ", metric.name);
                let count = text.lines().filter(|line| line.starts_with(&start)).count();
                assert_eq!(count, 1, "{start}");
            }
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let braces = (series.matches('{').count(), series.ends_with('}'));
            assert!(matches!(braces, (0, false) | (1, true)), "{line}");
        }
    }

    #[test]
    fn shards_are_summed_and_labels_escaped() {
        let metrics = registry(2);
        let (first, second) = (Recorder::new(&metrics, 0, None), Recorder::new(&metrics, 1, None));
        finish(&first, event("m", 200));
        finish(&second, event("m", 200));
        finish(&second, event("m", 429));
        first.add(Gauge::OpenConnections, 3);
        second.add(Gauge::OpenConnections, -1);
        let text = metrics.render();
        let owner = "key=\"team \\\"a\\\"\",provider=\"p\",model=\"m\"";
        let requests = "ringgate_requests_total{endpoint=\"chat_completions\",";
        assert_eq!(value(&text, &format!("{requests}{owner},status=\"200\"")), Some(2.0));
        assert_eq!(value(&text, &format!("{requests}{owner},status=\"429\"")), Some(1.0));
        let tokens = format!("ringgate_tokens_total{{{owner},kind=\"input\"");
        assert_eq!(value(&text, &tokens), Some(9.0));
        let errors = "ringgate_errors_total{side=\"upstream\",code=\"provider\"";
        assert_eq!(value(&text, errors), Some(1.0));
        assert_eq!(value(&text, "ringgate_open_connections"), Some(2.0));
    }

    #[test]
    fn costs_are_exact_and_unknown_ones_counted() {
        let metrics = registry(2);
        let (first, second) = (Recorder::new(&metrics, 0, None), Recorder::new(&metrics, 1, None));
        finish(&first, event("m", 200));
        finish(&second, event("m", 200));
        finish(&second, RequestEvent { cost: Some(Cost::Unknown), ..event("m", 200) });
        finish(&second, RequestEvent { cost: None, usage: None, ..event("m", 429) });
        let text = metrics.render();
        let owner = "{key=\"team \\\"a\\\"\",provider=\"p\",model=\"m\"}";
        assert!(text.contains(&format!("ringgate_cost_usd_total{owner} 0.000025\n")), "{text}");
        assert!(text.contains(&format!("ringgate_cost_unknown_total{owner} 1\n")), "{text}");
    }

    #[test]
    fn rare_token_kinds_are_shown_only_if_present() {
        let metrics = registry(1);
        let usage = Usage { input_tokens: 9, cache_write_1h_tokens: 4, ..Usage::default() };
        let event = RequestEvent { usage: Some(usage), ..event("m", 200) };
        finish(&Recorder::new(&metrics, 0, None), event);
        let text = metrics.render();
        let shown = |kind: &str| text.contains(&format!("kind=\"{kind}\"}}"));
        assert!(shown("cached") && shown("cache_write_1h") && !shown("input_audio"), "{text}");
    }

    #[test]
    fn series_are_bounded() {
        let metrics = registry(1);
        let recorder = Recorder::new(&metrics, 0, None);
        for number in 0..1_500 {
            finish(&recorder, event(&format!("model-{number}"), 200));
        }
        finish(&recorder, event("bad\nname", 200));
        let text = metrics.render();
        let lines = text.lines().filter(|line| line.starts_with("ringgate_requests_total{"));
        assert_eq!(lines.count(), 1_001);
        assert_eq!(metrics.counter_total(Counter::LabelsFolded), 501);
    }

    /// Models with a series of their own among the requests.
    fn labelled(text: &str, prefix: &str) -> usize {
        let start = format!("model=\"{prefix}");
        let lines = text.lines().filter(|line| line.starts_with("ringgate_requests_total{"));
        lines.filter(|line| line.contains(&start)).count()
    }

    #[test]
    fn request_only_models_do_not_displace_others() {
        let metrics = registry(1);
        let recorder = Recorder::new(&metrics, 0, None);
        let origin = |_: Option<&str>, model: &str| match model {
            _ if model.starts_with("set") => ModelOrigin::Settings,
            _ if model.starts_with("known") => ModelOrigin::Catalog,
            _ => ModelOrigin::Request,
        };
        let finish = |model: &str, status: u16| {
            recorder.finish(event(model, status), origin);
        };
        for number in 0..2_000 {
            finish(&format!("refused-{number}"), 404);
            finish(&format!("answered-{number}"), 200);
        }
        for _ in 0..5 {
            finish("used", 200);
        }
        for number in 0..1_100 {
            finish(&format!("known-{number}"), 503);
        }
        for number in 0..1_100 {
            finish(&format!("set-{number}"), 503);
        }
        finish("answered-0", 404);
        let text = metrics.render();
        for (prefix, expected) in
            [("refused", 0), ("answered", 101), ("used", 1), ("known", 899), ("set", 1_000)]
        {
            assert_eq!(labelled(&text, prefix), expected, "{prefix}");
        }
        let own = text.lines().find(|line| line.contains("model=\"used\",status"));
        assert_eq!(own.and_then(|line| value(line, "")), Some(3.0), "the first two are elsewhere");
        let total = |name: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
            lines.filter_map(|line| value(line, "")).sum()
        };
        let count = f64::from(2_000 + 2_000 + 5 + 1_100 + 1_100 + 1);
        assert_eq!(total("ringgate_requests_total"), count);
        assert_eq!(total("ringgate_tokens_total"), 5.0 * count);
        assert!((total("ringgate_cost_usd_total") - 12.5e-6 * count).abs() < 1e-9);
    }

    #[test]
    fn request_is_merged_into_other_once() {
        let metrics = registry(1);
        let recorder = Recorder::new(&metrics, 0, None);
        for number in 0..1_000 {
            finish(&recorder, event(&format!("model-{number}"), 200));
        }
        finish(&recorder, event("bad\nname", 200));
        assert_eq!(metrics.counter_total(Counter::LabelsFolded), 1);
    }

    #[test]
    fn labels_are_escaped() {
        for (text, expected) in
            [("plain", "plain"), ("a\"b", "a\\\"b"), ("a\\b", "a\\\\b"), ("a\nb", "a\\nb")]
        {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn statuses_over_limit_are_counted_as_other() {
        let metrics = registry(1);
        let recorder = Recorder::new(&metrics, 0, None);
        for status in 200..220 {
            finish(&recorder, event("m", status));
        }
        let text = metrics.render();
        let requests: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with("ringgate_requests_total{"))
            .map(|line| value(line, "").expect("a number"))
            .collect();
        assert_eq!(requests.len(), 13);
        assert_eq!(requests.iter().sum::<f64>(), 20.0);
        let other = text.lines().find(|line| line.contains("status=\"other\""));
        assert_eq!(other.and_then(|line| value(line, "")), Some(8.0));
    }

    #[test]
    fn scrape_does_not_block_shards() {
        let metrics = registry(1);
        let recorder = Recorder::new(&metrics, 0, None);
        let reading = metrics.all_series.lock().expect("no one has panicked");
        let (sender, finished) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            finish(&recorder, event("new", 500));
            sender.send(())
        });
        let waited = finished.recv_timeout(Duration::from_secs(10));
        drop(reading);
        assert_eq!(waited, Ok(()));
        assert!(metrics.render().contains("model=\"new\",status=\"500\"} 1"));
    }

    #[test]
    fn each_reload_increments_the_generation() {
        let metrics = registry(1);
        assert_eq!(value(&metrics.render(), "ringgate_settings_generation "), Some(1.0));
        metrics.count(Counter::SettingsReloads);
        metrics.count(Counter::SettingsReloadErrors);
        assert_eq!(value(&metrics.render(), "ringgate_settings_generation "), Some(2.0));
    }

    #[test]
    fn dropped_events_are_counted() {
        let metrics = registry(1);
        // The queue of a dispatcher that does not read.
        let (sender, _receiver) = event_queue(2 * event("m", 200).size());
        let recorder = Recorder::new(&metrics, 0, Some(sender));
        for _ in 0..5 {
            finish(&recorder, event("m", 200));
        }
        let text = metrics.render();
        assert!(text.contains("\nringgate_events_dropped_total{exporter=\"all\"} 3\n"), "{text}");
    }

    #[test]
    fn queued_client_text_is_truncated() {
        let metrics = registry(1);
        let (sender, mut receiver) = event_queue(1_024);
        let recorder = Recorder::new(&metrics, 0, Some(sender));
        let long =
            RequestEvent { trace_id: Some("t".repeat(999)), ..event(&"ä".repeat(100_000), 200) };
        finish(&recorder, long);
        let mut batch = Vec::new();
        receiver.take(&mut batch);
        for text in [&batch[0].request_model, &batch[0].trace_id] {
            let text = text.as_ref().expect("still there");
            assert_eq!(text.len(), 256);
            assert!(text.capacity() <= 256, "{}", text.capacity());
        }
        assert_eq!(metrics.counter_total(Counter::LabelsFolded), 1);
    }
}
