//! What the parts of one process share, and what an operator does with it.
//!
//! [`Services`] holds the handles that shards, the admin listener and the control thread have in common,
//! [`PreparedSettings`] the settings as they are published to shards, [`Background`] what runs behind them. The
//! methods of [`Process`] and [`Services`] are the use cases: signals call them, and the admin API keeps only its
//! protocol. Nothing here waits for a request.

mod background;
mod command;
mod listing;
mod peer;
mod prepared;
mod process;
mod services;
mod statistics;

pub use background::{Background, BackgroundPart};
pub use command::ShardCommand;
pub(crate) use listing::{ListedModel, Listing};
pub(crate) use peer::{peer, provider_tls};
pub use prepared::{PrepareError, PreparedSettings, prepare_settings};
pub use process::{LoadSettings, Process, ProcessParts, ReloadError};
pub use services::Services;
pub use statistics::CacheStatistics;
