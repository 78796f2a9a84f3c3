//! What the pages and the admin API of one process show and change.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::base::Secret;
use crate::cache::{Cache, Semantic};
use crate::routing::TargetRegistry;
use crate::telemetry::MetricsRegistry;

/// Handles of what the pages show, shared by all requests.
#[derive(Clone)]
pub struct AdminState {
    /// All metrics.
    pub metrics: Arc<MetricsRegistry>,
    /// True while every shard listens and none drains.
    pub ready: Arc<AtomicBool>,
    /// The cache of all shards.
    pub cache: Cache,
    /// Its semantic tier.
    pub semantic: Semantic,
    /// What is known of the targets of routes.
    pub targets: TargetRegistry,
    /// What the admin API asks for, if anything.
    pub token: Option<Secret>,
    /// Names under which the admin API may be called besides addresses and `localhost`.
    pub hosts: Vec<String>,
}
