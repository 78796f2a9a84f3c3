//! What is reported of the work: one event per exchange, counted in metrics, optionally written as
//! one line of JSON.
//!
//! Each shard counts into cells of its own, with plain loads and stores; the control thread adds
//! them up when it is asked. Labels are bounded. No body, header or secret comes here. Absent:
//! exporters that push, traces.

mod cells;
mod event;
mod export;
mod histogram;
mod messages;
mod metrics;
mod recorder;
mod registry;
mod series;

pub use event::{AttemptRecord, CacheStatus, Cost, ModelOrigin, RequestEvent, RequestOutcome};
pub use export::{LogError, LogSender, LogTarget, LogWriter, open_log};
pub use messages::start_message_writer;
pub use metrics::{Counter, Gauge};
pub use recorder::Recorder;
pub use registry::MetricsRegistry;
