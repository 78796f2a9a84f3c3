//! The integration tests: the real binary on real sockets of the loopback, against scripted
//! providers and the load generator's mock. One binary, so that all share one build.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::duplicate_mod,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking; two suites run on both drivers, with keys, the cache and TLS"
)]

mod harness;

mod access;
mod caching;
mod credentials;
mod disconnects;
mod embedded_errors;
mod embeddings_rerank;
mod endpoints;
mod failed_turns;
mod faults;
#[path = "faults.rs"]
mod faults_on_epoll_with_keys_over_tls;
#[path = "faults.rs"]
mod faults_with_keys_over_tls;
mod forms;
mod full_context;
mod google;
mod hostile;
mod hostile_configs;
#[path = "hostile.rs"]
mod hostile_on_epoll_with_keys_over_tls;
#[path = "hostile.rs"]
mod hostile_with_keys_over_tls;
mod keys;
mod lifecycle;
mod metering;
mod model_rules;
mod models;
mod native_clients;
mod near_questions;
mod pictures;
mod realtime;
mod redaction;
mod responses;
mod responses_socket;
mod routing;
mod routing_health;
mod routing_modes;
mod routing_requests;
mod routing_streams;
mod semantic_cache;
mod service_tiers;
mod simulate;
mod streams;
mod surplus;
mod tidy;
mod tls;
mod tls_front;
mod tool_calls;
mod translation;
