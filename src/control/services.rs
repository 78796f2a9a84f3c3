//! The handles that all shards and the admin listener share.

use std::io;
use std::sync::Arc;

use crate::base::{Instant, log_message, random_secret, unix_now};
use crate::cache::{Cache, CacheLimits, CacheWriter, Flights, ResponseStore, Semantic};
use crate::config::Settings;
use crate::routing::{CacheRule, Route, TargetRegistry};
use crate::telemetry::MetricsRegistry;

/// One handle for each thing that is shared; a clone refers to the same things.
#[derive(Clone)]
pub struct Services {
    /// All metrics.
    pub metrics: Arc<MetricsRegistry>,
    /// The cache.
    pub cache: Cache,
    /// Its semantic tier; none where there are no threads for it.
    pub semantic: Option<Semantic>,
    /// Identical requests in flight.
    pub flights: Flights,
    /// Responses that clients refer to by id.
    pub responses: ResponseStore,
    /// What is known of the targets of routes.
    pub targets: TargetRegistry,
}

impl Services {
    /// Opens what the settings describe, on a machine with so many cores, and the thread behind the cache.
    ///
    /// # Errors
    /// When the system gives no randomness or no thread.
    pub fn open(
        settings: &Settings,
        metrics: Arc<MetricsRegistry>,
        targets: TargetRegistry,
        cores: usize,
    ) -> io::Result<(Self, CacheWriter)> {
        let (cache, writer) = open_cache(&settings.cache)?;
        let semantic = semantic_tier(&cache, settings, cores);
        let services = Self { semantic: Some(semantic), ..Self::assemble(cache, metrics, targets) };
        services.apply(settings);
        Ok((services, writer))
    }

    /// Services without a thread or a file: a cache in memory, and no semantic tier.
    #[must_use]
    pub fn in_memory(
        settings: &Settings,
        metrics: Arc<MetricsRegistry>,
        targets: TargetRegistry,
    ) -> Self {
        Self::assemble(Cache::in_memory(&settings.cache, [0; 32]), metrics, targets)
    }

    /// Takes over new settings: the bound of the cache, and the model of the semantic tier, which is opened if a
    /// route needs it and it is not open.
    pub(super) fn apply(&self, settings: &Settings) {
        self.cache.limit(&settings.cache);
        let is_semantic =
            |route: &Arc<Route>| route.cache.as_ref().is_some_and(CacheRule::is_semantic);
        if settings.semantic_cache.enabled && settings.routes.iter().any(is_semantic) {
            self.semantic.iter().for_each(Semantic::start);
        }
    }

    fn assemble(cache: Cache, metrics: Arc<MetricsRegistry>, targets: TargetRegistry) -> Self {
        Self {
            metrics,
            cache,
            semantic: None,
            flights: Flights::default(),
            responses: ResponseStore::default(),
            targets,
        }
    }
}

/// Opens the cache. Where its folder cannot be used the cache is in memory only: a gateway that does
/// not start costs more than one that forgets.
fn open_cache(limits: &CacheLimits) -> io::Result<(Cache, CacheWriter)> {
    let secret = random_secret()
        .map_err(|error| explain("no randomness for the cache's secret", error.into()))?;
    if let Some(folder) = &limits.folder {
        match Cache::open(limits, folder, secret, unix_now()) {
            Ok(opened) => return Ok(opened),
            Err(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::WouldBlock => "another process uses it".to_owned(),
                    _ => error.to_string(),
                };
                let folder = folder.display();
                log_message(format_args!(
                    "warning: cache.dir {folder}: {reason}; stored answers will not survive a \
                     restart (set cache.dir = \"\" if that is meant)"
                ));
            }
        }
    }
    Cache::start(limits, secret).map_err(|error| explain("no thread for the cache", error))
}

/// The error with what failed by it in front.
fn explain(failure: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{failure}: {error}"))
}

/// The semantic tier, whose model is not open yet.
fn semantic_tier(cache: &Cache, settings: &Settings, cores: usize) -> Semantic {
    let limits = &settings.semantic_cache;
    // A millisecond for each text: a quarter of the machine embeds what comes in on the rest of it.
    let threads = if limits.threads == 0 { (cores / 4).max(1) } else { limits.threads };
    Semantic::new(cache.clone(), limits, threads, Instant::now)
}
