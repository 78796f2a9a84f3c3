//! What the parts of one process share, and what an operator does with it.
//!
//! [`Services`] holds the handles that shards, the admin listener and the control thread have in common. Its
//! methods are the use cases; the admin API keeps only its protocol. Nothing here waits.

mod services;
mod statistics;

pub use services::Services;
pub use statistics::CacheStatistics;
