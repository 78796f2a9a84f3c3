//! A shard's end of the metrics: counts events in cells that only it writes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::event::{ModelOrigin, RequestEvent, RequestOutcome};
use super::metrics::{Counter, Gauge};
use super::queue::EventSender;
use super::registry::{MetricsRegistry, ShardCells};
use super::series::{ErrorSeries, Series};

/// Series of one shard with models from the settings, at most. Events beyond any of these limits
/// are counted under the model `other`, whose series are bounded by keys, providers and endpoints.
const SETTINGS_SERIES_MAX: usize = 1_000;

/// Series of one shard with other models, at most.
const OTHER_SERIES_MAX: usize = 1_000;

/// Of these, series with models known only from requests that a provider served successfully, at
/// most.
const REQUEST_SERIES_MAX: usize = 500;

/// Number of these that begin with the first success. If a provider accepts any model name, clients
/// can invent any number, so the others begin with success number [`SUCCESSES_OF_USE`].
const REQUEST_SERIES_AT_ONCE: usize = 100;
const SUCCESSES_OF_USE: u8 = 3;

/// Labels whose successes are counted towards a series of their own, at most; beyond, the counts
/// are cleared.
const CANDIDATES_MAX: usize = 1_024;

/// Longest model name that becomes a label.
const MODEL_BYTES_MAX: usize = 128;

const OTHER: &str = "other";

/// Counts for one shard.
pub struct Recorder {
    metrics: Arc<MetricsRegistry>,
    cells: Arc<ShardCells>,
    /// `None`: no exporter is enabled.
    queue: Option<RefCell<EventSender>>,
    series: RefCell<SeriesMap>,
}

#[derive(Default)]
struct SeriesMap {
    hashing: RandomState,
    by_hash: HashMap<u64, Vec<Arc<Series>>>,
    /// Series with models from the settings.
    of_settings: usize,
    /// Series with other models.
    of_others: usize,
    /// Of these, series with models known only from requests.
    of_requests: usize,
    /// Successes by the hash of labels without a series.
    candidates: HashMap<u64, u8>,
    errors: Vec<Arc<ErrorSeries>>,
}

impl Recorder {
    /// The recorder of one shard, one per shard. Counts of a shard that `metrics` was not created
    /// for are not shown.
    #[must_use]
    pub fn new(metrics: &Arc<MetricsRegistry>, shard: usize, queue: Option<EventSender>) -> Self {
        let (metrics, cells) = (Arc::clone(metrics), metrics.shard_cells(shard));
        Self { metrics, cells, queue: queue.map(RefCell::new), series: RefCell::default() }
    }

    /// Adds to a gauge.
    pub fn add(&self, gauge: Gauge, delta: i64) {
        if let Some(cell) = self.cells.gauges.get(gauge as usize) {
            cell.add(delta.cast_unsigned());
        }
    }

    /// Adds one to a counter.
    pub fn count(&self, counter: Counter) {
        self.count_by(counter, 1);
    }

    /// Adds to a counter.
    pub fn count_by(&self, counter: Counter, step: u64) {
        if let Some(cell) = self.cells.counters.get(counter as usize) {
            cell.add(step);
        }
    }

    /// Counts a finished exchange and sends it to the exporters. `origin` returns where a
    /// provider's model is known from; it is called for labels without a series.
    pub fn finish(
        &self,
        mut event: RequestEvent,
        origin: impl Fn(Option<&str>, &str) -> ModelOrigin,
    ) {
        self.count_event(&event, origin);
        if let Some(queue) = &self.queue {
            event.truncate_texts();
            if !queue.borrow_mut().send(Arc::new(event)) {
                self.cells.events_dropped.add(1);
            }
        }
    }

    fn count_event(
        &self,
        event: &RequestEvent,
        origin: impl Fn(Option<&str>, &str) -> ModelOrigin,
    ) {
        if let Some(histograms) = self.cells.endpoints.get(usize::from(event.endpoint)) {
            histograms.duration.record(event.latency);
            if let Some(first_byte) = event.first_byte {
                histograms.first_byte.record(first_byte);
            }
        }
        self.cells.overhead.record(event.latency.saturating_sub(event.upstream));
        let key = event.key.as_deref();
        let (provider, model) = (event.provider_name.as_deref(), event.request_model.as_deref());
        let labels = SeriesLabels { endpoint: Some(event.endpoint), key, provider, model };
        let series = self.series_of(labels, event.response_status_code, &origin);
        series.count(event.response_status_code, event.usage.as_ref(), event.cost);
        for attempt in &event.attempts {
            let (provider, model) =
                (attempt.provider_name.as_deref(), attempt.request_model.as_deref());
            let labels = SeriesLabels { endpoint: None, key, provider, model };
            let series = self.series_of(labels, attempt.response_status_code, &origin);
            series.count(attempt.response_status_code, attempt.usage.as_deref(), attempt.cost);
        }
        if event.outcome != RequestOutcome::Success {
            self.error(event.outcome.name(), event.error_type.unwrap_or("provider"));
        }
    }

    fn series_of(
        &self,
        labels: SeriesLabels<'_>,
        status: u16,
        origin: impl Fn(Option<&str>, &str) -> ModelOrigin,
    ) -> Arc<Series> {
        let SeriesLabels { endpoint, key, provider, model } = labels;
        let (key, mut model) = (key.unwrap_or_default(), model.unwrap_or_default());
        let label = provider.unwrap_or_default();
        let printable = model.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if model.len() > MODEL_BYTES_MAX || !printable {
            self.count(Counter::LabelsFolded);
            model = OTHER;
        }
        let mut map = self.series.borrow_mut();
        if let Some(known) = map.find(endpoint, key, label, model) {
            return known;
        }
        let is_free = model.is_empty() || model == OTHER;
        let hash = map.hash(endpoint, key, label, model);
        if !is_free && !map.has_room(origin(provider, model), (hash, status)) {
            self.count(Counter::LabelsFolded);
            model = OTHER;
            if let Some(known) = map.find(endpoint, key, label, model) {
                return known;
            }
        }
        let series = Arc::new(Series::new(endpoint, key, label, model));
        map.insert(&series);
        self.metrics.register(Arc::clone(&series));
        series
    }

    fn error(&self, side: &'static str, code: &'static str) {
        let mut map = self.series.borrow_mut();
        // Outcomes and codes are the gateway's own: a few dozen at most.
        let known = map.errors.iter().find(|it| it.side == side && it.code == code);
        let series = match known {
            Some(known) => Arc::clone(known),
            None => {
                let series = Arc::new(ErrorSeries { side, code, ..ErrorSeries::default() });
                map.errors.push(Arc::clone(&series));
                self.metrics.register_errors(Arc::clone(&series));
                series
            }
        };
        series.count.add(1);
    }
}

/// Key of a series.
struct SeriesLabels<'e> {
    /// `None` for an attempt.
    endpoint: Option<u8>,
    key: Option<&'e str>,
    provider: Option<&'e str>,
    model: Option<&'e str>,
}

impl SeriesMap {
    /// Reserves room for one more series of a model of that origin; false if there is none.
    fn has_room(&mut self, origin: ModelOrigin, (hash, status): (u64, u16)) -> bool {
        if origin == ModelOrigin::Settings {
            let has_room = self.of_settings < SETTINGS_SERIES_MAX;
            self.of_settings += usize::from(has_room);
            return has_room;
        }
        let is_of_request = origin == ModelOrigin::Request;
        if self.of_others >= OTHER_SERIES_MAX || is_of_request && !self.is_in_use(hash, status) {
            return false;
        }
        self.of_others += 1;
        self.of_requests += usize::from(is_of_request);
        true
    }

    /// Counts a success of a model known only from requests; true if it may have a series now.
    fn is_in_use(&mut self, hash: u64, status: u16) -> bool {
        if !(200..300).contains(&status) || self.of_requests >= REQUEST_SERIES_MAX {
            return false;
        }
        if self.of_requests < REQUEST_SERIES_AT_ONCE {
            return true;
        }
        if self.candidates.len() >= CANDIDATES_MAX && !self.candidates.contains_key(&hash) {
            self.candidates.clear();
        }
        let successes = self.candidates.entry(hash).or_default();
        *successes += 1;
        let is_in_use = *successes >= SUCCESSES_OF_USE;
        if is_in_use {
            self.candidates.remove(&hash);
        }
        is_in_use
    }

    fn hash(&self, endpoint: Option<u8>, key: &str, provider: &str, model: &str) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        // The last index belongs to no endpoint.
        hasher.write_u8(endpoint.unwrap_or(u8::MAX));
        for label in [key, provider, model] {
            hasher.write(label.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }

    fn find(
        &self,
        endpoint: Option<u8>,
        key: &str,
        provider: &str,
        model: &str,
    ) -> Option<Arc<Series>> {
        let bucket = self.by_hash.get(&self.hash(endpoint, key, provider, model))?;
        bucket.iter().find(|it| it.is(endpoint, key, provider, model)).map(Arc::clone)
    }

    fn insert(&mut self, series: &Arc<Series>) {
        let hash = self.hash(series.endpoint, &series.key, &series.provider, &series.model);
        self.by_hash.entry(hash).or_default().push(Arc::clone(series));
    }
}
