//! What the parts of one process share, and what an operator does with it.
//!
//! [`Services`] holds the handles that shards, the admin listener and the control thread have in common. Its
//! methods are the use cases; the admin API keeps only its protocol. Nothing here waits.

mod command;
mod listing;
mod peer;
mod prepared;
mod services;
mod statistics;

pub use command::ShardCommand;
pub(crate) use listing::{ListedModel, Listing};
pub(crate) use peer::{peer, provider_tls};
pub use prepared::{PrepareError, PreparedSettings, prepare_settings};
pub use services::Services;
pub use statistics::CacheStatistics;
