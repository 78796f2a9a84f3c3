//! What the benchmarks run: the steps of the request pipeline one by one, and the pipeline as a whole.
//!
//! Both benchmarks take their work from here, so that their numbers are about the same. Nothing is
//! random: the same input in every run, on every machine.

mod pipeline;
mod sample;
mod step;

pub use pipeline::{Job, Pipeline, on_shard, publish_settings};
pub use sample::KEY_SECRET;
pub use step::{EventsStep, FinishStep, RequestHeadStep, ResponseHeadStep, ScanStep, SpliceStep};
