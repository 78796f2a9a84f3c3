//! Where events go when they leave the process: one file and one row for each kind of exporter.

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

/// Events cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An exporter is not ready.
    #[error("cannot open {setting}: {source}")]
    Open {
        /// The setting that turns it on.
        setting: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a thread that exports events: {0}")]
    Thread(#[source] io::Error),
}

/// Starts the exporters that the settings turn on; one sender for each shard. Where there is none,
/// there are no senders.
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
