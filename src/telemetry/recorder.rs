//! A shard's end of the metrics: counts an event into cells that only it writes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::hub::{ATTEMPT, ENDPOINTS, Hub, ShardCells};
use super::log::LogSender;
use super::series::{ErrorSeries, Series};
use super::{Counter, Event, Gauge, Outcome};

/// Series of one shard, at most; what comes beyond is counted under the model `other`.
const SERIES_MAX: usize = 1_000;

/// Longest model name that becomes a label.
const MODEL_BYTES_MAX: usize = 128;

/// Longest client text that waits in a ring: a body may be one long model name, and a ring holds
/// thousands of events.
const TEXT_BYTES_MAX: usize = 256;

const OTHER: &str = "other";

/// Counts for one shard.
pub struct Recorder {
    hub: Arc<Hub>,
    cells: Arc<ShardCells>,
    log: Option<RefCell<LogSender>>,
    series: RefCell<SeriesMap>,
}

#[derive(Default)]
struct SeriesMap {
    hashing: RandomState,
    by_hash: HashMap<u64, Vec<Arc<Series>>>,
    count: usize,
    errors: Vec<Arc<ErrorSeries>>,
}

impl Recorder {
    pub(super) fn new(hub: Arc<Hub>, cells: Arc<ShardCells>, log: Option<LogSender>) -> Self {
        Self { hub, cells, log: log.map(RefCell::new), series: RefCell::default() }
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

    /// Counts a finished exchange and hands it to the request log.
    pub fn finish(&self, mut event: Event) {
        let endpoint = ENDPOINTS.iter().position(|name| *name == event.endpoint).unwrap_or(0);
        if let Some(histograms) = self.cells.endpoints.get(endpoint) {
            histograms.duration.record(event.latency);
            if let Some(first_byte) = event.first_byte {
                histograms.first_byte.record(first_byte);
            }
        }
        self.cells.overhead.record(event.latency.saturating_sub(event.upstream));
        self.series(&event).count(event.status, event.usage, event.cost);
        for tried in &event.tried {
            let (provider, model) = (tried.provider.as_deref(), tried.model.as_deref());
            let series = self.series_of(ATTEMPT, event.key.as_deref(), provider, model);
            series.count(tried.status, tried.usage, tried.cost);
        }
        if event.outcome != Outcome::Success {
            self.error(event.outcome.name(), event.code.unwrap_or("provider"));
        }
        if let Some(log) = &self.log {
            [&mut event.model, &mut event.trace_id].into_iter().flatten().for_each(cut);
            event.tried.iter_mut().filter_map(|it| it.model.as_mut()).for_each(cut);
            if !log.borrow_mut().send(event) {
                self.count(Counter::EventsDropped);
            }
        }
    }

    fn series(&self, event: &Event) -> Arc<Series> {
        let (key, provider) = (event.key.as_deref(), event.provider.as_deref());
        self.series_of(event.endpoint, key, provider, event.model.as_deref())
    }

    fn series_of(
        &self,
        endpoint: &'static str,
        key: Option<&str>,
        provider: Option<&str>,
        model: Option<&str>,
    ) -> Arc<Series> {
        let key = key.unwrap_or_default();
        let provider = provider.unwrap_or_default();
        let mut model = model.unwrap_or_default();
        let printable = model.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if model.len() > MODEL_BYTES_MAX || !printable {
            self.count(Counter::LabelsFolded);
            model = OTHER;
        }
        let mut map = self.series.borrow_mut();
        if let Some(known) = map.find(endpoint, key, provider, model) {
            return known;
        }
        if map.count >= SERIES_MAX && model != OTHER {
            self.count(Counter::LabelsFolded);
            model = OTHER;
            if let Some(known) = map.find(endpoint, key, provider, model) {
                return known;
            }
        }
        let series = Arc::new(Series::new(endpoint, key, provider, model));
        map.insert(&series);
        self.hub.adopt(Arc::clone(&series));
        series
    }

    fn error(&self, side: &'static str, code: &'static str) {
        let mut map = self.series.borrow_mut();
        // Sides and codes are the gateway's own words: a few dozen at most.
        let known = map.errors.iter().find(|it| it.side == side && it.code == code);
        let series = match known {
            Some(known) => Arc::clone(known),
            None => {
                let series = Arc::new(ErrorSeries { side, code, ..ErrorSeries::default() });
                map.errors.push(Arc::clone(&series));
                self.hub.adopt_error(Arc::clone(&series));
                series
            }
        };
        series.count.add(1);
    }
}

/// Holds a text to [`TEXT_BYTES_MAX`] and gives the rest of its memory back.
fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.shrink_to_fit();
    }
}

impl SeriesMap {
    fn hash(&self, endpoint: &str, key: &str, provider: &str, model: &str) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        for label in [endpoint, key, provider, model] {
            hasher.write(label.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }

    fn find(&self, endpoint: &str, key: &str, provider: &str, model: &str) -> Option<Arc<Series>> {
        let bucket = self.by_hash.get(&self.hash(endpoint, key, provider, model))?;
        bucket.iter().find(|it| it.is(endpoint, key, provider, model)).map(Arc::clone)
    }

    fn insert(&mut self, series: &Arc<Series>) {
        let hash = self.hash(series.endpoint, &series.key, &series.provider, &series.model);
        self.by_hash.entry(hash).or_default().push(Arc::clone(series));
        self.count += 1;
    }
}
