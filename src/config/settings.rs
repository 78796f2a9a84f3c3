//! The settings as the process uses them, all sections together.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::admin::Admin;
use super::egress::Egress;
use super::log::RequestLog;
use super::restart::RestartSettings;
use super::server::Server;
use crate::cache::{CacheLimits, SemanticLimits};
use crate::keys::KeySet;
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
    pub keys: KeySet,
    /// Routes by name; each names only providers that exist.
    pub routes: HashMap<String, Arc<Route>>,
    pub(super) by_name: HashMap<String, Arc<Provider>>,
    /// What only a restart changes.
    pub(super) restart: RestartSettings,
}

impl Settings {
    /// The provider of that name, without `@`.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.by_name.get(name)
    }

    /// The paths of all settings that differ from those of a process that runs with `running` and that only
    /// a restart changes.
    #[must_use]
    pub fn restart_required(&self, running: &Self) -> Vec<&str> {
        self.restart.changed(&running.restart)
    }

    /// Sets the addresses that the listeners are bound to, in place of those with a port 0.
    pub fn set_bound_addresses(&mut self, listen: SocketAddr, admin_listen: SocketAddr) {
        self.server.listen = listen;
        self.server.admin_listen = admin_listen;
        self.restart.set_address("server.listen", listen);
        self.restart.set_address("server.admin_listen", admin_listen);
    }
}
