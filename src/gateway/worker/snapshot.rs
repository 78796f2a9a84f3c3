//! Settings as one shard uses them: providers with their pools and prepared heads.
//!
//! The control thread prepares and checks ([`prepare_settings`]); each shard then builds its [`Snapshot`],
//! keeping the pools of providers that have not changed. An exchange keeps the snapshot it began
//! with.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;

use super::listing::Listing;
use super::model_info::ModelInfoCache;
use super::redactor::Redactor;
use super::token_slot::TokenSlot;
use crate::config::Settings;
use crate::providers::{Auth, BaseUrl, Host, Origin, Preset, Provider, preset};
use crate::routing::{ActiveRoute, TargetRegistry};
use crate::shard::{
    HostName, Peer, Pool, PoolLimits, Roots, TlsAcceptor, TlsConnector, TlsError, client_tls,
    root_certificates, server_tls,
};

/// Providers that clients name and the settings do not, kept at most; there are fewer presets.
const AD_HOC_UPSTREAMS_MAX: usize = 256;

/// Settings with everything done that can fail or takes time: shards share it, and take over new ones
/// without work for each key or route.
#[derive(Clone)]
pub struct PreparedSettings {
    settings: Arc<Settings>,
    roots: Roots,
    server_tls: Option<TlsAcceptor>,
    /// Of each provider, all that its connections and its calls depend on.
    provider_prints: Vec<[u8; 32]>,
    providers_fingerprint: [u8; 32],
    /// The place of each provider, by its name.
    places: HashMap<String, usize>,
    targets: TargetRegistry,
    routes: HashMap<String, Arc<ActiveRoute>>,
    listing: Arc<Listing>,
    model_names: HashSet<String>,
}

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
/// See [`PrepareError`]; the settings in force stay in force.
pub fn prepare_settings(
    settings: Arc<Settings>,
    targets: &TargetRegistry,
) -> Result<PreparedSettings, PrepareError> {
    let (roots, _) = root_certificates();
    let tls = settings.server.tls.as_ref();
    let server_tls = tls
        .map(|files| server_tls(&files.cert_pem, files.key_pem.reveal()))
        .transpose()
        .map_err(PrepareError::Server)?;
    for provider in &settings.providers {
        let Origin::Http(base) = &provider.origin else { continue };
        if base.tls && roots.is_empty() && provider.tls.ca_pem.is_none() {
            return Err(PrepareError::NoRoots);
        }
        provider_tls(provider, base, &roots)
            .map_err(|source| PrepareError::Provider { name: provider.name.clone(), source })?;
    }
    let names = settings.providers.iter().enumerate();
    Ok(PreparedSettings {
        roots,
        server_tls,
        provider_prints: settings.providers.iter().map(|it| provider_print(it)).collect(),
        providers_fingerprint: fingerprint(&settings.providers),
        places: names.map(|(place, it)| (it.name.clone(), place)).collect(),
        routes: active_routes(&settings, targets),
        targets: targets.clone(),
        listing: Arc::new(Listing::of(&settings)),
        model_names: model_names(&settings),
        settings,
    })
}

/// The routes of the settings with what is known of their targets.
fn active_routes(
    settings: &Settings,
    targets: &TargetRegistry,
) -> HashMap<String, Arc<ActiveRoute>> {
    let routes = settings.routes.iter();
    routes.map(|(name, route)| (name.clone(), Arc::new(targets.activate(route)))).collect()
}

/// A hash over all that the connections to a provider and its calls depend on, credentials included.
fn provider_print(provider: &Provider) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    // Debug hides the values of all fields, and what the credential is made from.
    hasher.update(format!("{provider:?}").as_bytes());
    for field in &provider.fields {
        hasher.update(format!("\n{}: {}", field.name, field.value.reveal()).as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The models that the settings name: of providers, of routes and of keys.
fn model_names(settings: &Settings) -> HashSet<String> {
    let of_providers =
        settings.providers.iter().flat_map(|provider| provider.models.iter().cloned());
    let targets = settings.routes.values().flat_map(|route| &route.targets);
    let of_routes = targets
        .flat_map(|it| [&it.override_model, &it.default_model])
        .flatten()
        .map(ToString::to_string);
    let of_keys = settings.keys.iter().flat_map(|key| key.models.names().map(str::to_owned));
    of_providers.chain(of_routes).chain(of_keys.collect::<Vec<_>>()).collect()
}

/// A hash over who may answer and what each is sent besides the request. Credentials are left out: a
/// new one for the same account changes nothing.
fn fingerprint(providers: &[Arc<Provider>]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for provider in providers {
        // Debug hides the values of all fields.
        hasher.update(format!("{provider:?}\n").as_bytes());
        for field in provider.fields.iter().filter(|field| !field.is_credential()) {
            hasher.update(format!("{}: {}\n", field.name, field.value.reveal()).as_bytes());
        }
    }
    *hasher.finalize().as_bytes()
}

impl PreparedSettings {
    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// What all shards know of the targets of routes.
    #[must_use]
    pub fn targets(&self) -> &TargetRegistry {
        &self.targets
    }

    /// The same, with what `targets` knows.
    pub(crate) fn with_targets(&self, targets: TargetRegistry) -> Self {
        Self { routes: active_routes(&self.settings, &targets), targets, ..self.clone() }
    }
}

/// One provider as a shard calls it.
pub(crate) struct Upstream {
    pub provider: Arc<Provider>,
    pub name: Arc<str>,
    /// None for the built-in echo.
    pub pool: Option<Pool>,
    /// Of providers whose tokens are fetched.
    pub token: TokenSlot,
    /// Masks the credentials of its settings in what it sends back.
    pub redactor: Redactor,
}

/// The settings of one shard.
pub(crate) struct Snapshot {
    prepared: Arc<PreparedSettings>,
    pub settings: Arc<Settings>,
    pub server_tls: Option<TlsAcceptor>,
    /// In the order of the settings.
    pub upstreams: Vec<Rc<Upstream>>,
    /// What is known of the models that were requested.
    pub model_info: ModelInfoCache,
    /// What `GET /v1/models` shows.
    pub listing: Arc<Listing>,
    /// Providers that clients named by preset or custom host; of a host any path, so that their number
    /// is bounded here.
    ad_hoc_upstreams: RefCell<HashMap<String, Rc<Upstream>>>,
}

impl Snapshot {
    /// Builds the shard's view, keeping pools of `previous` where nothing about them changed.
    pub(crate) fn build(
        prepared: &Arc<PreparedSettings>,
        previous: Option<&Self>,
    ) -> Result<Self, PrepareError> {
        let settings = Arc::clone(&prepared.settings);
        let has_other_limits = |old: &&Self| pool_limits(&old.settings) != pool_limits(&settings);
        let previous = previous.filter(|old| !has_other_limits(old));
        let mut upstreams = Vec::with_capacity(settings.providers.len());
        for (provider, print) in settings.providers.iter().zip(&prepared.provider_prints) {
            let kept = previous.and_then(|old| old.upstream_with(&provider.name, print));
            let upstream = match kept {
                Some(kept) if kept.provider.credential == provider.credential => Rc::clone(kept),
                _ => {
                    let made = upstream(Arc::clone(provider), prepared);
                    Rc::new(made.map_err(|source| PrepareError::Provider {
                        name: provider.name.clone(),
                        source,
                    })?)
                }
            };
            upstreams.push(upstream);
        }
        Ok(Self {
            prepared: Arc::clone(prepared),
            server_tls: prepared.server_tls.clone(),
            upstreams,
            model_info: ModelInfoCache::default(),
            listing: Arc::clone(&prepared.listing),
            ad_hoc_upstreams: RefCell::default(),
            settings,
        })
    }

    /// The provider of that name, if its fingerprint is this one.
    fn upstream_with(&self, name: &str, print: &[u8; 32]) -> Option<&Rc<Upstream>> {
        let place = *self.prepared.places.get(name)?;
        let is_same = self.prepared.provider_prints.get(place) == Some(print);
        self.upstreams.get(place).filter(|_| is_same)
    }

    /// True if these are the settings of `published`.
    pub(crate) fn is_of(&self, prepared: &Arc<PreparedSettings>) -> bool {
        Arc::ptr_eq(&self.prepared, prepared)
    }

    /// A hash over all configured providers: with others, stored answers mean nothing.
    pub(crate) fn providers_fingerprint(&self) -> &[u8; 32] {
        &self.prepared.providers_fingerprint
    }

    /// True if the settings name that model.
    pub(crate) fn names_model(&self, model: &str) -> bool {
        self.prepared.model_names.contains(model)
    }

    /// The system's root certificates.
    pub(crate) fn roots(&self) -> &Roots {
        &self.prepared.roots
    }

    /// The configured provider of that name.
    pub(crate) fn upstream(&self, name: &str) -> Option<&Rc<Upstream>> {
        self.upstreams.get(*self.prepared.places.get(name)?)
    }

    /// The route of that name.
    pub(crate) fn route(&self, name: &str) -> Option<&Arc<ActiveRoute>> {
        self.prepared.routes.get(name)
    }

    /// A provider that the settings do not name: a preset's, or a custom host that
    /// `server.custom_hosts` lists. The client brings the credential.
    pub(crate) fn ad_hoc_upstream(
        &self,
        slug: &str,
        custom_host: Option<&BaseUrl>,
    ) -> Option<(Rc<Upstream>, Auth)> {
        let preset = preset(slug)?;
        let base = match custom_host {
            Some(base) => base.clone(),
            None => BaseUrl::parse(&preset.base_url).ok()?,
        };
        let key = format!("{slug} {} {}{}", base.tls, base.authority, base.path);
        if let Some(known) = self.ad_hoc_upstreams.borrow().get(&key) {
            return Some((Rc::clone(known), preset.auth));
        }
        let made = Rc::new(self.make_ad_hoc_upstream(preset, base)?);
        let mut ad_hoc_upstreams = self.ad_hoc_upstreams.borrow_mut();
        if ad_hoc_upstreams.len() >= AD_HOC_UPSTREAMS_MAX {
            // Their idle connections go with them; requests under way keep theirs.
            ad_hoc_upstreams.clear();
        }
        ad_hoc_upstreams.insert(key, Rc::clone(&made));
        Some((made, preset.auth))
    }

    fn make_ad_hoc_upstream(&self, preset: &'static Preset, base: BaseUrl) -> Option<Upstream> {
        let provider = Provider::unlisted(preset, base);
        let Origin::Http(base) = &provider.origin else { return None };
        let tls = provider_tls(&provider, base, self.roots()).ok()?;
        let limits = pool_limits(&self.settings);
        let pool = Pool::new(endpoint(base, tls), limits, Arc::default());
        let name = Arc::from(provider.name.as_str());
        let redactor = Redactor::of_provider(&provider);
        let token = TokenSlot::default();
        Some(Upstream { provider: Arc::new(provider), name, pool: Some(pool), token, redactor })
    }

    /// All pools, for the sweep and the metrics.
    pub(crate) fn each_pool(&self, mut visit: impl FnMut(&Pool)) {
        for upstream in &self.upstreams {
            upstream.pool.as_ref().into_iter().for_each(&mut visit);
        }
        for upstream in self.ad_hoc_upstreams.borrow().values() {
            upstream.pool.as_ref().into_iter().for_each(&mut visit);
        }
    }
}

fn pool_limits(settings: &Settings) -> PoolLimits {
    PoolLimits {
        idle_max: settings.server.pool_idle_max,
        idle_timeout: settings.server.pool_idle_timeout,
        age_max: settings.server.pool_age_max,
    }
}

fn upstream(provider: Arc<Provider>, prepared: &PreparedSettings) -> Result<Upstream, TlsError> {
    let pool = match &provider.origin {
        Origin::Echo => None,
        Origin::Http(base) => {
            let tls = provider_tls(&provider, base, &prepared.roots)?;
            let distrust = prepared.targets.distrust(&provider.name, &base.authority);
            let limits = pool_limits(&prepared.settings);
            Some(Pool::new(endpoint(base, tls), limits, distrust))
        }
    };
    let name = Arc::from(provider.name.as_str());
    let redactor = Redactor::of_provider(&provider);
    Ok(Upstream { provider, name, pool, token: TokenSlot::default(), redactor })
}

fn endpoint(base: &BaseUrl, tls: Option<TlsConnector>) -> Peer {
    Peer { name: name_of(&base.host), port: base.port, tls }
}

fn name_of(host: &Host) -> HostName {
    match host {
        Host::Dns(name) => HostName::Dns(name.clone()),
        Host::Ipv4(address) => HostName::Address((*address).into()),
        Host::Ipv6(address) => HostName::Address((*address).into()),
    }
}

fn provider_tls(
    provider: &Provider,
    base: &BaseUrl,
    roots: &Roots,
) -> Result<Option<TlsConnector>, TlsError> {
    if !base.tls {
        return Ok(None);
    }
    let client = provider.tls.client_pem.as_ref();
    client_tls(
        &name_of(&base.host),
        roots,
        provider.tls.ca_pem.as_deref(),
        client.map(|(chain, key)| (chain.as_str(), key.as_str())),
    )
    .map(Some)
}
