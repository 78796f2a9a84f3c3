//! What an operator reads and purges: the cache, and the list of targets.

use std::collections::BTreeMap;

use super::Services;
use crate::base::{Instant, unix_now};
use crate::cache::{CacheStats, ErrorStats, Purge, Semantic};
use crate::inference::PoolCounts;
use crate::routing::TargetReport;

/// What is in the cache, and how its semantic tier does.
#[derive(serde::Serialize)]
pub struct CacheStatistics {
    #[serde(flatten)]
    cache: CacheStats,
    /// `on`, `starting` or `off`.
    semantic: &'static str,
    /// What its embedder threads have done.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedder: Option<PoolCounts>,
    /// How often answers by meaning are wrong, by route; of routes where somebody counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    risks: BTreeMap<String, ErrorStats>,
}

impl Services {
    /// What is in the cache.
    #[must_use]
    pub fn cache_statistics(&self) -> CacheStatistics {
        CacheStatistics {
            semantic: self.semantic.as_ref().map_or("off", Semantic::state),
            embedder: self.semantic.as_ref().and_then(Semantic::counts),
            risks: self.cache.error_controller().stats(),
            cache: self.cache.stats(),
        }
    }

    /// Drops the entries that meet the conditions, and returns how many those were.
    #[must_use]
    pub fn purge_cache(&self, conditions: &Purge) -> u64 {
        self.cache.purge(conditions, unix_now())
    }

    /// What is known of each target, those of the settings first.
    #[must_use]
    pub fn target_reports(&self) -> Vec<TargetReport> {
        self.targets.report(Instant::now())
    }
}
