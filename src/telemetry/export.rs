//! Event exporters: one file and one row for each kind.

mod dispatch;
mod exporter;
mod line;
#[cfg(test)]
mod reference;
mod request_log;

use std::io;
use std::sync::Arc;

pub use dispatch::Dispatcher;
pub use exporter::{ExportSettings, LogTarget};

use self::exporter::ExporterSpec;
use super::queue::EventSender;
use super::registry::MetricsRegistry;

/// All kinds of exporters.
const EXPORTERS: &[ExporterSpec] = &[request_log::REQUEST_LOG];

/// Why event export cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An exporter cannot start.
    #[error("cannot open {setting}: {source}")]
    Open {
        /// The setting that enables it.
        setting: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The system cannot create a thread.
    #[error("cannot start a thread that exports events: {0}")]
    Thread(#[source] io::Error),
}

/// Starts the enabled exporters; returns one sender per shard. Without exporters there are no
/// senders.
///
/// # Errors
/// See [`ExportError`].
pub fn start_exporters(
    settings: &ExportSettings,
    shards: usize,
    metrics: &Arc<MetricsRegistry>,
) -> Result<(Option<Dispatcher>, Vec<EventSender>), ExportError> {
    let mut exporters = Vec::new();
    for spec in EXPORTERS {
        let opened = (spec.open)(settings, metrics.endpoints())
            .map_err(|source| ExportError::Open { setting: spec.setting, source })?;
        exporters.extend(opened.map(|exporter| (spec, exporter)));
    }
    if exporters.is_empty() {
        return Ok((None, Vec::new()));
    }
    let started = Dispatcher::start(exporters, shards, metrics);
    let (dispatcher, senders) = started.map_err(ExportError::Thread)?;
    Ok((Some(dispatcher), senders))
}
