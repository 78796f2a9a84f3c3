//! The settings: the file that the user writes, read once, checked whole, then immutable.
//!
//! This part alone reads the environment. It reports every problem at once, each with its path
//! and a hint, and never a secret. Each section's own type and rules live beside the code that
//! the section steers; here are `[server]`, `[admin]`, `[egress]`, `[log]`, and what concerns several sections.

mod admin;
mod egress;
mod interpolate;
mod load;
mod log;
mod overrides;
#[cfg(test)]
mod reference;
mod sections;
mod server;

use std::collections::HashMap;
use std::sync::Arc;

pub use admin::Admin;
pub use egress::Egress;
pub use load::LoadError;
pub use log::RequestLog;
pub use overrides::Overrides;
pub use server::{Server, ServerTlsFiles};

use crate::cache::{CacheLimits, SemanticLimits};
use crate::keys::KeyRing;
use crate::llm::Catalog;
use crate::providers::Provider;
use crate::routing::Route;

/// All settings, checked; shared by all shards and never changed.
#[derive(Debug)]
pub struct Settings {
    /// The gateway itself.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// Where the gateway may go besides providers.
    pub egress: Egress,
    /// The line per request.
    pub log: RequestLog,
    /// In the order of the file; never empty.
    pub providers: Vec<Arc<Provider>>,
    /// What is known of models and their prices, with what the operator knows better.
    pub catalog: Catalog,
    /// Bounds of the cache.
    pub cache: CacheLimits,
    /// How the semantic cache works.
    pub semantic_cache: SemanticLimits,
    /// Virtual keys.
    pub keys: KeyRing,
    /// Routes by name; each names only providers that exist.
    pub routes: HashMap<String, Arc<Route>>,
    by_name: HashMap<String, Arc<Provider>>,
}

impl Settings {
    /// The provider of that name, given without `@`.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.by_name.get(name)
    }
}
