//! Observability: one event per exchange, counted in metrics and passed to exporters, such as the
//! request log.
//!
//! Each shard counts in cells of its own, with plain loads and stores; the control thread sums them
//! on request. Labels are bounded, and so is the memory of queued events. No body, header or secret
//! is recorded. Absent: exporters that push, traces.

mod cells;
mod event;
mod export;
mod histogram;
mod messages;
mod metrics;
mod queue;
mod recorder;
mod registry;
mod series;

pub use event::{AttemptRecord, CacheStatus, Cost, ModelOrigin, RequestEvent, RequestOutcome};
pub use export::{Dispatcher, ExportError, ExportSettings, LogTarget, start_exporters};
pub use messages::start_message_writer;
pub use metrics::{Counter, Gauge};
pub use queue::EventSender;
pub use recorder::Recorder;
pub use registry::MetricsRegistry;
