//! The data plane: the request pipeline and everything that one request meets.
//!
//! [`pipeline`] shows the stages in order; each stage is a function in the file of its name.
//!
//! What a client's departure does: one read on its connection is always in flight. When that read
//! ends while we wait for the provider, the wait is dropped, the provider's connection is closed
//! (never pooled), `settle` runs with what has been seen so far, usage estimated and flagged.
//! After the first byte of a response has gone to the client there is no repetition of any kind; before, a
//! route may retry or fail over. Attempts never touch the client, so that several may be under way.
//!
//! Only `error.rs` knows which status an error becomes. Absent: any wait of one shard for another.
//! What shards share is the cache and what is known of targets.

mod access;
mod admit;
mod attempt;
mod attempt_log;
mod attributes;
mod body;
mod cache_format;
mod cache_key;
mod cache_lookup;
mod call;
mod call_batched;
mod connection;
mod context;
mod count_tokens;
mod deliver;
mod deliver_stream;
mod deliver_translated;
mod encode;
mod endpoint;
mod error;
mod feedback;
mod fields;
mod form;
mod forward;
mod health_check;
mod images;
mod mirror;
mod model_fit;
mod model_info;
mod models;
mod params;
mod peek;
mod pipeline;
mod prepare;
mod realtime;
mod receive;
mod record;
mod redact;
mod render;
mod resolve;
mod responses_socket;
mod route;
mod screen;
mod semantic;
mod service_tiers;
mod settle;
mod shared_stream;
mod simulation;
mod stored_responses;
mod token;
mod translate;
mod upstream;
mod upstream_response;
mod vectors;
mod worker;

pub use simulation::Simulation;
pub use upstream::{PrepareError, PreparedSettings, prepare_settings};
pub use worker::{ShardCommand, Worker, WorkerOptions};
