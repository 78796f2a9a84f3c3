//! The data plane: the request pipeline and everything that one request meets.
//!
//! `pipeline` shows the stages in order. A folder holds what one stage or one concern takes; each imports
//! only what stands below it here, which `tests/tidy.rs` checks:
//!
//! | place | holds |
//! | --- | --- |
//! | `serve/` | one shard at work: accept, connections, drain; the simulation |
//! | `pipeline.rs` | the stages of a request, in order |
//! | `responses_socket.rs`, `realtime/` | requests over WebSockets; sessions relayed to a provider |
//! | `receive.rs` `admit.rs` `render.rs` `screen.rs` `route.rs` | the first stages |
//! | `respond/` | the response goes to the client: whole, as a stream, translated |
//! | `execute/` | attempts: one target or a plan of several; mirrors; health checks |
//! | `settle.rs` | usage, cost, and the event of a request that has ended |
//! | `local/` | what the gateway answers itself |
//! | `cache/` | lookup, write and replay of stored responses, streams that requests share |
//! | `upstream/` | calls to providers: resolve, edit, translate, encode, sign, call |
//! | `downstream/` | the way back to the client: head, events, disconnects |
//! | `context/` | what stages share: the exchange, its request and record, endpoints, errors |
//! | `worker/` | what one shard owns: settings with their pools, counters |
//!
//! What a client's departure does: one read on its connection is always in flight. When that read
//! ends while we wait for the provider, the wait is dropped, the provider's connection is closed
//! (never pooled), `settle` runs with what has been seen so far, usage estimated and flagged.
//! After the first byte of a response has gone to the client there is no repetition of any kind; before, a
//! route may retry or fail over. Attempts never touch the client, so that several may be under way.
//!
//! Only `context/error.rs` knows which status an error becomes. Absent: any wait of one shard for another.
//! What shards share is the cache and what is known of targets.

mod admit;
mod cache;
mod context;
mod downstream;
mod execute;
mod local;
mod pipeline;
mod realtime;
mod receive;
mod render;
mod respond;
mod responses_socket;
mod route;
mod screen;
mod serve;
mod settle;
mod upstream;
mod worker;

pub use context::ENDPOINT_NAMES;
pub use serve::shard::run_shard;
pub use serve::simulation::Simulation;
pub use worker::{SettingsReceiver, Worker, WorkerOptions};
