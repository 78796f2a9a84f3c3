//! Series by labels: cells found by the attributes of a request.

use std::sync::atomic::{AtomicU16, Ordering};

use super::cells::Cell64;
use super::event::Cost;
use crate::llm::Usage;

/// Statuses counted separately in one series; a provider may send any, so the rest are counted as
/// `other`.
const STATUSES_MAX: usize = 12;

/// The kinds of tokens, in the order of the cells.
pub(super) const TOKEN_KINDS: [&str; 10] = [
    "input",
    "output",
    "cached",
    "reasoning",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
];

/// The first so many are shown for each series, the others only if not zero.
pub(super) const USUAL_KINDS: usize = 4;

/// Counts of one endpoint, key, provider and model on one shard.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Index of the endpoint; `None`: the series counts attempts.
    pub endpoint: Option<u8>,
    pub key: String,
    pub provider: String,
    pub model: String,
    requests: [(AtomicU16, Cell64); STATUSES_MAX],
    pub other_statuses: Cell64,
    pub tokens: [Cell64; TOKEN_KINDS.len()],
    pub estimated: Cell64,
    /// In pico-dollars.
    pub cost: Cell64,
    pub cost_unknown: Cell64,
    /// Calls whose cost the vendor reported.
    pub cost_reported: Cell64,
}

impl Series {
    pub(super) fn new(endpoint: Option<u8>, key: &str, provider: &str, model: &str) -> Self {
        Self {
            endpoint,
            key: key.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            ..Self::default()
        }
    }

    /// Counts one request; only called by the one writer.
    pub(super) fn count(&self, status: u16, usage: Option<&Usage>, cost: Option<Cost>) {
        // Cells are used from the front; 0 means unused, so statuses are stored plus one.
        let mark = status.saturating_add(1);
        let cell = self.requests.iter().find(|(known, _)| {
            let known = known.load(Ordering::Relaxed);
            known == mark || known == 0
        });
        match cell {
            Some((known, count)) => {
                known.store(mark, Ordering::Relaxed);
                count.add(1);
            }
            None => self.other_statuses.add(1),
        }
        if let Some(usage) = usage {
            let counts = [
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                usage.reasoning_tokens,
                usage.cache_write_tokens,
                usage.cache_write_1h_tokens,
                usage.input_audio_tokens,
                usage.output_audio_tokens,
                usage.input_image_tokens,
                usage.output_image_tokens,
            ];
            for (cell, count) in self.tokens.iter().zip(counts) {
                cell.add(count);
            }
            self.estimated.add(u64::from(usage.estimated));
        }
        match cost {
            Some(Cost::Known(amount)) => self.cost.add(amount.get()),
            Some(Cost::Reported(amount)) => {
                self.cost.add(amount.get());
                self.cost_reported.add(1);
            }
            Some(Cost::Unknown) => self.cost_unknown.add(1),
            None => {}
        }
    }

    /// Statuses and their counts.
    pub(super) fn requests(&self) -> impl Iterator<Item = (u16, u64)> {
        let taken =
            self.requests.iter().map(|(mark, count)| (mark.load(Ordering::Relaxed), count.get()));
        taken.filter(|(mark, _)| *mark > 0).map(|(mark, count)| (mark - 1, count))
    }

    pub(super) fn is(&self, endpoint: Option<u8>, key: &str, provider: &str, model: &str) -> bool {
        self.endpoint == endpoint
            && self.key == key
            && self.provider == provider
            && self.model == model
    }
}

/// Counts of one exporter.
#[derive(Debug, Default)]
pub(super) struct ExporterSeries {
    pub name: &'static str,
    /// Events dropped because its queue was full.
    pub dropped: Cell64,
}

impl ExporterSeries {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }
}

/// Count of one kind of failure on one shard.
#[derive(Debug, Default)]
pub(super) struct ErrorSeries {
    pub side: &'static str,
    pub code: &'static str,
    pub count: Cell64,
}
