//! What is reported of the work: one event per exchange, counted in metrics and handed to exporters,
//! of which the request log is one.
//!
//! Each shard counts into cells of its own, with plain loads and stores; the control thread adds
//! them up when it is asked. Labels are bounded, and so is the memory of events that wait. No body,
//! header or secret comes here. Absent: exporters that push, traces.

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
