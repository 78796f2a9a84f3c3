//! The trait of exporters, the row that creates one, and their settings.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::event::RequestEvent;
use super::super::metrics::Counter;

/// Which exporters are enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSettings {
    /// Destination of the request log; `None`: disabled.
    pub request_log: Option<LogTarget>,
}

/// Destination of the request log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// A destination of events. It has a thread of its own and may block it.
pub(super) trait Exporter: Send {
    /// Exports events in order; returns how many were lost.
    fn export(&mut self, batch: &[Arc<RequestEvent>]) -> usize;

    /// Reopens its files, for log rotation.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A kind of exporter.
pub(super) struct ExporterSpec {
    /// Name of its thread, and label in metrics.
    pub name: &'static str,
    /// The setting that enables it.
    pub setting: &'static str,
    /// Counter of the events that it loses.
    pub errors: Counter,
    /// Creates one, with the endpoint names by index; `None` if the settings disable it.
    pub open: OpenExporter,
}

type OpenExporter =
    fn(&ExportSettings, &'static [&'static str]) -> io::Result<Option<Box<dyn Exporter>>>;
