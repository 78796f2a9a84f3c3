//! The settings: one file, read once, validated as a whole, then immutable.
//!
//! Only this part reads the environment. All diagnostics are reported at once, each with its path
//! and a hint, and never with a secret. The type and rules of a section live beside the code that
//! it configures; `[server]`, `[admin]`, `[egress]`, `[log]` and checks across sections are here.

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

/// All settings, validated; shared by all shards and never changed.
#[derive(Debug)]
pub struct Settings {
    /// The gateway itself.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// Connections other than to providers.
    pub egress: Egress,
    /// The request log.
    pub log: RequestLog,
    /// In the order of the file; never empty.
    pub providers: Vec<Arc<Provider>>,
    /// Known models and their prices, with the operator's corrections.
    pub catalog: Catalog,
    /// Cache limits.
    pub cache: CacheLimits,
    /// Settings of the semantic cache.
    pub semantic_cache: SemanticLimits,
    /// Virtual keys.
    pub keys: KeyRing,
    /// Routes by name; their providers exist.
    pub routes: HashMap<String, Arc<Route>>,
    by_name: HashMap<String, Arc<Provider>>,
}

impl Settings {
    /// The provider of that name, without `@`.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.by_name.get(name)
    }
}
