//! All targets of this gateway with their state: one table for all shards.
//!
//! Targets of routes in the settings stay in it for the lifetime of the process, so that a reload
//! keeps their state. Configs of request headers are kept by their hash, bounded, and parsed once.
//! A target is identified by its origin, provider, model, credential and breaker settings: two
//! routes that call the same model at the same provider share its state.

use std::sync::Arc;

use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::health::{Ejection, Health, HealthReport};
use super::inline::RouteError;
use super::route::Route;
use super::target::Target;
use crate::base::{Instant, Secret};
use crate::shard::Distrust;

/// Providers whose connection trust is recorded, at most.
const DISTRUST_MAX: usize = 4_096;

/// Memory for configs of request headers, in bytes, including the state of their targets. The least
/// used ones are evicted, and parsed again when needed.
const INLINE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Cached configs of request headers, at most.
const INLINE_MAX: usize = 1_024;

/// Memory for the state of targets of request headers, in bytes: four targets per config.
const KNOWN_BYTES_MAX: usize = 4 * INLINE_MAX * KNOWN_BYTES;

/// Memory of one such target, without its names.
const KNOWN_BYTES: usize = size_of::<Health>() + size_of::<Identity>() + 64;

/// A route with the state of its targets.
#[derive(Debug)]
pub struct ActiveRoute {
    route: Arc<Route>,
    /// By target; `None` if the request names the provider.
    health: Vec<Option<Arc<Health>>>,
}

impl ActiveRoute {
    /// The route.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// State of each target, in order.
    pub(super) fn all_health(&self) -> &[Option<Arc<Health>>] {
        &self.health
    }

    /// State of a target by its index; `None` if the request names the provider.
    #[must_use]
    pub fn health(&self, target: usize) -> Option<&Arc<Health>> {
        self.health.get(target)?.as_ref()
    }
}

/// Identity of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    /// The settings; or a hash of a request header's config and of its sender.
    config: Option<[u8; 32]>,
    provider: String,
    model: Option<Arc<str>>,
    /// A hash of its own credential and base URL, and of its breaker settings.
    own: [u8; 32],
}

#[derive(Clone, Debug)]
struct IdentityWeighter;

impl Weighter<Identity, Arc<Health>> for IdentityWeighter {
    fn weight(&self, identity: &Identity, _: &Arc<Health>) -> u64 {
        // Entries of weight zero are never evicted.
        if identity.config.is_none() {
            return 0;
        }
        let model = identity.model.as_ref().map_or(0, |model| model.len());
        (KNOWN_BYTES + identity.provider.len() + model) as u64
    }
}

/// A config of a request header, with its size in memory.
#[derive(Clone, Debug)]
struct InlineRoute {
    active: Arc<ActiveRoute>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct InlineWeighter;

impl Weighter<[u8; 32], InlineRoute> for InlineWeighter {
    fn weight(&self, _: &[u8; 32], inline: &InlineRoute) -> u64 {
        // Small ones are bounded by their number.
        inline.bytes.max(INLINE_BYTES_MAX / INLINE_MAX) as u64
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct TargetRegistry {
    epoch: Instant,
    known: Arc<Cache<Identity, Arc<Health>, IdentityWeighter>>,
    inline: Arc<Cache<[u8; 32], InlineRoute, InlineWeighter>>,
    distrust: Arc<Cache<String, Arc<Distrust>>>,
}

/// A target as the admin API shows it.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// The provider.
    pub provider: String,
    /// The model; `None`: requests name it.
    pub model: Option<String>,
    /// True if it comes from a request header.
    pub is_inline: bool,
    /// Its state.
    pub health: HealthReport,
}

impl TargetRegistry {
    /// An empty table, whose time starts at `epoch`.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        let known = Cache::with_weighter(4 * INLINE_MAX, KNOWN_BYTES_MAX as u64, IdentityWeighter);
        let inline = Cache::with_weighter(INLINE_MAX, INLINE_BYTES_MAX as u64, InlineWeighter);
        let distrust = Arc::new(Cache::new(DISTRUST_MAX));
        Self { epoch, known: Arc::new(known), inline: Arc::new(inline), distrust }
    }

    /// The connection trust of the named provider at `authority`, shared by the pools of all
    /// shards.
    #[must_use]
    pub fn distrust(&self, provider: &str, authority: &str) -> Arc<Distrust> {
        let key = format!("{provider} {authority}");
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(distrust) = self.distrust.get_or_insert_with(&key, fresh);
        distrust
    }

    /// A route of the settings.
    #[must_use]
    pub fn activate(&self, route: &Arc<Route>) -> ActiveRoute {
        self.activate_config(route, None)
    }

    /// A config of a request header, as `sender` sent it.
    ///
    /// # Errors
    /// If it is too long, not valid JSON, or uses an unsupported feature.
    pub fn inline(&self, json: &str, sender: &str) -> Result<Arc<ActiveRoute>, RouteError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(sender.as_bytes()).update(&[0]).update(json.as_bytes());
        let hash = *hasher.finalize().as_bytes();
        if let Some(known) = self.inline.get(&hash) {
            return Ok(known.active);
        }
        // Two shards may parse it at once; neither waits for the other.
        let route = Arc::new(Route::from_json(json)?);
        let active = Arc::new(self.activate_config(&route, Some(hash)));
        let bytes = route.bytes(json.len());
        self.inline.insert(hash, InlineRoute { active: Arc::clone(&active), bytes });
        Ok(active)
    }

    fn activate_config(&self, route: &Arc<Route>, config: Option<[u8; 32]>) -> ActiveRoute {
        let health = route.targets.iter().map(|target| self.health(target, config)).collect();
        ActiveRoute { route: Arc::clone(route), health }
    }

    fn health(&self, target: &Target, config: Option<[u8; 32]>) -> Option<Arc<Health>> {
        let mut own = blake3::Hasher::new();
        own.update(target.api_key.as_ref().map_or("", Secret::reveal).as_bytes()).update(&[0]);
        own.update(format!("{:?} {:?}", target.custom_host, target.breaker).as_bytes());
        let identity = Identity {
            config,
            provider: target.provider.clone()?,
            model: target.override_model.clone(),
            own: *own.finalize().as_bytes(),
        };
        let made = || {
            let health = Health::new(target.breaker.clone(), self.epoch);
            Ok::<_, std::convert::Infallible>(Arc::new(health))
        };
        let Ok(health) = self.known.get_or_insert_with(&identity, made);
        Some(health)
    }

    /// Records the result of a health check; a failing provider is ejected for `wait`.
    pub fn record_check(&self, provider: &str, is_well: bool, wait: Duration, now: Instant) {
        let its = self.known.iter().filter(|(identity, _)| identity.provider == provider);
        for (_, health) in its {
            if is_well {
                health.restore_after_check();
            } else {
                health.eject(Ejection::Check, wait, now);
            }
        }
    }

    /// All states, by provider and model.
    #[must_use]
    pub fn report(&self, now: Instant) -> Vec<TargetReport> {
        // States of targets that a reload removed are not shown.
        let is_used = |(_, health): &(Identity, Arc<Health>)| Arc::strong_count(health) > 2;
        let known = self.known.iter().filter(is_used).map(|(identity, health)| TargetReport {
            is_inline: identity.config.is_some(),
            provider: identity.provider,
            model: identity.model.map(|model| (*model).to_owned()),
            health: health.report(now),
        });
        let mut list: Vec<TargetReport> = known.collect();
        list.sort_by(|one, other| {
            (one.is_inline, &one.provider, &one.model).cmp(&(
                other.is_inline,
                &other.provider,
                &other.model,
            ))
        });
        list
    }
}
