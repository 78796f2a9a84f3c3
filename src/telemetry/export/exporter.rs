//! What all exporters have in common: their trait, the row that makes one, their settings.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::event::RequestEvent;
use super::super::metrics::Counter;

/// Which exporters run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSettings {
    /// Where the request log goes; none: there is none.
    pub request_log: Option<LogTarget>,
}

/// Where the lines of the request log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// A destination of events. It has a thread to itself, and may block it.
pub(super) trait Exporter: Send {
    /// Exports the events in their order; returns how many of them were lost.
    fn export(&mut self, batch: &[Arc<RequestEvent>]) -> usize;

    /// Opens its files again, as log rotation asks for.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A kind of exporter.
pub(super) struct ExporterSpec {
    /// Name of its thread, and its label in metrics.
    pub name: &'static str,
    /// The setting that turns it on.
    pub setting: &'static str,
    /// Counts the events that it loses.
    pub errors: Counter,
    /// Makes one, with the names of endpoints by their index; none: the settings turn it off.
    pub open: OpenExporter,
}

type OpenExporter =
    fn(&ExportSettings, &'static [&'static str]) -> io::Result<Option<Box<dyn Exporter>>>;
