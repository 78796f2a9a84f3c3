//! Settings with everything done that can fail or takes time, on the control thread.
//!
//! What is derived from a section is made once for all shards, and kept until that section changes.

use std::sync::Arc;

use foldhash::HashMap;

use super::listing::Listing;
use super::peer::provider_tls;
use crate::config::{Section, Server, Settings};
use crate::keys::KeySet;
use crate::providers::{Origin, ProviderSet};
use crate::routing::{ActiveRoute, RouteSet, TargetRegistry};
use crate::shard::{Roots, TlsAcceptor, TlsError, root_certificates, server_tls};

/// Settings as they are published to the shards, which take them over without work for each provider, key
/// or route. A clone shares everything.
#[derive(Clone)]
pub struct PreparedSettings {
    settings: Settings,
    roots: Roots,
    /// Made from the section `server`.
    server_tls: Option<TlsAcceptor>,
    /// Made from the section `providers`.
    listing: Arc<Listing>,
    /// Made from the section `routes`.
    routes: Arc<ActiveRoutes>,
    targets: TargetRegistry,
}

/// Routes with what is known of their targets.
type ActiveRoutes = HashMap<String, Arc<ActiveRoute>>;

/// The settings are well formed, but their TLS material is unusable.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The certificate or key of the listener.
    #[error("server.tls: {0}")]
    Server(#[source] TlsError),
    /// The material of one provider.
    #[error("providers.{name}: {source}")]
    Provider {
        /// The provider's name.
        name: String,
        /// What is wrong.
        source: TlsError,
    },
    /// Providers use TLS, and the system has no root certificate to check them with.
    #[error(
        "no root certificates found on this system; install the package ca-certificates or set \
         tls_ca_file"
    )]
    NoRoots,
}

/// Prepares settings for the shards, with what `targets` knows of the targets of routes. Reads the system's
/// root certificates: not for a shard.
///
/// # Errors
/// See [`PrepareError`].
pub fn prepare_settings(
    settings: Settings,
    targets: &TargetRegistry,
) -> Result<PreparedSettings, PrepareError> {
    let (roots, _) = root_certificates();
    check_providers(&settings.providers, &roots)?;
    Ok(PreparedSettings {
        server_tls: acceptor(&settings.server)?,
        listing: Arc::new(Listing::of(&settings.providers)),
        routes: active_routes(&settings.routes, targets),
        targets: targets.clone(),
        roots,
        settings,
    })
}

impl PreparedSettings {
    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What all shards know of the targets of routes.
    #[must_use]
    pub fn targets(&self) -> &TargetRegistry {
        &self.targets
    }

    /// Prepares the settings that come after these. Sections with equal values are kept, with all that is
    /// made from them. Compares all keys and reads the system's root certificates: not for a shard.
    ///
    /// # Errors
    /// See [`PrepareError`]; these settings can stay in force.
    pub fn updated(&self, mut settings: Settings) -> Result<Self, PrepareError> {
        settings.keep_unchanged(&self.settings);
        let mut next = self.clone();
        let (roots, _) = root_certificates();
        if roots != self.roots {
            next.roots = roots;
        }
        if !settings.server.is_same(&self.settings.server) {
            next.server_tls = acceptor(&settings.server)?;
        }
        if !settings.providers.is_same(&self.settings.providers) {
            check_providers(&settings.providers, &next.roots)?;
            next.listing = Arc::new(Listing::of(&settings.providers));
        }
        if !settings.routes.is_same(&self.settings.routes) {
            next.routes = active_routes(&settings.routes, &self.targets);
        }
        next.settings = settings;
        Ok(next)
    }

    /// The same settings with other keys. Takes no time for the other sections.
    #[must_use]
    pub fn with_keys(&self, keys: KeySet) -> Self {
        let mut next = self.clone();
        next.settings.keys = Section::new(keys);
        next
    }

    /// The same settings, with what `targets` knows.
    pub(crate) fn with_targets(&self, targets: TargetRegistry) -> Self {
        Self { routes: active_routes(&self.settings.routes, &targets), targets, ..self.clone() }
    }

    /// TLS towards clients; none where they use plain HTTP.
    pub(crate) fn server_tls(&self) -> Option<&TlsAcceptor> {
        self.server_tls.as_ref()
    }

    /// The system's root certificates.
    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    /// What `GET /v1/models` shows.
    pub(crate) fn listing(&self) -> &Listing {
        &self.listing
    }

    /// The route of that name.
    pub(crate) fn route(&self, name: &str) -> Option<&Arc<ActiveRoute>> {
        self.routes.get(name)
    }
}

fn acceptor(server: &Server) -> Result<Option<TlsAcceptor>, PrepareError> {
    let tls = server.tls.as_ref();
    tls.map(|files| server_tls(&files.cert_pem, files.key_pem.reveal()))
        .transpose()
        .map_err(PrepareError::Server)
}

fn check_providers(providers: &ProviderSet, roots: &Roots) -> Result<(), PrepareError> {
    for provider in providers {
        let Origin::Http(base) = &provider.origin else { continue };
        if base.tls && roots.is_empty() && provider.tls.ca_pem.is_none() {
            return Err(PrepareError::NoRoots);
        }
        provider_tls(provider, base, roots)
            .map_err(|source| PrepareError::Provider { name: provider.name.clone(), source })?;
    }
    Ok(())
}

fn active_routes(routes: &RouteSet, targets: &TargetRegistry) -> Arc<ActiveRoutes> {
    let active = routes.iter().map(|route| (route.name.clone(), Arc::new(targets.activate(route))));
    Arc::new(active.collect())
}
