//! The cache of answers: the same request, or a question of the same meaning, is answered again
//! without its provider.
//!
//! Promises: an answer never crosses a field of its [`Key`], among them the tenant; nothing fuzzy
//! crosses its partition; only what the caller has found whole and successful is in here; memory stays
//! under a bound. One cache serves all shards: a look-up takes a lock of one of many segments for some
//! tens of nanoseconds and never waits for I/O. A thread keeps the stored questions in their index, and
//! with a folder the entries on disk. The caller passes the time. Absent: the network, the settings of
//! routes, and what an answer means.

mod agreement;
pub mod comparison;
mod entry;
mod error_controller;
mod exact;
mod flights;
pub mod guards;
pub mod index;
mod jobs;
mod journal;
mod key;
mod normal;
mod owner_quotas;
pub mod profile;
mod purge;
mod question;
mod questions;
mod response_store;
mod segment;
mod semantic;
mod served;
mod settings;
mod shadow;
mod standalone;
mod template;
mod time_bound;
pub mod verifier;
mod writer;

pub use entry::{Entry, EntryLabels};
pub use error_controller::{ErrorController, ErrorLimit, ErrorStats, SampledCheck, Verdict};
pub use exact::{Cache, CacheStats};
pub use flights::{AnswerOrigin, Flights, Follower, Leader, SharedChunk};
pub use key::{Key, KeyBuilder};
pub use normal::normalize;
pub use profile::is_foreign;
pub use purge::Purge;
pub use question::{Question, Vector};
pub use questions::Neighbor;
pub use response_store::{ResponseStore, StoredResponse};
pub use semantic::{ComparisonReport, Semantic, SemanticMatch, SemanticQuery};
pub use served::Served;
pub use settings::{CacheLimits, CacheSettings, SemanticLimits, SemanticMode, SemanticSettings};
pub use shadow::{Observation, ReportPrices, ShadowOutcome, read_observations, shadow_report};
pub use standalone::stands_alone;
pub use time_bound::is_time_bound;
pub use verifier::{Decision, MatchPolicy};
pub use writer::CacheWriter;
